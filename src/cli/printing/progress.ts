import type { Clock } from '../../base/clock.ts'
import type { Output } from '../output.ts'
import { sizeText } from './sizes.ts'

const refreshMs = 100
const clearLine = '\r\u001b[K'

/** All that there is to do. */
export interface ExpectedTotals {
  readonly fileCount: number
  readonly sizeBytes: number
}

/** Tells a person at a terminal how far a transfer is; says nothing to anyone else. */
export class Progress {
  readonly #err: Output
  readonly #clock: Clock
  readonly #verb: string
  readonly #startedMs: number
  #shownMs: number
  #fileCount = 0
  #sizeBytes = 0
  /** Of these, what did not have to be moved. */
  #skippedBytes = 0
  #expected: ExpectedTotals | undefined

  constructor({ err, clock }: { readonly err: Output; readonly clock: Clock }, verb: string) {
    this.#err = err
    this.#clock = clock
    this.#verb = verb
    this.#startedMs = clock.monotonicMs()
    this.#shownMs = this.#startedMs
  }

  get fileCount(): number {
    return this.#fileCount
  }

  /** Says how much there is to do. */
  expect({ fileCount, sizeBytes }: ExpectedTotals): void {
    this.#expected = { fileCount, sizeBytes }
  }

  addFile(): void {
    this.#fileCount += 1
    this.#refresh()
  }

  addBytes(count: number): void {
    this.#sizeBytes += count
    this.#refresh()
  }

  /** Bytes that are there already. */
  skipBytes(count: number): void {
    this.#skippedBytes += count
    this.addBytes(count)
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
    this.#skippedBytes = 0
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
    const seconds = (nowMs - this.#startedMs) / 1000
    const rate = sizeText(Math.round((this.#sizeBytes - this.#skippedBytes) / seconds))
    const text = `${this.#verb} ${this.#filesText()}, ${this.#bytesText()}, ${rate}/s`
    // Not awaited: a line that a terminal does not take yet is no reason to send more slowly.
    void this.#err.write(`${clearLine}${text}`).catch(() => undefined)
  }

  #filesText(): string {
    const count = this.#expected?.fileCount ?? this.#fileCount
    const done = this.#expected === undefined ? '' : `${this.#fileCount} of `
    return `${done}${count === 1 ? '1 file' : `${count} files`}`
  }

  #bytesText(): string {
    const done = sizeText(this.#sizeBytes)
    return this.#expected === undefined ? done : `${done} of ${sizeText(this.#expected.sizeBytes)}`
  }
}
