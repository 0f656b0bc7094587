import { mkdir } from 'node:fs/promises'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { type PachctlRun, runPachctl } from './pachctl-run.ts'
import { Transcript } from './transcript.ts'

/** A running pachd, a home and a directory to run pachctl in, and a transcript of what it did. */
export class Stage implements AsyncDisposable {
  readonly address: string
  readonly directory: string
  readonly transcript: Transcript = new Transcript()
  /** Variables of the environment of what runs from now on. */
  variables: Readonly<Record<string, string>> = {}
  readonly #home: string
  readonly #opened: AsyncDisposableStack

  private constructor(address: string, root: TemporaryDirectory, opened: AsyncDisposableStack) {
    this.address = address
    this.directory = root.join('work')
    this.#home = root.join('home')
    this.#opened = opened
  }

  static async open(): Promise<Stage> {
    await using opened = new AsyncDisposableStack()
    const root = opened.use(await TemporaryDirectory.create())
    await Promise.all([mkdir(root.join('work')), mkdir(root.join('home'))])
    const args = ['--root', root.join('data'), '--address', '127.0.0.1:0']
    const pachd = opened.use(new ChildPachd(args))
    return new Stage(`127.0.0.1:${await pachd.ready}`, root, opened.move())
  }

  /** Runs pachctl without writing it down. */
  async quietly(args: readonly string[], input?: string): Promise<PachctlRun> {
    const { address, directory } = this
    const where = { address, directory, home: this.#home, variables: this.variables }
    return runPachctl(args, input === undefined ? where : { ...where, input })
  }

  /** Runs pachctl with words as they stand between blanks; `'a b'` is one word. */
  async run(command: string, input?: string): Promise<string> {
    const words = command.match(/'[^']*'|\S+/g) ?? []
    const args = words.map((word) => word.replace(/^'(.*)'$/s, '$1'))
    const run = await this.quietly(args, input)
    this.transcript.add(command, run)
    return run.out.trim()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync()
  }
}
