import { type ByteStream, concatBytes, copyBytes, emptyBytes } from '../base/bytes.ts'
import { DataLossError, assert } from '../base/errors.ts'
import { chunkIdBytes } from './chunk-id.ts'
import { ListBuilder } from './chunk-lists/list-builder.ts'
import { type PlacedChunk, readList } from './chunk-lists/list-reader.ts'
import type { ChunkRef } from './chunk-lists/node.ts'
import {
  type ChunkId,
  type ChunkLender,
  type ChunkStore,
  type LentChunk,
  unlent,
} from './chunks.ts'
import { contentHash } from './content-hash.ts'
import {
  type Content,
  type ContentChunk,
  type Contents,
  type ContentSeries,
  contentSizeBytes,
  inlineBytesMax,
  type ReadingOptions,
  type SmallContent,
  type WritingOptions,
} from './contents.ts'
import { lentAhead } from './lent-ahead.ts'
import { SegmentedSeries } from './series/segmented-series.ts'
import { splitBytesMin } from './splitter/gear.ts'
import { CutFinder } from './splitter/cut-finder.ts'
import {
  type Chunker,
  cutAll,
  inlineChunker,
  storeTaken,
  type StreamStore,
} from './splitter/inline-chunker.ts'
import { Splitter } from './splitter/splitter.ts'
import type { RangeStore } from './splitter/stored-ranges.ts'

/** Of a content that is being written, each part is so much longer than the one before. */
const partBytes = 64 * 1024 * 1024

/** What is read ahead: so much at a time, of contents of which one read brings several. */
const aheadBytesMax = 4 * 1024 * 1024
const aheadContentBytesMax = 16 * 1024

/** Smaller pieces are copied: they may wait to be sent together with what follows. */
const lentBytesMin = 128 * 1024

/** Contents in chunks: `docs/formats/contents.md`. */
export class ChunkedContents implements Contents {
  readonly #chunks: ChunkStore
  readonly #chunker: Chunker
  readonly #putRanges: RangeStore | undefined
  readonly #lender: ChunkLender | undefined
  readonly #finder = new CutFinder()
  readonly #idleSegments: SharedArrayBuffer[] = []

  /** Long streams are split by the store itself when it can, else on the calling thread. */
  constructor(chunks: ChunkStore | StreamStore | (StreamStore & ChunkLender)) {
    this.#chunks = chunks
    this.#lender = 'lend' in chunks ? chunks : undefined
    this.#chunker = 'putStream' in chunks ? chunks.putStream : inlineChunker(chunks)
    this.#putRanges = 'putRanges' in chunks ? chunks.putRanges : undefined
  }

  async write(bytes: ByteStream, options: WritingOptions = {}): Promise<Content> {
    const source = bytes[Symbol.asyncIterator]()
    const head: Uint8Array[] = []
    let headBytes = 0
    try {
      while (headBytes < splitBytesMin) {
        const { value, done } = await source.next()
        if (done === true) return await this.writeBytes(concatBytes(head))
        headBytes += value.length
        // The source may use its buffer again.
        if (value.length > 0) head.push(copyBytes(value))
      }
      return await this.#writeLong(this.#chunker(resumed(head, source)), options)
    } finally {
      await source.return?.()
    }
  }

  writeBytes(bytes: Uint8Array): Content | Promise<Content> {
    const sizeBytes = bytes.length
    if (sizeBytes <= inlineBytesMax) return { kind: 'inline', bytes: copyBytes(bytes) }
    if (sizeBytes > splitBytesMin) return this.#writeLong(this.#chunker(once(bytes)))
    const stored = this.#chunks.put(bytes)
    if (typeof stored === 'string') return { kind: 'chunk', chunk: stored, sizeBytes }
    return stored.then((chunk) => ({ kind: 'chunk', chunk, sizeBytes }))
  }

  series(): ContentSeries {
    return new SegmentedSeries({
      chunks: this.#chunks,
      contents: this,
      putRanges: this.#putRanges,
      idle: this.#idleSegments,
    })
  }

