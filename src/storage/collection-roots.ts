import type { ChunkId } from './chunks.ts'
import type { Content } from './contents.ts'
import type { TreeRoot } from './file-trees.ts'
import type { MapRoot } from './prolly-map.ts'

/** Something that keeps chunks from garbage collection. */
export type CollectionRoot =
  /** A file tree; also a prolly map whose values are tree entries. */
  | { readonly kind: 'tree'; readonly root: TreeRoot }
  /** A prolly map whose entries refer to no chunks. */
  | { readonly kind: 'map'; readonly root: MapRoot }
  | { readonly kind: 'content'; readonly content: Content }
  | { readonly kind: 'chunk'; readonly chunk: ChunkId }

/** Rows that a collection removes because nothing can need them any more. */
export interface RemovedRows {
  readonly results: number
  readonly objects: number
  readonly tags: number
}

/** What a layer is told of the collection that asks for its roots. */
export interface CollectionRun {
  /** Nothing may change: rows that would be removed are counted, and are no roots. */
  readonly isRehearsal: boolean
  /**
   * What the last collection marked counts as marked: only what is new is looked at, and what was let
   * go since stays until a collection from scratch.
   */
  readonly isIncremental: boolean
  /** Of objects and tags keep what 1.5 kept, and nothing for being young or for having a tag. */
  readonly isStrict: boolean
  /** Files of at most `inlineBytesMax` bytes, as latin1 texts: those to look for, and those found. */
  readonly inline: {
    readonly wantedInline: Set<string>
    readonly seenInline: ReadonlySet<string>
  }
  /** Whether one of the roots before this one keeps the chunk. */
  isMarked(id: ChunkId): Promise<boolean>
  removed(what: keyof RemovedRows, count: number): void
}

/** A layer that refers to chunks. */
export interface CollectionSource {
  /** Called before any root is asked for. */
  prepare?(run: CollectionRun): Promise<void>
  /**
   * Everything that its rows and its memory refer to; may come more than once. What refers to
   * something from the first pull to the end must come; what comes or goes meanwhile need not.
   */
  collectionRoots(run: CollectionRun): AsyncIterable<CollectionRoot>
  /** Called when the collection has come to its end. */
  ended?(run: CollectionRun): Promise<void>
}
