import type { ByteStream } from '../base/bytes.ts'
import type { ChunkId } from './chunks.ts'

/**
 * What a file holds. The kind follows from the bytes alone, so equal bytes are equal contents:
 * up to `inlineBytesMax` inline, else one chunk when the splitter makes one, else a chunk list.
 */
export type Content =
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  | { readonly kind: 'chunk'; readonly chunk: ChunkId; readonly sizeBytes: number }
  | { readonly kind: 'list'; readonly root: ChunkId; readonly sizeBytes: number }

/** A content of at most one chunk, 4 MiB. */
export type SmallContent = Exclude<Content, { readonly kind: 'list' }>

/** Contents up to this size ride in the directory that names them. */
export const inlineBytesMax = 64

export function contentSizeBytes(content: Content): number {
  return content.kind === 'inline' ? content.bytes.length : content.sizeBytes
}

export interface ReadingOptions {
  readonly offset?: number
  readonly length?: number
  readonly lent?: boolean
}

export interface WritingOptions {
  /** Told of what a long content is up to here, every 64 MiB or so, and waited for. */
  readonly onPart?: (part: Content) => Promise<void>
}

/** A run of a content's bytes. */
export interface ContentChunk {
  /** SHA-256 of these bytes. */
  readonly hash: Uint8Array
  readonly sizeBytes: number
}

/** Splits, hashes, stores and reads the bytes of files. */
export interface Contents {
  /** Stores a stream of any length in bounded memory. Durable after the chunk store's `flush`. */
  write(bytes: ByteStream, options?: WritingOptions): Promise<Content>
  /** Stores bytes that are already in memory; a promise only where there is something to wait for. */
  writeBytes(bytes: Uint8Array): Content | Promise<Content>
  /** For many contents that come one after the other. */
  series(): ContentSeries
  /** The content that is `head` followed by `tail`; reads and rewrites only the last chunk of `head`. */
  append(head: Content, tail: Content): Promise<Content>
  /**
   * The bytes from `offset`, at most `length` of them, in order, in pieces of at most 4 MiB. When
   * they are `lent`, a large piece is valid until the next one is asked for.
   */
  read(content: Content, options?: ReadingOptions): ByteStream
  /**
   * The bytes of many contents that are no lists, each whole, in their order. Holds all of them, so
   * the caller bounds their sizes.
   */
  readMany(contents: readonly SmallContent[]): Promise<readonly Uint8Array[]>
  /**
   * Has those of the contents that are small, up to a few MiB of them, be read together, so that `read`
   * finds them at hand.
   */
  readAhead(contents: readonly Content[]): Promise<void>
  /** What the content is made of: chunks that, joined, are its bytes; none when it is empty. */
  chunks(content: Content): AsyncIterable<ContentChunk>
  /** 32 bytes: equal contents have equal hashes. SHA-256 of the bytes when they fit in one chunk. */
  hash(content: Content): Uint8Array
}

/**
 * Makes contents of bytes that are pushed, one content after the other, in bounded memory. They are
 * durable after the chunk store's `flush`.
 */
export interface ContentSeries extends AsyncDisposable {
  /** Goes on with the current content. Copies `bytes`, of which there are at most a few MiB. */
  push(bytes: Uint8Array): void
  /** Ends the current content, which may be empty, and begins the next. */
  end(): void
  /** Stores what has ended, and holds what has not: for when nothing may come for long. */
  rest(): void
  /** True when `take` is due before more is pushed. */
  readonly isFull: boolean
  /** The next contents that are stored, in the order of their ends; resolves when there is room. */
  take(): Promise<readonly Content[]>
  /** All contents that were not taken yet; every one must have ended. */
  finish(): Promise<readonly Content[]>
}