  async append(head: Content, tail: Content): Promise<Content> {
    if (contentSizeBytes(head) === 0) return tail
    if (contentSizeBytes(tail) === 0) return head
    if (contentSizeBytes(head) + contentSizeBytes(tail) <= splitBytesMin) {
      const parts = [await this.#bytesOf(head), await this.#bytesOf(tail)]
      return await this.writeBytes(concatBytes(parts))
    }
    const { builder, last } = await this.#beforeLast(head)
    const splitter = new Splitter(this.#finder)
    await this.#pushCuts(builder, splitter, last)
    if (tail.kind === 'inline') await this.#pushCuts(builder, splitter, tail.bytes)
    else {
      for await (const { id, sizeBytes } of this.#chunksOf(tail, 0)) {
        // The cuts depend on the bytes since the last one only: from here on they are the tail's.
        if (splitter.pendingBytes === 0) await builder.push({ id, sizeBytes })
        else await this.#pushCuts(builder, splitter, await this.#chunkBytes({ id, sizeBytes }))
      }
    }
    if (splitter.pendingBytes > 0) await builder.push(await storeTaken(splitter, this.#chunks))
    return await finished(builder)
  }

  async *read(content: Content, range: ReadingOptions = {}): AsyncGenerator<Uint8Array> {
    const sizeBytes = contentSizeBytes(content)
    const start = range.offset ?? 0
    const end = Math.min(sizeBytes, start + (range.length ?? sizeBytes))
    assert(start >= 0 && !(end < 0), 'a range starts in the content')
    if (start >= end) return
    if (content.kind === 'inline') {
      yield content.bytes.subarray(start, end)
      return
    }
    const lender = range.lent === true ? this.#lender : undefined
    const refs = before(this.#chunksOf(content, start), end)
    for await (const [chunk, lent] of lentAhead(refs, (ref) => this.#lentChunk(ref, lender))) {
      const { bytes } = lent
      const piece = bytes.subarray(Math.max(0, start - chunk.start), end - chunk.start)
      let isDone = false
      try {
        yield lender !== undefined && piece.length < lentBytesMin ? copyBytes(piece) : piece
        isDone = true
      } finally {
        // Whoever stopped may still be sending it.
        if (isDone) lent.giveBack()
        else lent.giveUp()
      }
    }
  }

  async readMany(contents: readonly SmallContent[]): Promise<readonly Uint8Array[]> {
    const refs = contents.flatMap((content) =>
      content.kind === 'inline' ? [] : { id: content.chunk, sizeBytes: content.sizeBytes },
    )
    const read = await this.#chunksBytes(refs)
    let next = 0
    return contents.map((content) => {
      if (content.kind === 'inline') return content.bytes
      const bytes = read[next]
      next += 1
      assert(bytes !== undefined, 'there are bytes for each chunk')
      return bytes
    })
  }

  async readAhead(contents: readonly Content[]): Promise<void> {
    let leftBytes = aheadBytesMax
    const ids: ChunkId[] = []
    for (const content of contents) {
      if (content.kind !== 'chunk' || content.sizeBytes > aheadContentBytesMax) continue
      leftBytes -= content.sizeBytes
      if (leftBytes < 0) break
      ids.push(content.chunk)
    }
    // One alone is read as well when it is needed.
    if (ids.length > 1) await this.#chunks.readAhead?.(ids)
  }

  async *chunks(content: Content): AsyncGenerator<ContentChunk> {
    if (contentSizeBytes(content) === 0) return
    if (content.kind === 'inline') {
      yield { hash: contentHash(content), sizeBytes: content.bytes.length }
      return
    }
    for await (const { id, sizeBytes } of this.#chunksOf(content, 0)) {
      yield { hash: chunkIdBytes(id), sizeBytes }
    }
  }

  hash(content: Content): Uint8Array {
    return contentHash(content)
  }

  async #writeLong(
    refs: AsyncIterable<ChunkRef>,
    { onPart }: WritingOptions = {},
  ): Promise<Content> {
    const builder = new ListBuilder(this.#chunks)
    let untoldBytes = 0
    for await (const ref of refs) {
      await builder.push(ref)
      untoldBytes += ref.sizeBytes
      if (onPart === undefined || untoldBytes < partBytes) continue
      untoldBytes = 0
      // Chunks end where the bytes before say so: those until now are what their bytes alone would be cut into.
      await onPart(await finished(builder.copy()))
    }
    return await finished(builder)
  }

  /** A builder that has everything of `head` but its last chunk, and the bytes of that. */
  async #beforeLast(
    head: Content,
  ): Promise<{ readonly builder: ListBuilder; readonly last: Uint8Array }> {
    if (head.kind !== 'list') {
      return { builder: new ListBuilder(this.#chunks), last: await this.#bytesOf(head) }
    }
    const { builder, last } = await ListBuilder.beforeLast(this.#chunks, head.root)
    return { builder, last: await this.#chunkBytes(last) }
  }

  async #pushCuts(builder: ListBuilder, splitter: Splitter, bytes: Uint8Array): Promise<void> {
    for await (const ref of cutAll(splitter, this.#chunks, bytes)) await builder.push(ref)
  }

  /** The bytes of a content that is not a list. */
  async #bytesOf(content: Content): Promise<Uint8Array> {
    if (content.kind === 'inline') return content.bytes
    assert(content.kind === 'chunk', 'a content below the least split is no list')
    return await this.#chunkBytes({ id: content.chunk, sizeBytes: content.sizeBytes })
  }

  async *#chunksOf(
    content: Exclude<Content, { readonly kind: 'inline' }>,
    offset: number,
  ): AsyncGenerator<PlacedChunk> {
    const { sizeBytes } = content
    if (content.kind === 'chunk') yield { id: content.chunk, sizeBytes, start: 0 }
    else yield* readList(this.#chunks, { id: content.root, sizeBytes }, offset)
  }

  async #lentChunk(ref: ChunkRef, lender: ChunkLender | undefined): Promise<LentChunk> {
    if (lender === undefined) return unlent(await this.#chunkBytes(ref))
    const lent = await lender.lend(ref.id, ref.sizeBytes)
    checkedSize(ref, lent.bytes)
    return lent
  }

  async #chunkBytes(ref: ChunkRef): Promise<Uint8Array> {
    return checkedSize(ref, await this.#chunks.get(ref.id))
  }

  async #chunksBytes(refs: readonly ChunkRef[]): Promise<readonly Uint8Array[]> {
    if (this.#chunks.getMany === undefined) {
      return Promise.all(refs.map(async (ref) => this.#chunkBytes(ref)))
    }
    const read = await this.#chunks.getMany(refs.map(({ id }) => id))
    return refs.map((ref, index) => checkedSize(ref, read[index] ?? emptyBytes))
  }
}

function checkedSize({ id, sizeBytes }: ChunkRef, bytes: Uint8Array): Uint8Array {
  if (bytes.length === sizeBytes) return bytes
  throw new DataLossError(`chunk ${id} has ${bytes.length} bytes; what names it says ${sizeBytes}`)
}

async function* before(refs: AsyncIterable<PlacedChunk>, end: number): AsyncGenerator<PlacedChunk> {
  for await (const ref of refs) {
    if (ref.start >= end) return
    yield ref
  }
}

async function finished(builder: ListBuilder): Promise<Content> {
  const { kind, ref } = await builder.finish()
  return kind === 'chunk'
    ? { kind, chunk: ref.id, sizeBytes: ref.sizeBytes }
    : { kind, root: ref.id, sizeBytes: ref.sizeBytes }
}

/** Takes `head` away, piece by piece. */
async function* resumed(
  head: Uint8Array[],
  source: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  for (let first = head.shift(); first !== undefined; first = head.shift()) yield first
  for (let next = await source.next(); next.done !== true; next = await source.next()) {
    yield next.value
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
  yield bytes
}
