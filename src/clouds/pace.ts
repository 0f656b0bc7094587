import { UnavailableError } from '../base/errors.ts'
import { Attempts, type RetryPorts } from '../base/retries.ts'

/** How much is asked of a store at once: less when it does not keep up, and by and by more again. */
export class Pace {
  readonly #ports: RetryPorts
  readonly #signal: AbortSignal
  readonly #countMax: number
  #count: number
  #slowedCount = 0

  constructor(ports: RetryPorts, countMax: number, signal: AbortSignal) {
    this.#ports = ports
    this.#countMax = countMax
    this.#count = countMax
    this.#signal = signal
  }

  /** How many objects may be on their way. */
  get count(): number {
    return Math.floor(this.#count)
  }

  /** Does `work`, again while the store is unavailable. @throws {UnavailableError} of the last attempt. */
  again = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    const attempts = new Attempts(this.#ports, this.#signal)
    for (;;) {
      const slowedCount = this.#slowedCount
      try {
        const result = await work()
        this.#quicken()
        return result
      } catch (error) {
        await this.#failed(attempts, error, slowedCount)
      }
    }
  }

  /**
   * What `open` yields, which is asked for what is still to come when the store breaks off: as often as may
   * be after the last item. @throws {UnavailableError} of the last attempt.
   */
  async *items<Item>(open: () => AsyncIterable<Item>): AsyncGenerator<Item> {
    const attempts = new Attempts(this.#ports, this.#signal)
    for (;;) {
      const slowedCount = this.#slowedCount
      try {
        for await (const item of open()) {
          attempts.succeeded()
          yield item
        }
        this.#quicken()
        return
      } catch (error) {
        await this.#failed(attempts, error, slowedCount)
      }
    }
  }

  async #failed(attempts: Attempts, error: unknown, slowedCount: number): Promise<void> {
    if (!(error instanceof UnavailableError)) throw error
    // Of those that were on their way together, one counts.
    if (slowedCount === this.#slowedCount) this.#slow()
    await attempts.failed(error)
  }

  #quicken(): void {
    this.#count = Math.min(this.#countMax, this.#count + 1 / this.#count)
  }

  #slow(): void {
    this.#slowedCount += 1
    this.#count = Math.max(1, this.#count / 2)
  }
}
