import { openFilesLimit } from '../../storage/open-files.ts'

/** Of the file descriptors that this process may have. */
const sharedPart = 1 / 4
/** As many as an ordinary program may have open. */
const datumMax = 1024
/** A datum has these, whatever others have. */
const ownMax = 16

/** What of lazy inputs is read at a time: each reader takes a file descriptor of this process. */
export class LazyReaders {
  #sharedLeft: number

  constructor(limit: number = openFilesLimit()) {
    this.#sharedLeft = Math.floor(limit * sharedPart)
  }

  /** Whether a datum that has so many readers may have another. */
  mayHaveMore(count: number): boolean {
    return count < ownMax || (count < datumMax && this.#sharedLeft > 0)
  }

  /** For one more than `count`, which may be; dispose of it when that is gone. */
  take(count: number): Disposable {
    const shared = count < ownMax ? 0 : 1
    this.#sharedLeft -= shared
    return {
      [Symbol.dispose]: () => {
        this.#sharedLeft += shared
      },
    }
  }
}
