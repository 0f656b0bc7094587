import { type ChildProcess, spawn, type SpawnOptions, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const pollMs = 20
const ticksPerSecond = 100

/**
 * The most memory that a running process has held, in MiB.
 *
 * @returns undefined when there is no such process any more.
 */
export function peakMemoryMib(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
    return kib === undefined ? undefined : Number(kib) / 1024
  } catch {
    return undefined
  }
}

/** Processor time that a running process has used, in all its threads. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const [userTicks, systemTicks] = [fields[11], fields[12]].map(Number)
  return ((userTicks ?? 0) + (systemTicks ?? 0)) / ticksPerSecond
}

export interface ProgramRun {
  /** From before the start to the end. */
  readonly ms: number
  /** The last value seen while it ran. */
  readonly peakMib: number
}

/** Runs a program to its end. @throws {Error} with what it printed, when it fails. */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<ProgramRun> {
  const startMs = performance.now()
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], ...options })
  let peakMib = 0
  const poll = setInterval(() => {
    peakMib = Math.max(peakMib, peakMemoryMib(child.pid ?? 0) ?? 0)
  }, pollMs)
  try {
    await ended(child, `${command} ${args.join(' ')}`)
    return { ms: performance.now() - startMs, peakMib }
  } finally {
    clearInterval(poll)
  }
}

/** Whether there is a program of this name on the PATH. */
export function isInstalled(program: string): boolean {
  return spawnSync('which', [program], { stdio: 'ignore' }).status === 0
}

/** Milliseconds that a line of shell takes. */
export async function runShell(line: string, directory: string): Promise<number> {
  return (await runProgram('sh', ['-ec', line], { cwd: directory })).ms
}

async function ended(child: ChildProcess, line: string): Promise<void> {
  let errors = ''
  child.stderr?.on('data', (text: Buffer) => (errors += text.toString()))
  await new Promise<void>((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`${line} ended with ${code}: ${errors}`)),
    )
  })
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await work()
  return performance.now() - startMs
}
