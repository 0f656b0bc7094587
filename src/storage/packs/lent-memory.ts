import { chunkBytesMax } from '../chunks.ts'

/** Memory for a chunk of any size, that threads can look at, too. */
export interface LentMemory {
  readonly memory: SharedArrayBuffer
  readonly giveBack: () => void
  readonly giveUp: () => void
}

/** So many chunks may be lent at a time; others get memory of their own. */
const lentMax = 16
/** Kept while nobody needs them. Of each, only what was written to takes room. */
const idleMax = 5

/** Memory that one chunk after the other is read into: fresh memory costs more than reading does. */
export class LentMemories {
  readonly #idle: SharedArrayBuffer[] = []
  /** With what was given up and is not garbage yet: such memory does not hurry the collection of garbage. */
  #lentCount = 0
  readonly #givenUp = new FinalizationRegistry<undefined>(() => {
    this.#lentCount -= 1
  })

  /** Undefined when too much is lent already. */
  take(): LentMemory | undefined {
    if (this.#lentCount >= lentMax) return undefined
    const memory = this.#idle.pop() ?? new SharedArrayBuffer(chunkBytesMax)
    this.#lentCount += 1
    let isLent = true
    const end = (isFree: boolean): void => {
      if (!isLent) return
      isLent = false
      if (!isFree) {
        this.#givenUp.register(memory, undefined)
        return
      }
      this.#lentCount -= 1
      if (this.#idle.length < idleMax) this.#idle.push(memory)
    }
    return { memory, giveBack: () => end(true), giveUp: () => end(false) }
  }
}
