import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'

const program = fileURLToPath(new URL('../../bin/pachctl', import.meta.url))

/** Whether a test may mount here: root, with FUSE. */
export const canMount: boolean = existsSync('/dev/fuse') && process.geteuid?.() === 0

export interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** `pachctl mount` as a process of its own; disposing unmounts, whatever has become of it. */
export class Mounted implements AsyncDisposable {
  readonly path: string
  readonly #port: number
  readonly #opened: AsyncDisposableStack
  #child: ChildProcess | undefined
  /** What `pachctl mount` has printed. */
  printed = ''

  private constructor(path: string, port: number, opened: AsyncDisposableStack) {
    this.path = path
    this.#port = port
    this.#opened = opened
  }

  static async start(port: number, ...flags: readonly string[]): Promise<Mounted> {
    await using opened = new AsyncDisposableStack()
    const directory = opened.use(await TemporaryDirectory.create())
    const path = directory.join('p f s')
    await mkdir(path)
    const mounted = new Mounted(path, port, opened.move())
    await mounted.mount(...flags)
    return mounted
  }

  /** Mounts, or mounts again. */
  async mount(...flags: readonly string[]): Promise<void> {
    const child = spawn(program, ['mount', ...flags, this.path], { env: this.#environment })
    this.#child = child
    const ready = Promise.withResolvers<void>()
    this.printed = ''
    const keep = (text: Buffer): void => {
      this.printed += text.toString()
      if (this.printed.includes('Filesystem mounted')) ready.resolve()
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', ready.reject)
    child.on('close', () => ready.reject(new Error(`pachctl mount ended: ${this.printed}`)))
    await ready.promise
  }

  /** Whether the system lists the mount. */
  async isListed(): Promise<boolean> {
    const mounts = await readFile('/proc/self/mountinfo', 'utf8')
    return mounts.includes(this.path.replaceAll(' ', String.raw`\040`))
  }

  /** Runs a line of shell, with this program as `$PACHCTL`, in the mount's directory for at most half a minute. */
  async shell(line: string, inside = '.'): Promise<Ended> {
    const script = `cd "$MOUNT"/"$INSIDE" && ${line}`
    return run('sh', ['-c', script], {
      ...this.#environment,
      MOUNT: this.path,
      INSIDE: inside,
      PACHCTL: program,
    })
  }

  async pachctl(...args: readonly string[]): Promise<Ended> {
    return run(program, args, this.#environment)
  }

  /** Sends a signal, and waits for the end. */
  async signal(name: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'close')
    child.kill(name)
    await ended
  }

  /** How `pachctl mount` ended, when somebody has unmounted. */
  async ended(): Promise<number | null> {
    const child = this.#child
    if (child === undefined) return null
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
    return child.exitCode
  }

  get #environment(): NodeJS.ProcessEnv {
    return { ...process.env, ADDRESS: `127.0.0.1:${this.#port}` }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (await this.isListed()) await run('umount', ['-l', this.path], process.env)
    await this.signal('SIGKILL')
    await this.#opened.disposeAsync()
  }
}

async function run(
  name: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: environment, timeout: 240_000, maxBuffer: 64 * 1024 * 1024 }
    execFile(name, args, options, (error, out, err) => {
      const code = typeof error?.code === 'number' ? error.code : 1
      resolve({ code: error === null ? 0 : code, out, err })
    })
  })
}
