import { assert } from '../../base/errors.ts'
import { compareBytes } from '../../base/bytes.ts'

/** Sets `key` to `value` in one level of a tree, or removes it. */
export interface LevelEdit<Value> {
  readonly key: Uint8Array
  readonly value: Value | undefined
}

/** Reads batches of sorted edits one edit ahead. Closes its source when it is disposed of. */
export class EditQueue<Edit extends { readonly key: Uint8Array }> implements AsyncDisposable {
  readonly #source: AsyncIterator<readonly Edit[]>
  #batch: readonly Edit[] = []
  #index = 0
  #hasEnded = false
  #previous: Uint8Array | undefined
  readonly #orderMax: number

  constructor(
    batches: AsyncIterable<readonly Edit[]>,
    repeats: 'keys-once' | 'keys-may-repeat' = 'keys-once',
  ) {
    this.#source = batches[Symbol.asyncIterator]()
    this.#orderMax = repeats === 'keys-once' ? -1 : 0
  }

  /** The next edit when it has been read already. */
  get head(): Edit | undefined {
    return this.#batch[this.#index]
  }

  /** The edit behind the head when it has been read already. */
  get second(): Edit | undefined {
    return this.#batch[this.#index + 1]
  }

  /** The next edit; undefined at the end. */
  async peek(): Promise<Edit | undefined> {
    while (this.#index >= this.#batch.length && !this.#hasEnded) {
      const { done, value } = await this.#source.next()
      this.#index = 0
      this.#batch = done === true ? [] : value
      this.#hasEnded = done === true
    }
    return this.#batch[this.#index]
  }

  /** Passes over the head. Edits must be sorted. */
  advance(): void {
    const key = this.#batch[this.#index]?.key
    if (key !== undefined) {
      assert(
        this.#previous === undefined || compareBytes(this.#previous, key) <= this.#orderMax,
        'edits are sorted by key, and of a map come once for each',
      )
      this.#previous = key
    }
    this.#index += 1
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) await this.#source.return?.()
  }
}

/** Edits that are handed on together, so that the loops over them rarely wait. */
export const batchEditsMax = 256
