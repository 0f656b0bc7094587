import { type ChildProcess, spawn } from 'node:child_process'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

export interface ChildExit {
  readonly code: number | null
  readonly signal: string | null
  readonly out: string
  readonly err: string
}

export const pachdProgram: string = fileURLToPath(new URL('../../bin/pachd', import.meta.url))
/** What it prints when it is ready: the port, the data directory. */
export const readyPattern: RegExp = /^pachd is ready on .*:(\d+), data in (.*)$/m

/** Arguments of a server of `root` at a free port, with no other doors. */
export function oneDoor(root: string): readonly string[] {
  const more = ['--http-address', 'off', '--s3-address', 'off']
  return ['--root', root, '--address', '127.0.0.1:0', ...more]
}

/** Runs pachd without serving; the outcome of its process. */
export async function runPachd(...args: readonly string[]): Promise<ChildExit> {
  await using child = new ChildPachd(args)
  return await child.exit
}

/** `bin/pachd` as a process of its own; disposing kills it if it still runs. */
export class ChildPachd implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #ready = Promise.withResolvers<number>()
  /** Resolves when the process has ended, and all that it printed has been read. */
  readonly exit: Promise<ChildExit>

  constructor(
    args: readonly string[],
    options: {
      readonly environment?: Readonly<Record<string, string>>
      /** That of another release. */
      readonly program?: string
      /** Descriptors of this process that it has, too, besides its streams. */
      readonly inherited?: readonly (number | 'ignore')[]
    } = {},
  ) {
    this.#child = spawn(options.program ?? pachdProgram, args, {
      stdio: ['ignore', 'pipe', 'pipe', ...(options.inherited ?? [])],
      // Whatever engine the machine has: it is no part of what is tested, unless a test says so.
      env: { ...process.env, PACHD_CONTAINER_ENGINE: 'off', ...options.environment },
    })
    let out = ''
    let err = ''
    this.#child.stdout?.on('data', (text: Buffer) => {
      out += text.toString()
      const port = readyPattern.exec(out)?.[1]
      if (port !== undefined) this.#ready.resolve(Number(port))
    })
    this.#child.stderr?.on('data', (text: Buffer) => (err += text.toString()))
    this.exit = new Promise((resolve, reject) => {
      this.#child.on('error', reject)
      this.#child.on('close', (code, signal) => resolve({ code, signal, out, err }))
    })
    void this.exit.then((exit) =>
      this.#ready.reject(new Error(`pachd ended before it was ready: ${JSON.stringify(exit)}`)),
    )
    this.#ready.promise.catch(() => undefined)
  }

  /** The port, once the server says that it is ready. */
  get ready(): Promise<number> {
    return this.#ready.promise
  }

  /** The most memory that the process has used, in MiB; 0 where the system does not say. */
  async peakMemoryMib(): Promise<number> {
    return this.#memoryMib('VmHWM')
  }

  /** The memory that the process uses now, in the same way. */
  async residentMemoryMib(): Promise<number> {
    return this.#memoryMib('VmRSS')
  }

  /** The time that processors have spent on the process so far; 0 where the system does not say. */
  async processorMs(): Promise<number> {
    const stat = await readFile(`/proc/${this.#child.pid}/stat`, 'utf8').catch(() => '')
    // Behind the name, which may hold anything, in ticks of 10 ms.
    const [user = 0, system = 0] = stat
      .slice(stat.lastIndexOf(')'))
      .split(' ')
      .slice(12, 14)
      .map(Number)
    return (user + system) * 10
  }

  /** What its descriptors are of. */
  async openFiles(): Promise<readonly string[]> {
    const directory = `/proc/${this.#child.pid}/fd`
    const links = (await readdir(directory)).map((name) =>
      readlink(`${directory}/${name}`).catch(() => ''),
    )
    return await Promise.all(links)
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  async #memoryMib(field: string): Promise<number> {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8').catch(() => '')
    const kib = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]
    return Number(kib ?? 0) / 1024
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.signal('SIGKILL')
    await this.exit
  }
}
