import type { ByteStream } from '../../base/bytes.ts'
import type { Content } from '../../storage/contents.ts'
import type { ChunkOrigin } from '../../storage/offered-contents.ts'

/** A file or directory of another server. */
export interface PeerEntry {
  readonly kind: 'file' | 'directory'
  /** Whole, with a slash before each name. */
  readonly path: string
  readonly sizeBytes: number
  /** Differs when what is there differs; undefined where the server has no name for that. */
  readonly version: string | undefined
}

/** A commit of another server. */
export interface PeerCommit {
  readonly repo: string
  readonly id: string
  readonly parent: string | undefined
  readonly isFinished: boolean
  /** Microseconds since 1970; 0: not known. */
  readonly startedAt: number
}

/** A file whose content another server offers by name. */
export interface OfferedFile {
  /** Below what was asked for. */
  readonly path: string
  readonly content: Content
}

/** The contents of a commit of another server, by the names of their chunks. */
export interface PeerContents extends ChunkOrigin {
  /** Some at a time, by path; undefined when it cuts contents in other places than this server. */
  offers(path: string, signal: AbortSignal): AsyncIterable<readonly OfferedFile[] | undefined>
}

/** What is read of another server, whatever its version. */
export interface Peer {
  /** For people. */
  readonly address: string
  /** Whether its commits are called `branch/number`. */
  readonly hasNumberedCommits: boolean
  /** Undefined when there is no such commit. @throws {NotFoundError} without such a repo. */
  commit(repo: string, name: string, signal: AbortSignal): Promise<PeerCommit | undefined>
  /** The commit and those before it, the newest first. */
  line(commit: PeerCommit, signal: AbortSignal): AsyncIterable<PeerCommit>
  /** Undefined when nothing is there. `path` is not the root. */
  inspect(commit: PeerCommit, path: string, signal: AbortSignal): Promise<PeerEntry | undefined>
  /** What is in a directory, sorted by path. */
  list(commit: PeerCommit, path: string, signal: AbortSignal): AsyncIterable<PeerEntry>
  /** The contents of a commit by name, where the server has names like ours for them. */
  contentsOf?(commit: PeerCommit): PeerContents
  /** The bytes of a file that is there, from `offset` on. */
  read(commit: PeerCommit, path: string, offset: number, signal: AbortSignal): ByteStream
}
