import { mkdirSync, openSync, renameSync, unlinkSync } from 'node:fs'

import type { SpareInputs } from '../../pipelines/executor.ts'

/** As many as are placed by their names. */
const countMax = 64

/**
 * Files that datums had as inputs and could not change, to be written anew for the next: making and removing as
 * many files each second takes ext4 the longer the more it has just removed.
 */
export class SpareFiles implements SpareInputs {
  readonly #directory: string
  /** They are called by numbers below this. */
  #count: number | undefined

  /** `directory` is made with the first: on the file system of the inputs, and out of user code's sight. */
  constructor(directory: string) {
    this.#directory = directory
  }

  /** Takes the file away from `path`. Nobody has it open, or runs it. */
  keep(path: string): void {
    if (this.#count === undefined) mkdirSync(this.#directory, { mode: 0o700 })
    this.#count ??= 0
    if (this.#count >= countMax) {
      unlinkSync(path)
      return
    }
    renameSync(path, `${this.#directory}/${this.#count}`)
    this.#count += 1
  }

  take(path: string): number | undefined {
    if (this.#count === undefined || this.#count === 0) return undefined
    this.#count -= 1
    renameSync(`${this.#directory}/${this.#count}`, path)
    return openSync(path, 'r+')
  }
}
