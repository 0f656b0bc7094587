import type { Clock } from '../../base/clock.ts'
import type { Output } from '../../base/output.ts'
import { sizeText } from '../../base/sizes.ts'

const refreshMs = 100
const clearLine = '\r\u001b[K'
const barWidth = 24
/** Before, nobody can tell how long the rest will take. */
const steadySeconds = 1

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

  /** Puts what was done in the place of the line. */
  async end(): Promise<void> {
    if (!this.#err.isTerminal) return
    const seconds = this.#seconds()
    const done = `${this.#verb} ${filesText(this.#fileCount)}, ${sizeText(this.#sizeBytes)}`
    await this.#err.write(
      `${clearLine}${done} in ${secondsText(seconds)}${this.#rateText(seconds)}\n`,
    )
  }

  #refresh(): void {
    if (!this.#err.isTerminal) return
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#shownMs < refreshMs) return
    this.#shownMs = nowMs
    // Not awaited: a line that a terminal does not take yet is no reason to send more slowly.
    void this.#err.write(`${clearLine}${this.#line()}`).catch(() => undefined)
  }

  #line(): string {
    const seconds = this.#seconds()
    const rate = this.#rateText(seconds)
    const expected = this.#expected
    if (expected === undefined) {
      const files = this.#fileCount === 0 ? '' : ` ${filesText(this.#fileCount)},`
      return `${this.#verb}${files} ${sizeText(this.#sizeBytes)}${rate}`
    }
    const { sizeBytes, fileCount } = expected
    const part = sizeBytes === 0 ? 1 : Math.min(1, this.#sizeBytes / sizeBytes)
    const files = fileCount === 1 ? '' : `${this.#fileCount} of ${filesText(fileCount)}, `
    const bytes = `${sizeText(this.#sizeBytes)} of ${sizeText(sizeBytes)}`
    return `${this.#verb} ${barText(part)} ${files}${bytes}${rate}${this.#leftText(seconds)}`
  }

  #seconds(): number {
    return (this.#clock.monotonicMs() - this.#startedMs) / 1000
  }

  /** Of what had to be moved. */
  #rateText(seconds: number): string {
    const moved = this.#sizeBytes - this.#skippedBytes
    return seconds <= 0 || moved <= 0 ? '' : `, ${sizeText(Math.round(moved / seconds))}/s`
  }

  #leftText(seconds: number): string {
    const moved = this.#sizeBytes - this.#skippedBytes
    const left = (this.#expected?.sizeBytes ?? 0) - this.#sizeBytes
    if (seconds < steadySeconds || moved <= 0 || left <= 0) return ''
    return `, ${secondsText((left / moved) * seconds)} left`
  }
}

/** Such as `[=====>    ]  52%`. */
function barText(part: number): string {
  const done = Math.floor(part * barWidth)
  const bar = '='.repeat(done) + (done < barWidth ? '>' : '') + ' '.repeat(barWidth)
  return `[${bar.slice(0, barWidth)}] ${String(Math.floor(part * 100)).padStart(3)}%`
}

function filesText(count: number): string {
  return count === 1 ? '1 file' : `${count} files`
}

function secondsText(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 100) return `${Math.round(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60
    ? `${minutes} min ${Math.round(seconds % 60)} s`
    : `${Math.round(minutes / 6) / 10} h`
}
