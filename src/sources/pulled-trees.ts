import { DataLossError, UnimplementedError } from '../base/errors.ts'
import { type FilePath, joinPath, rootPath } from '../base/paths.ts'
import { chunkIdOf } from '../storage/chunk-id.ts'
import type { ChunkHolder, ChunkId, ChunkStore } from '../storage/chunks.ts'
import { contentSizeBytes, type Contents } from '../storage/contents.ts'
import {
  type DirectoryEntry,
  FileTrees,
  type TreeEdit,
  type TreeRoot,
} from '../storage/file-trees.ts'
import { fetchStored } from './fetched-content.ts'
import { inOrder } from './in-order.ts'
import type { ChunkOrigin } from '../storage/offered-contents.ts'
import { offeredFile } from './pfs/pfs-source.ts'
import { patiently } from './resumed-bytes.ts'
import type { SessionPorts } from './sources.ts'

export interface PulledTreesPorts {
  readonly session: SessionPorts
  readonly chunks: ChunkStore & ChunkHolder
  readonly contents: Contents
  readonly trees: FileTrees
}

export interface PulledTally {
  /** Files that are new or changed. */
  fileCount: number
  /** Their sizes, which a repo grows by. */
  addedBytes: number
  /** That came; the rest was here. */
  cameBytes: number
}

const nodeCacheBytes = 4 * 1024 * 1024
const parallelCount = 10

/**
 * Makes here what a commit elsewhere has, from what its parent has. The other server's tree is read, and
 * nothing of it is stored but the bytes of files: the tree that they make here must have the same root, else
 * the other server says what is not so.
 *
 * @throws {DataLossError} when it does.
 */
export async function pullTree(
  ports: PulledTreesPorts,
  origin: ChunkOrigin,
  what: { readonly name: string; readonly before: DirectoryEntry; readonly root: string },
  tally: PulledTally,
  signal: AbortSignal,
): Promise<DirectoryEntry> {
  const { session, chunks, contents, trees } = ports
  const { name, before } = what
  const remote = new FileTrees(remoteChunks(ports, origin, signal), {
    cacheBytesMax: nodeCacheBytes,
  })
  // Sizes are worked out here; only the root counts.
  const after: DirectoryEntry = { ...before, root: what.root as TreeRoot }
  const edits = inOrder(
    changes(remote, before, after, rootPath),
    parallelCount,
    async (edit, stop) => {
      if (edit.entry?.kind !== 'file') return edit
      const { content } = edit.entry
      const sizeBytes = contentSizeBytes(content)
      tally.fileCount += 1
      tally.addedBytes += sizeBytes
      const file = offeredFile(session.offered, origin, {
        path: edit.path,
        content,
        came: new Set(),
      })
      let heldBytes = 0
      const stored = await fetchStored(
        { patience: session, contents, kept: undefined },
        {
          file,
          id: edit.path,
          name: `${name}${edit.path}`,
          signal: AbortSignal.any([signal, stop]),
          onBytes: () => undefined,
          onKept: (count) => {
            heldBytes += count
          },
        },
      )
      tally.cameBytes += Math.max(0, sizeBytes - heldBytes)
      return { path: edit.path, entry: { kind: 'file', content: stored } } as const
    },
  )
  const made = await trees.edit(before, edits, { emptied: 'keep' })
  await chunks.flush()
  if (made.root === what.root) return made
  throw new DataLossError(
    `${name} is not what the other server says it is: its files make the tree ${made.root}, and not ${what.root}; check that server with pachctl fsck --full`,
  )
}

/** What leads from one directory to another, in the order of a tree. Equal ones are not read. */
async function* changes(
  trees: FileTrees,
  before: DirectoryEntry | undefined,
  after: DirectoryEntry,
  path: FilePath,
): AsyncGenerator<TreeEdit> {
  for await (const difference of trees.diff(before, after, { shallow: true })) {
    const [old, young] = [difference.before, difference.after]
    const place = joinPath(path, difference.path.slice(1))
    if (young === undefined) {
      yield { path: place, entry: undefined }
      continue
    }
    const isOther = old !== undefined && old.kind !== young.kind
    if (isOther) yield { path: place, entry: undefined }
    if (young.kind === 'file') yield { path: place, entry: young }
    else if ((await trees.lastName(young)) === undefined) {
      // Empty, and so of no bytes that could be wrong.
      if (old !== undefined && !isOther) yield { path: place, entry: undefined }
      yield { path: place, entry: young }
    } else yield* changes(trees, old?.kind === 'directory' ? old : undefined, young, place)
  }
}

function refuse(): never {
  throw new UnimplementedError('nothing is stored on another server')
}

/** The chunks of another server, by their names: those that are here do not come. */
function remoteChunks(
  { chunks, session }: PulledTreesPorts,
  origin: ChunkOrigin,
  signal: AbortSignal,
): ChunkStore {
  const get = async (id: ChunkId): Promise<Uint8Array> => {
    if (await chunks.holds(id)) return await chunks.get(id)
    const bytes = await patiently(session, signal, (stop) => only(origin.fetch([id], stop)))
    if (bytes !== undefined && chunkIdOf(bytes) === id) return bytes
    throw new DataLossError('another server answers with another chunk than was asked for')
  }
  return { get, put: async () => refuse(), flush: async () => refuse() }
}

async function only(items: AsyncIterable<Uint8Array>): Promise<Uint8Array | undefined> {
  let found: Uint8Array | undefined
  for await (const item of items) found ??= item
  return found
}
