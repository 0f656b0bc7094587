import type { Clock } from '../../base/clock.ts'
import type { Output } from '../../base/output.ts'
import { sizeText } from './sizes.ts'

const refreshMs = 100
const clearLine = '\r\u001b[K'

/** Tells a person at a terminal how far a transfer is; says nothing to anyone else. */
export class Progress {
  readonly #err: Output
  readonly #clock: Clock
  readonly #verb: string
  readonly #startedMs: number
  #shownMs: number
  #fileCount = 0
  #sizeBytes = 0

  constructor({ err, clock }: { readonly err: Output; readonly clock: Clock }, verb: string) {
    this.#err = err
    this.#clock = clock
    this.#verb = verb
    this.#startedMs = clock.monotonicMs()
    this.#shownMs = this.#startedMs
  }

  addFile(): void {
    this.#fileCount += 1
    this.#refresh()
  }

  addBytes(count: number): void {
    this.#sizeBytes += count
    this.#refresh()
  }

  /** How far it is, where somebody else counts. */
  show({ fileCount, sizeBytes }: { readonly fileCount: number; readonly sizeBytes: number }): void {
    this.#fileCount = fileCount
    this.#sizeBytes = sizeBytes
    this.#refresh()
  }

  /** Everything begins again. */
  restart(): void {
    this.#fileCount = 0
    this.#sizeBytes = 0
  }

  /** Takes the line away. */
  async end(): Promise<void> {
    if (this.#err.isTerminal) await this.#err.write(clearLine)
  }

  #refresh(): void {
    if (!this.#err.isTerminal) return
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#shownMs < refreshMs) return
    this.#shownMs = nowMs
    const rate = sizeText(Math.round(this.#sizeBytes / ((nowMs - this.#startedMs) / 1000)))
    const files = this.#fileCount === 1 ? '1 file' : `${this.#fileCount} files`
    // Not awaited: a line that a terminal does not take yet is no reason to send more slowly.
    void this.#err
      .write(`${clearLine}${this.#verb} ${files}, ${sizeText(this.#sizeBytes)}, ${rate}/s`)
      .catch(() => undefined)
  }
}
