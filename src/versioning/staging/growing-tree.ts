import { Batched } from '../../base/batched.ts'
import { CancelledError } from '../../base/errors.ts'
import type { RunRecord } from './runs.ts'

/** A bulk write of fewer files is applied when it is whole. */
const pageRecordsMax = 256
/** Pages that may wait for the tree before puts do. */
const waitingPagesMax = 16

/**
 * Has the tree of a bulk write built while its files come, for as long as they come by path: then it is there
 * when the last one is. What it knows is a guess until the write is checked against the commit as it is then.
 */
export class GrowingTree<Tree> implements AsyncDisposable {
  readonly #build: (records: Batched<RunRecord>) => Promise<Tree>
  #page: RunRecord[] = []
  #waiting: (readonly RunRecord[])[] = []
  #built: Promise<Tree | undefined> | undefined
  #state: 'growing' | 'whole' | 'abandoned' = 'growing'
  /** Somebody waits for a page. */
  #wanted: PromiseWithResolvers<void> | undefined
  /** Somebody waits for pages to be taken. */
  #taken: PromiseWithResolvers<void> | undefined

  /** `build` is called when there is much to build; whatever fails there only costs its work. */
  constructor(build: (records: Batched<RunRecord>) => Promise<Tree>) {
    this.#build = build
  }

  /** Takes the next record by key. Undefined when there is nothing to wait for. */
  add(record: RunRecord): Promise<void> | undefined {
    if (this.#state !== 'growing') return undefined
    this.#page.push(record)
    if (this.#page.length < pageRecordsMax) return undefined
    this.#waiting.push(this.#page)
    this.#page = []
    this.#wanted?.resolve()
    this.#built ??= this.#run()
    if (this.#waiting.length < waitingPagesMax) return undefined
    this.#taken ??= Promise.withResolvers<void>()
    return Promise.race([this.#taken.promise, this.#built]).then(() => undefined)
  }

  /** The tree of all records; undefined when none was built. */
  async end(): Promise<Tree | undefined> {
    if (this.#state !== 'growing' || this.#built === undefined) return undefined
    this.#state = 'whole'
    if (this.#page.length > 0) this.#waiting.push(this.#page)
    this.#wanted?.resolve()
    return await this.#built
  }

  /** A record came out of order, or all is given up. */
  abandon(): void {
    if (this.#state === 'growing') this.#state = 'abandoned'
    this.#page = []
    this.#waiting = []
    this.#wanted?.resolve()
    this.#taken?.resolve()
    this.#taken = undefined
  }

  /** Resolves when nothing is built any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.abandon()
    await this.#built
  }

  async #run(): Promise<Tree | undefined> {
    try {
      return await this.#build(new Batched(this.#pages()))
    } catch {
      return undefined
    } finally {
      // Where nobody takes pages any more, none may gather.
      this.abandon()
    }
  }

  async *#pages(): AsyncGenerator<readonly RunRecord[]> {
    for (;;) {
      const page = this.#waiting.shift()
      if (page !== undefined) {
        this.#taken?.resolve()
        this.#taken = undefined
        yield page
      } else if (this.#state === 'growing') {
        this.#wanted = Promise.withResolvers<void>()
        await this.#wanted.promise
        this.#wanted = undefined
      } else if (this.#state === 'whole') return
      else throw new CancelledError('the tree of a bulk write was given up')
    }
  }
}
