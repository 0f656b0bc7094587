import type { Clock } from '../../base/clock.ts'
import type { ProcessStats } from '../../pipelines/process-stats.ts'

/** Takes the times and sizes of the three steps of a datum, in whole milliseconds. */
export class Stopwatch {
  readonly #clock: Clock
  #downloadMs = 0
  #processMs = 0
  #uploadMs = 0
  #downloadBytes = 0
  #uploadBytes = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async download<Result extends { readonly downloadBytes: number }>(
    step: () => Promise<Result>,
  ): Promise<Result> {
    const [result, ms] = await this.#timed(step)
    this.#downloadMs = ms
    this.#downloadBytes = result.downloadBytes
    return result
  }

  /** Bytes that came while user code ran. */
  downloaded(bytes: number): void {
    this.#downloadBytes += bytes
  }

  async process<Result>(step: () => Promise<Result>): Promise<Result> {
    const [result, ms] = await this.#timed(step)
    this.#processMs = ms
    return result
  }

  async upload<Result extends { readonly uploadBytes: number }>(
    step: () => Promise<Result>,
  ): Promise<Result> {
    const [result, ms] = await this.#timed(step)
    this.#uploadMs = ms
    this.#uploadBytes = result.uploadBytes
    return result
  }

  /** A step that has not ended counts nothing. */
  stats(): ProcessStats {
    return {
      downloadMs: this.#downloadMs,
      processMs: this.#processMs,
      uploadMs: this.#uploadMs,
      downloadBytes: this.#downloadBytes,
      uploadBytes: this.#uploadBytes,
    }
  }

  async #timed<Result>(step: () => Promise<Result>): Promise<readonly [Result, number]> {
    const startMs = this.#clock.monotonicMs()
    const result = await step()
    return [result, Math.round(this.#clock.monotonicMs() - startMs)]
  }
}
