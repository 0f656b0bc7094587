import { closeSync, openSync, readdirSync } from 'node:fs'

import { ResourceExhaustedError } from '../../base/errors.ts'
import { descriptorsText, shortageError } from '../../base/shortages.ts'

/** A slot takes so many while it opens, and about half of them later. */
export const slotDescriptorsMax = 20
/** Both ends of four pipes, and what a start itself takes. */
const startDescriptorsMax = 12
/** For the files of packs, connections and whatever else a server needs. */
const keptMax = 160
const keptPart = 1 / 3
/** What a server that does nothing has open. */
const usualCount = 32

/** About how many slots can be open at once in a process that may have `max` descriptors. */
export function slotCountFor(max: number): number {
  return Math.max(0, Math.floor((max - keptOf(max) - usualCount) / (slotDescriptorsMax / 2)))
}

function keptOf(max: number): number {
  return Math.min(keptMax, max * keptPart)
}

/** Keeps slots from taking the file descriptors that the rest of the server lives by. */
export class Descriptors {
  readonly #max: number
  readonly #countOpen: () => number
  #openingCount = 0

  /** `max` is how many this process may have. */
  constructor(max: number, countOpen: () => number = openCount) {
    this.#max = max
    this.#countOpen = countOpen
  }

  /** For a slot that opens until what comes is disposed of. @throws {ResourceExhaustedError} */
  take(): Disposable {
    if (this.#max < Number.POSITIVE_INFINITY) this.#requireSome()
    this.#openingCount += 1
    return {
      [Symbol.dispose]: () => {
        this.#openingCount -= 1
      },
    }
  }

  /** What a failed start means; others as they are. */
  told(error: unknown): unknown {
    return shortageError(error, this.#max) ?? error
  }

  #requireSome(): void {
    const wanted = slotDescriptorsMax * (this.#openingCount + 1) + keptOf(this.#max)
    if (this.#countOpen() + wanted <= this.#max) return
    throw new ResourceExhaustedError(descriptorsText(this.#max))
  }
}

/**
 * To be asked right before a program is started: where there are descriptors for its pipes, and then none
 * for the start itself, Node loses the pipes.
 *
 * @throws as opening a file does.
 */
export function requireDescriptors(): void {
  using opened = new DisposableStack()
  for (let index = 0; index < startDescriptorsMax; index += 1) {
    opened.adopt(openSync('/dev/null', 'r'), closeSync)
  }
}

function openCount(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch (error) {
    // Elsewhere it is not known.
    return shortageError(error) === undefined ? 0 : Number.POSITIVE_INFINITY
  }
}
