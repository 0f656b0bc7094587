import { InvalidArgumentError } from '../../base/errors.ts'
import type { Spool } from '../../storage/spool.ts'
import { checkCancelled } from '../records/cancellation.ts'
import type { Split } from '../splits.ts'
import { type Frame, FrameBytes, HeaderTarget } from './frame.ts'
import type { RecordFinder, RecordTarget, Slice, SplitSource } from './records.ts'
import { SqlDump } from './sql-dump.ts'

/** What lies in a spool: from its start, the records that are neither header nor footer. */
export interface Spooled extends Frame {
  readonly bodyBytes: number
}

/** Takes the rows of a dump into the spool. Undefined when there was nothing at all. */
export async function spooledDump(spool: Spool, source: SplitSource): Promise<Spooled | undefined> {
  const rows: Uint8Array[] = []
  const dump = new SqlDump(source.path, (more) => rows.push(more))
  for await (const bytes of source.bytes) {
    checkCancelled(source.signal)
    dump.push(bytes)
    for (const each of rows.splice(0)) await spool.write(each)
  }
  const frame = dump.finish()
  return frame && { ...frame, bodyBytes: spool.sizeBytes }
}

/** Takes all but the header into the spool. Undefined when there was nothing at all. */
export async function spooledRecords(
  spool: Spool,
  { bytes, path, signal }: SplitSource,
  {
    finder,
    headerRecords,
    footerRecords,
  }: Pick<Split, 'headerRecords' | 'footerRecords'> & { readonly finder: RecordFinder },
): Promise<Spooled | undefined> {
  const header = new HeaderTarget(path, headerRecords)
  const last = new LastRecords(footerRecords)
  let start = 0
  for await (const each of bytes) {
    checkCancelled(signal)
    if (each.length === 0) continue
    const slice: Slice = { bytes: each, start }
    start += each.length
    let at = header.isFull ? 0 : finder.advance(slice, 0, header)
    await spool.write(each.subarray(at))
    while (at < each.length) at = finder.advance(slice, at, last)
  }
  finder.finish()
  if (!header.isFull) header.finish(finder.isWithin)
  if (start === 0) return undefined
  if (finder.isWithin && header.isFull) last.close()
  if (last.count < footerRecords) {
    throw new InvalidArgumentError(
      `what is put at "${path}" has ${last.count} records behind its header, fewer than the ${footerRecords} that its footer should have`,
    )
  }
  const bodyBytes = spool.sizeBytes - last.sizeBytes
  const footer = new FrameBytes(`the footer of what is put at "${path}"`)
  for await (const each of spool.read(bodyBytes, spool.sizeBytes)) footer.add(each)
  return { header: header.joined(), footer: footer.joined(), bodyBytes }
}

/** Counts records, and knows how long the last ones are. */
class LastRecords implements RecordTarget {
  readonly recordsLeft = 1
  readonly bytesLeft = Infinity
  /** The sizes of the last records, in a ring. */
  readonly #sizes: Float64Array
  #count = 0
  #currentBytes = 0

  constructor(count: number) {
    this.#sizes = new Float64Array(count)
  }

  get count(): number {
    return this.#count
  }

  get sizeBytes(): number {
    return this.#sizes.reduce((sum, size) => sum + size, 0)
  }

  add(bytes: Uint8Array): void {
    this.#currentBytes += bytes.length
  }

  close(): void {
    this.#sizes[this.#count % this.#sizes.length] = this.#currentBytes
    this.#count += 1
    this.#currentBytes = 0
  }
}
