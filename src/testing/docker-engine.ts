import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdtempSync, openSync } from 'node:fs'
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
export function canHaveDocker(): boolean {
  return canHave('dockerd', 'docker', 'containerd', 'runc', 'busybox')
}

/** A Docker of a test's own, which leaves the machine's network alone. */
export class DockerEngine implements TestEngine {
  readonly title = 'Docker'
  readonly socketPath: string
  readonly #directory: string
  readonly #service: ChildProcess

  private constructor(directory: string) {
    this.#directory = directory
    this.socketPath = join(directory, 'engine.sock')
    const log = openSync(join(directory, 'service.log'), 'a')
    const limits = ['nofile', 'nproc'].flatMap((name) => [
      '--default-ulimit',
      `${name}=${openFilesMax}:${openFilesMax}`,
    ])
    const places = [
      `--data-root=${directory}/data`,
      `--exec-root=${directory}/run`,
      `--pidfile=${directory}/pid`,
      `--host=unix://${this.socketPath}`,
    ]
    const network = ['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-masq=false']
    this.#service = spawn('dockerd', [...places, ...network, ...limits], {
      stdio: ['ignore', log, log],
    })
    closeSync(log)
  }

  static async start(): Promise<DockerEngine> {
    const engine = new DockerEngine(mkdtempSync(join(tmpdir(), 'docker-')))
    try {
      await answering(engine.socketPath, engine.#service)
      return engine
    } catch (error) {
      await engine[Symbol.asyncDispose]()
      throw error
    }
  }

  async makeImage(name: string, image: TestImage): Promise<void> {
    await withArchive(image, async (archive, changes) => {
      await this.#docker('import', ...changes, archive, name)
    })
  }

  async containers(): Promise<readonly string[]> {
    return (await this.#docker('ps', '--all', '--quiet')).split('\n').filter(Boolean)
  }

  async inspect(id: string): Promise<string> {
    return await this.#docker('inspect', id)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ids = await this.containers().catch(() => [])
    if (ids.length > 0) await this.#docker('rm', '--force', ...ids).catch(() => {})
    await ended(this.#service)
    await removeWithMounts(this.#directory)
  }

  async #docker(...args: readonly string[]): Promise<string> {
    const { stdout } = await execute('docker', ['--host', `unix://${this.socketPath}`, ...args])
    return stdout
  }
}
