import type { Clock } from '../../base/clock.ts'
import type { ArrivingMessage } from '../../base/grpc-messages.ts'
import { messageBytesMax } from '../../base/grpc-wire.ts'
import { type BudgetHolder, CallerBudget } from './caller-budget.ts'

/** Calls that have not sent more hold little, and are let in at once. */
const lightBytesMax = 64 * 1024
/** What a stream of requests holds besides a message: the chunk that is being filled, and its window. */
const uploadBytes = 5 * 1024 * 1024
/** A hundred large uploads at once: what one client of 1.5 sends at most. */
const uploadsBytesMax = 100 * uploadBytes
/** Messages may have to be put together before they can be read. */
const messagesBytesMax = 256 * 1024 * 1024
/** As much as gzip can make of a byte. */
const unpackedRatioMax = 1032

/**
 * Bounds what callers can make the server hold, however many they are and however slowly they send.
 *
 * A call takes from the uploads first and from the messages second, so that none waits in a circle.
 */
export class Admission {
  readonly #uploads: CallerBudget
  readonly #messages: CallerBudget

  constructor(clock: Clock) {
    this.#uploads = new CallerBudget(uploadsBytesMax, clock, 'upload')
    this.#messages = new CallerBudget(messagesBytesMax, clock, 'upload')
  }

  /** For one call: what to wait for before each of its messages is read. */
  gate(
    holder: BudgetHolder,
    requests: 'one' | 'many',
  ): (message: ArrivingMessage) => Promise<void> | undefined {
    let isLarge = false
    return ({ sizeBytes, isCompressed }) => {
      this.#messages.release(holder)
      const unpackedMax = isCompressed ? sizeBytes * unpackedRatioMax : sizeBytes
      const bytes = Math.min(unpackedMax, messageBytesMax)
      const becomesLarge = !isLarge && holder.movedBytes + bytes > lightBytesMax
      isLarge ||= becomesLarge
      const needsUpload = becomesLarge && requests === 'many'
      const upload = needsUpload ? this.#uploads.take(holder, uploadBytes) : undefined
      if (bytes <= lightBytesMax) return upload
      if (upload === undefined) return this.#messages.take(holder, bytes)
      return upload.then(() => this.#messages.take(holder, bytes))
    }
  }

  /** The call has ended. */
  release(holder: BudgetHolder): void {
    this.#uploads.release(holder)
    this.#messages.release(holder)
  }
}
