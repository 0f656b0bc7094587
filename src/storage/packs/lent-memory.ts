import { chunkBytesMax } from '../chunks.ts'

/** Memory for a chunk of any size, that threads can look at, too. */
export interface LentMemory {
  readonly memory: SharedArrayBuffer
  readonly giveBack: () => void
  readonly giveUp: () => void
}

/** So many chunks may be lent at a time; others get memory of their own. All that was made is kept. */
const lentMax = 16

/** Memory that one chunk after the other is read into: fresh memory costs more than reading does. */
export class LentMemories {
  readonly #idle: SharedArrayBuffer[] = []
  /**
   * With what was given up, for good: threads that have seen such memory keep it for long, and it does
   * not hurry their collection of garbage. When all is given up, nothing is lent any more.
   */
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
      if (!isFree) return
      this.#lentCount -= 1
      this.#idle.push(memory)
    }
    return { memory, giveBack: () => end(true), giveUp: () => end(false) }
  }
}
