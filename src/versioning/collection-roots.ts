import { UnimplementedError } from '../base/errors.ts'
import type { ReadTransaction } from '../database/database.ts'
import type { ChunkId } from '../storage/chunks.ts'
import type { Content } from '../storage/contents.ts'
import type { TreeRoot } from '../storage/file-trees.ts'

/** What a commit or a staged write keeps alive in the chunk store. */
export type CollectionRoot =
  | { readonly kind: 'tree'; readonly root: TreeRoot }
  | { readonly kind: 'content'; readonly content: Content }
  | { readonly kind: 'chunk'; readonly chunk: ChunkId }

/** Everything that versioning refers to, as of the snapshot `tx`; read page by page. */
export function collectionRoots(tx: ReadTransaction): AsyncIterable<CollectionRoot> {
  throw new UnimplementedError(String(tx))
}
