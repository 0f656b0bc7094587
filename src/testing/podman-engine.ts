import { execFile, spawn, type ChildProcess } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { SystemClock } from '../base/clock.ts'

const execute = promisify(execFile)
const clock = new SystemClock()
const programs = ['podman', 'runc', 'busybox']
/** A root without all rights may raise no limit that is its own. */
const openFilesMax = 16_384
const startMsMax = 240_000

/** Whether an engine can be started here; true where no test may be left out. */
export function canHavePodman(): boolean {
  if (process.env['PACHYDERM_TEST_PEERS'] === 'required') return true
  const places = (process.env['PATH'] ?? '').split(':')
  return (
    process.geteuid?.() === 0 &&
    programs.every((program) => places.some((place) => existsSync(join(place, program))))
  )
}

/** How an image is made: a shell script in an empty directory, then changes as a Dockerfile has them. */
export interface TestImage {
  readonly script: string
  readonly changes?: readonly string[]
}

/**
 * A Podman of a test's own, on a socket and with images of its own. Disposing removes its containers
 * and ends it.
 */
export class PodmanEngine implements AsyncDisposable {
  readonly directory: string
  readonly socketPath: string
  readonly #environment: NodeJS.ProcessEnv
  #service: ChildProcess | undefined

  private constructor(directory: string) {
    this.directory = directory
    this.socketPath = join(directory, 'engine.sock')
    this.#environment = {
      ...process.env,
      CONTAINERS_CONF: join(directory, 'containers.conf'),
      CONTAINERS_STORAGE_CONF: join(directory, 'storage.conf'),
      TMPDIR: directory,
    }
  }

  static async start(): Promise<PodmanEngine> {
    // Its path must be short: Podman takes no more than 50 bytes of the directory of its state.
    const engine = new PodmanEngine(mkdtempSync(join(tmpdir(), 'podman-')))
    try {
      const { directory } = engine
      engine.configure(directory, `${directory}/graph`, `${directory}/run`)
      await engine.startService()
      return engine
    } catch (error) {
      await engine[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Writes down in `directory` how an engine is to work that keeps its own in these places. */
  configure(directory: string, graph: string, run: string): void {
    const ulimits = ['nofile', 'nproc'].map((name) => `"${name}=${openFilesMax}:${openFilesMax}"`)
    writeFileSync(
      join(directory, 'containers.conf'),
      `[containers]\ndefault_ulimits = [${ulimits.join(', ')}]\n` +
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n',
    )
    writeFileSync(
      join(directory, 'storage.conf'),
      `[storage]\ndriver = "overlay"\nrunroot = "${run}"\ngraphroot = "${graph}"\n`,
    )
  }

  async startService(): Promise<void> {
    const log = openSync(join(this.directory, 'service.log'), 'a')
    this.#service = spawn('podman', this.#arguments(['system', 'service', '--time=0', this.url]), {
      // Where its monitors leave a file when memory runs out.
      cwd: this.directory,
      env: this.#environment,
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    const deadlineMs = clock.monotonicMs() + startMsMax
    while (!(await canConnect(this.socketPath))) {
      if (clock.monotonicMs() > deadlineMs) throw new Error('podman system service does not start')
      if (this.#service.exitCode !== null) throw new Error('podman system service has ended')
      await clock.sleep(20)
    }
  }

  /** The engine is gone, its containers are not. */
  async stopService(): Promise<void> {
    const service = this.#service
    this.#service = undefined
    if (service === undefined || service.exitCode !== null) return
    const ended = new Promise<void>((resolve) => service.once('exit', () => resolve()))
    service.kill('SIGTERM')
    await ended
    rmSync(this.socketPath, { force: true })
  }

  get url(): string {
    return `unix://${this.socketPath}`
  }

  /** Runs the command line of this engine; returns what it prints. */
  async podman(...args: readonly string[]): Promise<string> {
    const { stdout } = await execute('podman', this.#arguments(args), { env: this.#environment })
    return stdout
  }

  /** Makes an image without a registry. */
  async makeImage(name: string, { script, changes = [] }: TestImage): Promise<void> {
    const root = mkdtempSync(join(this.directory, 'image-'))
    chmodSync(root, 0o755)
    try {
      await execute('sh', ['-euc', script], { cwd: root })
      chmodSync(join(root, 'tmp'), 0o1777)
      const archive = join(this.directory, 'image.tar')
      await execute('tar', ['-C', root, '-cf', archive, '.'])
      const flags = changes.flatMap((change) => ['--change', change])
      await this.podman('import', ...flags, archive, name)
      rmSync(archive)
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.podman('rm', '--all', '--force', '--time=0').catch(() => {})
    await this.stopService()
    // Those of containers, too, that ended while they were removed.
    for (const point of mountsBelow(this.directory)) {
      await execute('umount', ['-l', point]).catch(() => {})
    }
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 10 })
  }

  #arguments(args: readonly string[]): string[] {
    const { directory } = this
    const places = ['--root', `${directory}/graph`, '--runroot', `${directory}/run`]
    return [...places, '--tmpdir', `${directory}/tmp`, ...args]
  }
}

/** Inner ones first. */
function mountsBelow(directory: string): readonly string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8').matchAll(/^(?:\S+ ){4}(\S+)/gm)
  return Array.from(points, ([, point = '']) => point)
    .filter((point) => point.startsWith(`${directory}/`))
    .toReversed()
}

async function canConnect(path: string): Promise<boolean> {
  if (!existsSync(path)) return false
  return await new Promise<boolean>((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
