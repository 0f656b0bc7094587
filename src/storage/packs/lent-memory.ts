import { chunkBytesMax } from '../chunks.ts'

/** Memory for a chunk of any size, that threads can look at, too. */
export interface LentMemory {
  readonly memory: SharedArrayBuffer
  readonly giveBack: () => void
  readonly giveUp: () => void
}

/** So many chunks may be lent at a time; others get memory of their own. */
const lentMax = 32
/** Kept while nobody needs them. Of each, only what was written to takes room. */
const idleMax = 8

/** Memory that one chunk after the other is read into: fresh memory costs more than reading does. */
export class LentMemories {
  readonly #idle: SharedArrayBuffer[] = []
  #lentCount = 0

  /** Undefined when too much is lent already. */
  take(): LentMemory | undefined {
    if (this.#lentCount >= lentMax) return undefined
    const memory = this.#idle.pop() ?? new SharedArrayBuffer(chunkBytesMax)
    this.#lentCount += 1
    let isLent = true
    const end = (isFree: boolean): void => {
      if (!isLent) return
      isLent = false
      this.#lentCount -= 1
      if (isFree && this.#idle.length < idleMax) this.#idle.push(memory)
    }
    return { memory, giveBack: () => end(true), giveUp: () => end(false) }
  }
}
