import type { Clock } from '../../base/clock.ts'
import type { ArrivingMessage } from '../../base/grpc-messages.ts'
import { messageBytesMax } from '../../base/grpc-wire.ts'
import { type BudgetHolder, type BudgetBounds, CallerBudget } from './caller-budget.ts'

export interface AdmissionBounds {
  /**
   * Messages of more than 64 KiB, which may have to be put together before they can be read; and places
   * of streams of requests that have sent more than that.
   */
  readonly large: BudgetBounds
  /** Messages of up to 64 KiB that have not come whole. */
  readonly light: BudgetBounds
}

const mib = 1024 * 1024
/** Messages up to this size go by the number of calls. */
const tinyBytesMax = 4 * 1024
/** Calls that have not sent more wait for nobody who has. */
const lightBytesMax = 64 * 1024
/** As much as gzip can make of a byte. */
const unpackedRatioMax = 1032

/**
 * A large stream of requests holds the chunk that is being filled, 4 MiB, besides a message. One
 * connection gets a hundred of them at once, what a client of 1.5 sends at most.
 */
export const usualAdmission: AdmissionBounds = {
  large: {
    bytesMax: 256 * mib,
    connectionBytesMax: 192 * mib,
    places: 128,
    connectionPlaces: 100,
  },
  light: { bytesMax: 64 * mib, connectionBytesMax: 48 * mib },
}

/** What to do around each message of one call. */
export interface Gate {
  /** The call is done with what it has read. */
  readonly done: () => void
  /** What to wait for before the message is read. */
  readonly open: (message: ArrivingMessage) => Promise<void> | undefined
}

/**
 * Bounds what callers can make the server hold, however many they are and however slowly they send.
 *
 * Who waits for bytes holds none, and who waits for a place holds nothing, so none wait in a circle.
 */
export class Admission {
  readonly #large: CallerBudget
  readonly #light: CallerBudget

  constructor(clock: Clock, bounds: AdmissionBounds = usualAdmission) {
    this.#large = new CallerBudget(bounds.large, clock, 'upload')
    this.#light = new CallerBudget(bounds.light, clock, 'upload')
  }

  gate(holder: BudgetHolder, requests: 'one' | 'many'): Gate {
    let hasPlace = requests === 'one'
    return {
      done: () => this.#releaseMessage(holder),
      open: ({ sizeBytes, isCompressed }) => {
        this.#releaseMessage(holder)
        const unpackedMax = isCompressed ? sizeBytes * unpackedRatioMax : sizeBytes
        const bytes = Math.min(unpackedMax, messageBytesMax)
        const isLarge = holder.movedBytes + bytes > lightBytesMax
        if (isLarge && !hasPlace) {
          hasPlace = true
          return this.#large.take(holder, bytes, 1)
        }
        if (bytes > lightBytesMax) return this.#large.take(holder, bytes)
        return bytes > tinyBytesMax ? this.#light.take(holder, bytes) : undefined
      },
    }
  }

  /**
   * The only message of the call is there. A light one counts no more: its call may well wait for
   * hours, for something to happen.
   */
  isWhole(holder: BudgetHolder): void {
    this.#light.release(holder)
  }

  /** The call has ended. */
  release(holder: BudgetHolder): void {
    this.#large.release(holder)
    this.#light.release(holder)
  }

  #releaseMessage(holder: BudgetHolder): void {
    this.#large.releaseBytes(holder)
    this.#light.release(holder)
  }
}
