import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { concatBytes } from '../../base/bytes.ts'

const batchBytesMax = 1024 * 1024

/**
 * All entries of all pages, in messages of at most 1 MiB that hold one entry or more. Each entry is
 * encoded as a message of its own that has only it: joined, they are the message of all.
 */
export async function* batchedList<D extends DescMessage, Entry>(
  batch: D,
  pages: AsyncIterable<readonly Entry[]>,
  encode: (entry: Entry) => MessageInitShape<D>,
): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = []
  let sizeBytes = 0
  for await (const page of pages) {
    for (const entry of page) {
      const bytes = toBinary(batch, create(batch, encode(entry)))
      if (held.length > 0 && sizeBytes + bytes.length > batchBytesMax) {
        yield concatBytes(held)
        held = []
        sizeBytes = 0
      }
      held.push(bytes)
      sizeBytes += bytes.length
    }
  }
  if (held.length > 0) yield concatBytes(held)
}

/** Entries as pages of one. */
export async function* onePages<Entry>(
  entries: AsyncIterable<Entry>,
): AsyncGenerator<readonly Entry[]> {
  for await (const entry of entries) yield [entry]
}
