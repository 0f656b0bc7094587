import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { SystemClock } from '../src/base/clock.ts'
import { NodeTransport } from '../src/node-client/node-transport.ts'
import { createClient, type Client } from '../src/client/client.ts'
import { type FilePut, putFiles } from '../src/client/file-transfers.ts'
import { Files } from '../src/gen/pachyderm_pb.ts'
import { API as PfsApi, type Commit } from '../src/gen/pfs_pb.ts'
import { API as PpsApi } from '../src/gen/pps_pb.ts'
import { peakMemoryMib, type ProgramRun, runProgram } from './processes.ts'

const serverProgram = fileURLToPath(new URL('../bin/pachd', import.meta.url))
export const clientProgram: string = fileURLToPath(new URL('../bin/pachctl', import.meta.url))
/** Both lines are printed in one go. */
const readyPattern = /^pachd is ready on .*:(\d+), data in .*\nS3: http:.*:(\d+)\/$/m

/** Besides where its data and its ports are. */
export interface PachdOptions {
  readonly args?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

/** A server in a process of its own, as a user starts it, and ways to call it. */
export class Pachd implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly root: string
  readonly port: number
  readonly s3Port: number
  readonly transport: NodeTransport
  readonly pfs: Client<typeof PfsApi>
  readonly pps: Client<typeof PpsApi>
  readonly files: Client<typeof Files>

  private constructor(child: ChildProcess, port: number, s3Port: number, root: string) {
    this.root = root
    this.#child = child
    this.port = port
    this.s3Port = s3Port
    this.transport = new NodeTransport({ host: '127.0.0.1', port }, new SystemClock())
    this.pfs = createClient(PfsApi, this.transport)
    this.pps = createClient(PpsApi, this.transport)
    this.files = createClient(Files, this.transport)
  }

  /** @throws {Error} with what it printed, when it ends before it is ready. */
  static async start(root: string, options: PachdOptions = {}): Promise<Pachd> {
    const anyPort = '127.0.0.1:0'
    const args = ['--root', root, '--address', anyPort, '--s3-address', anyPort]
    const child = spawn(serverProgram, [...args, ...(options.args ?? [])], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // What engine the machine has is not measured, unless a benchmark says so.
      env: { ...process.env, PACHD_CONTAINER_ENGINE: 'off', ...options.environment },
    })
    let output = ''
    const [port, s3Port] = await new Promise<readonly [number, number]>((resolve, reject) => {
      const take = (text: Buffer): void => {
        output += text.toString()
        const [, ready, s3] = readyPattern.exec(output) ?? []
        if (ready !== undefined) resolve([Number(ready), Number(s3)])
      }
      child.stdout.on('data', take)
      child.stderr.on('data', take)
      child.on('exit', () => reject(new Error(`pachd ended at once: ${output}`)))
    })
    return new Pachd(child, port, s3Port, root)
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** The most memory it has held until now. */
  get peakMib(): number {
    return peakMemoryMib(this.pid) ?? 0
  }

  /** Runs the command line against this server. */
  async pachctl(...args: string[]): Promise<ProgramRun> {
    const env = { ...process.env, ADDRESS: `127.0.0.1:${this.port}` }
    return runProgram(clientProgram, args, { env })
  }

  /** The start of a line of shell that calls this server. */
  get clientLine(): string {
    return `ADDRESS=127.0.0.1:${this.port} ${clientProgram}`
  }

  async startCommit(repo: string): Promise<Commit> {
    return this.pfs.startCommit({ parent: { repo: { name: repo } }, branch: 'master' })
  }

  /** A new repo with one finished commit. */
  async createRepo(repo: string, changes: Iterable<FilePut>): Promise<void> {
    await this.pfs.createRepo({ repo: { name: repo } })
    const commit = await this.startCommit(repo)
    await putFiles(this.transport, { repo, id: commit.id }, changes)
    await this.pfs.finishCommit({ commit })
  }

  /** Resolves when all that follows from `commit` is finished too. */
  async flush(commit: Commit): Promise<void> {
    for await (const info of this.pfs.flushCommit({ commits: [commit] })) {
      if (info.finished === undefined) throw new Error('an unfinished commit was flushed')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transport[Symbol.asyncDispose]()
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()))
    this.#child.kill('SIGTERM')
    const force = setTimeout(() => this.#child.kill('SIGKILL'), 15_000)
    await ended
    clearTimeout(force)
  }
}
