import { copyFile } from 'node:fs/promises'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildProgram, freePort, isOnPath, runProgram, untilAnswering } from './child-program.ts'

/** A real etcd that has what a snapshot holds. */
export class Etcd implements AsyncDisposable {
  /** HOST:PORT. */
  readonly address: string
  readonly #file: string
  readonly #child: ChildProgram
  readonly #opened: AsyncDisposableStack

  private constructor(
    address: string,
    { file, child }: { readonly file: string; readonly child: ChildProgram },
    opened: AsyncDisposableStack,
  ) {
    this.address = address
    this.#file = file
    this.#child = child
    this.#opened = opened
  }

  static get isInstalled(): boolean {
    return ['etcd', 'etcdctl'].every(isOnPath)
  }

  static async start(snapshot: string): Promise<Etcd> {
    await using opened = new AsyncDisposableStack()
    const directory = opened.use(await TemporaryDirectory.create())
    const at = { directory: directory.path }
    await runProgram('etcdctl', ['snapshot', 'restore', snapshot, '--data-dir', 'data'], at)
    const [port, peerPort] = [await freePort(), await freePort()]
    const [url, peerUrl] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`]
    const args = [
      '--data-dir=data',
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      `--listen-peer-urls=${peerUrl}`,
    ]
    const child = opened.use(new ChildProgram('etcd', args, at))
    await untilAnswering(`${url}/health`, child)
    const file = directory.join('data/member/snap/db')
    return new Etcd(`127.0.0.1:${port}`, { file, child }, opened.move())
  }

  async put(key: string, value: string): Promise<void> {
    await this.#control('put', key, value)
  }

  async saveSnapshot(file: string): Promise<void> {
    await this.#control('snapshot', 'save', file)
  }

  /** Ends it, and copies its database. */
  async stopInto(file: string): Promise<void> {
    await this.#child.end('SIGTERM')
    await copyFile(this.#file, file)
  }

  async #control(...args: readonly string[]): Promise<void> {
    await runProgram('etcdctl', ['--endpoints', this.address, ...args], { directory: '/' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync()
  }
}
