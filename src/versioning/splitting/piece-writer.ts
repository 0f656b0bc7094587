import type { ContentSeries } from '../../storage/contents.ts'
import type { Split } from '../splits.ts'
import type { Frame } from './frame.ts'
import type { RecordTarget } from './records.ts'

type Targets = Pick<Split, 'targetRecords' | 'targetBytes'>

/** Makes a content of each piece: the header, records until a target is reached, the footer. */
export class PieceWriter implements RecordTarget {
  readonly #series: ContentSeries
  readonly #recordsMax: number
  readonly #bytesMin: number
  readonly #frame: Frame
  #records = 0
  #bytes = 0

  constructor(series: ContentSeries, { targetRecords, targetBytes }: Targets, frame: Frame) {
    this.#series = series
    this.#bytesMin = targetBytes === 0 ? Infinity : targetBytes
    const recordsMax = targetBytes === 0 ? 1 : Infinity
    this.#recordsMax = targetRecords === 0 ? recordsMax : targetRecords
    this.#frame = frame
  }

  get recordsLeft(): number {
    return this.#recordsMax - this.#records
  }

  get bytesLeft(): number {
    return this.#bytesMin - this.#bytes
  }

  add(bytes: Uint8Array, ended: number): void {
    if (this.#bytes === 0) this.#series.push(this.#frame.header)
    this.#series.push(bytes)
    this.#bytes += bytes.length
    this.#records += ended
  }

  close(): void {
    this.#series.push(this.#frame.footer)
    this.#series.end()
    this.#records = 0
    this.#bytes = 0
  }

  /** Ends a last piece that reached no target. */
  finish(): void {
    if (this.#bytes > 0) this.close()
  }
}
