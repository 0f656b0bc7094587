import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { SystemClock } from '../../src/base/clock.ts'
import { NodeTransport } from '../../src/node-client/node-transport.ts'
import type { Benchmark } from '../benchmark.ts'
import { cpuSeconds, timed } from '../processes.ts'

const connections = 4
const callsAtOnce = 16
const callCount = 20_000
const ours = 'pachd'
const baseline = 'a server of @grpc/grpc-js that does nothing'
const perCpu = (label: string): string => `${label}, per second of its CPU`
const path = '/versionpb.API/GetVersion'

export const smallCalls: Benchmark = {
  name: 'small-calls',
  title: `GetVersion, ${callsAtOnce} at once on each of ${connections} connections`,
  unit: 'calls/s',
  prepare: async ({ startPachd, use }) => {
    const pachd = await startPachd()
    const other = use(await PlainServer.start())
    return {
      contenders: [
        { label: ours, run: async () => callRate(pachd.port) },
        { label: baseline, run: async () => callRate(other.port) },
        { label: perCpu(ours), run: async () => callsPerCpuSecond(pachd) },
        { label: perCpu(baseline), run: async () => callsPerCpuSecond(other) },
      ],
      comparisons: [
        { ours, baseline },
        { ours: perCpu(ours), baseline: perCpu(baseline) },
      ],
    }
  },
}

/** Calls per second that a server answers. The callers share the machine with it. */
async function callRate(port: number): Promise<number> {
  await using opened = new AsyncDisposableStack()
  let left = callCount
  const call = async (transport: NodeTransport): Promise<void> => {
    while (left-- > 0) await transport.unary(path, new Uint8Array(0))
  }
  const callers = Array.from({ length: connections }, () => {
    const address = { host: '127.0.0.1', port }
    return opened.use(new NodeTransport(address, new SystemClock()))
  })
  const calls = callers.flatMap((one) => Array.from({ length: callsAtOnce }, () => one))
  const ms = await timed(async () => Promise.all(calls.map(call)))
  return callCount / (ms / 1000)
}

/** Calls that a server answers with one second of processor time: what callers cost is left out. */
async function callsPerCpuSecond(server: {
  readonly port: number
  readonly pid: number
}): Promise<number> {
  const before = cpuSeconds(server.pid)
  await callRate(server.port)
  return callCount / (cpuSeconds(server.pid) - before)
}

/** The other server, in a process of its own. */
class PlainServer implements AsyncDisposable {
  readonly #child: ReturnType<typeof fork>
  readonly port: number

  private constructor(child: ReturnType<typeof fork>, port: number) {
    this.#child = child
    this.port = port
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  static async start(): Promise<PlainServer> {
    const child = fork(fileURLToPath(new URL('../plain-server.ts', import.meta.url)))
    const port = await new Promise<number>((resolve, reject) => {
      child.once('message', (message) => resolve(Number(message)))
      child.once('exit', () => reject(new Error('the other server ended at once')))
    })
    return new PlainServer(child, port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()))
    this.#child.kill('SIGKILL')
    await ended
  }
}
