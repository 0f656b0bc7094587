import type { FilePath } from '../base/paths.ts'
import type { ChunkId } from './chunks.ts'
import type { Content } from './contents.ts'

/** The root node of a directory's prolly tree: equal directories have equal roots. */
export type TreeRoot = ChunkId

export interface FileEntry {
  readonly kind: 'file'
  readonly content: Content
}

export interface DirectoryEntry {
  readonly kind: 'directory'
  readonly root: TreeRoot
  /** The encoded root node when it is small enough to ride in the parent directory. */
  readonly inlineNode?: Uint8Array
  /** Sum of the sizes of all files below. */
  readonly sizeBytes: number
  /** Count of all files below. */
  readonly fileCount: number
}

export type TreeEntry = FileEntry | DirectoryEntry

export interface NamedEntry {
  readonly name: string
  readonly entry: TreeEntry
}

export interface PathEntry {
  readonly path: FilePath
  readonly entry: TreeEntry
}

/** One path that differs: only in the old tree, only in the new one, or in both with other content. */
export interface PathDifference {
  readonly path: FilePath
  readonly before: TreeEntry | undefined
  readonly after: TreeEntry | undefined
}

/** Sets `path` to `entry` (a whole directory may be grafted), or removes what is there. */
export interface TreeEdit {
  readonly path: FilePath
  readonly entry: TreeEntry | undefined
}
