import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import {
  answering,
  canHave,
  ended,
  removeWithMounts,
  type TestEngine,
  type TestImage,
  withArchive,
} from './test-engine.ts'

const execute = promisify(execFile)
/** A root without all rights may raise no limit that is its own. */
const openFilesMax = 16_384

/** Whether it can be started here; true where no test may be left out. */
export function canHavePodman(): boolean {
  return canHave('podman', 'runc', 'busybox')
}

/**
 * A Podman of a test's own, on a socket and with images of its own. Disposing removes its containers
 * and ends it.
 */
export class PodmanEngine implements TestEngine {
  readonly title = 'Podman'
  readonly directory: string
  readonly socketPath: string
  readonly #graph: string
  readonly #environment: NodeJS.ProcessEnv
  #service: ChildProcess | undefined

  private constructor(directory: string, graph = join(directory, 'graph')) {
    this.directory = directory
    this.#graph = graph
    this.socketPath = join(directory, 'engine.sock')
    this.#environment = {
      ...process.env,
      CONTAINERS_CONF: join(directory, 'containers.conf'),
      CONTAINERS_STORAGE_CONF: join(directory, 'storage.conf'),
      TMPDIR: directory,
    }
  }

  /** `graph`: where it keeps containers, else among what is its own. */
  static async start(graph?: string): Promise<PodmanEngine> {
    // Its path must be short: Podman takes no more than 50 bytes of the directory of its state.
    const engine = new PodmanEngine(mkdtempSync(join(tmpdir(), 'podman-')), graph)
    try {
      const { directory } = engine
      engine.configure(directory, engine.#graph, `${directory}/run`)
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
    await answering(this.socketPath, this.#service)
  }

  /** As `SIGSTOP`, by which it hangs. */
  signalService(signal: NodeJS.Signals): void {
    this.#service?.kill(signal)
  }

  /** The engine is gone, its containers are not. */
  async stopService(): Promise<void> {
    const service = this.#service
    this.#service = undefined
    if (service === undefined) return
    await ended(service)
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

  async containers(): Promise<readonly string[]> {
    return (await this.podman('ps', '--all', '--quiet')).split('\n').filter(Boolean)
  }

  async inspect(id: string): Promise<string> {
    return await this.podman('inspect', id)
  }

  async makeImage(name: string, image: TestImage): Promise<void> {
    await withArchive(image, async (archive, changes) => {
      await this.podman('import', ...changes, archive, name)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.podman('rm', '--all', '--force', '--time=0').catch(() => {})
    await this.stopService()
    await removeWithMounts(this.#graph)
    await removeWithMounts(this.directory)
  }

  #arguments(args: readonly string[]): string[] {
    const { directory } = this
    const places = ['--root', this.#graph, '--runroot', `${directory}/run`]
    return [...places, '--tmpdir', `${directory}/tmp`, ...args]
  }
}
