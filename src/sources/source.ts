import type { ByteStream } from '../base/bytes.ts'
import { UnavailableError } from '../base/errors.ts'
import type { Content } from '../storage/contents.ts'

/** A file of a source, whose bytes can be had from any place on. */
export interface SourceFile {
  /** Below what was asked for, with a slash before each name; empty for that itself. */
  readonly path: string
  /** Undefined: not known before it is read. */
  readonly sizeBytes: number | undefined
  /** Differs when the content does; undefined: the source does not say. */
  readonly version: string | undefined
  /**
   * The bytes from `offset` on. Opened on the first pull, closed on every way out and when `signal`
   * aborts. A slice may be used until the next is asked for. `onHeld` is told of those that were here already.
   *
   * @throws {SourceBrokeError} when trying again, from where it broke, may help.
   * @throws {DomainError} with advice, when it will not.
   */
  open(offset: number, signal: AbortSignal, onHeld?: (count: number) => void): ByteStream
  /** What its bytes must turn out to be, where the source names that. */
  readonly content?: Content
  /** What it holds, where all of that is here: most often, none of it had to come. */
  stored?(): Promise<StoredFile | undefined>
  /** Finds out the version, where it is known only when the file is opened. */
  probe?(signal: AbortSignal): Promise<void>
}

/** The content of a file, stored here. */
export interface StoredFile {
  readonly content: Content
  /** How much of it came just now. */
  readonly cameBytes: number
}

/** A place that files are put from. */
export interface Source {
  /** For people: without passwords and signatures. */
  readonly name: string
  /** The path that it has of its own, for where no other is given; empty for a root. */
  readonly ownName: string
  /**
   * The file, or all files at and below a directory or a prefix of keys. Each path comes once.
   *
   * @throws {NotFoundError} @throws {InvalidArgumentError} for a directory, when not `isRecursive`.
   */
  files(isRecursive: boolean, signal: AbortSignal): AsyncIterable<SourceFile>
}

/** Nothing is to be reached where a source should be. */
export class SourceAbsentError extends UnavailableError {
  override readonly name = 'SourceAbsentError'
}

/** A source did not answer, or stopped in the middle: what is missing may still be had. */
export class SourceBrokeError extends UnavailableError {
  override readonly name = 'SourceBrokeError'
  /** What the source asks to wait for before it is tried again. */
  readonly retryAfterMs: number | undefined

  constructor(message: string, options?: ErrorOptions & { readonly retryAfterMs?: number }) {
    super(message, options)
    this.retryAfterMs = options?.retryAfterMs
  }
}
