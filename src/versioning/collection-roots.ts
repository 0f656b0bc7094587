import type { CommitId } from '../base/names.ts'
import type { Database } from '../database/database.ts'
import type { ChunkReader } from '../storage/chunks.ts'
import type { CollectionRoot } from '../storage/collection-roots.ts'
import type { TreeRoot } from '../storage/file-trees.ts'
import { fileCodec, mergeRuns, piecesCodec } from './staging/runs.ts'
import { decodeContent } from './staging/staged-bytes.ts'
import { decodeStaged, type StagedColumns, type StagedWrite } from './staging/staged-rows.ts'

import { uploadPartPages } from './records/upload-rows.ts'

const pageMax = 200

type StagedRow = StagedColumns & { readonly id: CommitId; readonly sequence: number }
type RootRow = { readonly id: CommitId; readonly root: TreeRoot }

/**
 * Everything that the rows of versioning refer to. Read page by page, staged writes first: what is
 * finished meanwhile is then found among the commits. Roots may come more than once.
 */
export async function* collectionRoots(
  database: Database,
  chunks: ChunkReader,
): AsyncGenerator<CollectionRoot> {
  // What is kept may be put, and is forgotten then.
  yield* keptTransfers(database)
  // So are the parts of an upload.
  yield* uploadParts(database)
  for await (const write of stagedWrites(database)) yield* rootsOf(write, chunks)
  let after = ''
  for (;;) {
    const last = after
    const page = await database.read((tx) =>
      tx.all<RootRow>(
        `SELECT id, root FROM commits WHERE id > ? AND root IS NOT NULL ORDER BY id LIMIT ?`,
        last,
        pageMax,
      ),
    )
    for (const { root } of page) yield { kind: 'tree', root }
    const end = page.at(-1)
    if (end === undefined) return
    after = end.id
  }
}

type KeptRow = { readonly key: string; readonly root: TreeRoot }

async function* keptTransfers(database: Database): AsyncGenerator<CollectionRoot> {
  for (let after = ''; ;) {
    const last = after
    const page = await database.read((tx) =>
      tx.all<KeptRow>(
        'SELECT key, root FROM kept_transfers WHERE key > ? ORDER BY key LIMIT ?',
        last,
        pageMax,
      ),
    )
    for (const { root } of page) yield { kind: 'tree', root }
    const end = page.at(-1)
    if (end === undefined) return
    after = end.key
  }
}

async function* uploadParts(database: Database): AsyncGenerator<CollectionRoot> {
  for await (const page of uploadPartPages(database)) {
    for (const { content: column } of page) {
      const content = decodeContent(column)
      if (content.kind !== 'inline') yield { kind: 'content', content }
    }
  }
}

async function* stagedWrites(database: Database): AsyncGenerator<StagedWrite> {
  let after = { id: '', sequence: 0 }
  for (;;) {
    const { id, sequence } = after
    const page = await database.read((tx) =>
      tx.all<StagedRow>(
        `SELECT id, sequence, kind, path_key, payload FROM staged_writes
          WHERE (id, sequence) > (?, ?) ORDER BY id, sequence LIMIT ?`,
        id,
        sequence,
        pageMax,
      ),
    )
    for (const row of page) yield decodeStaged(row)
    const end = page.at(-1)
    if (end === undefined) return
    after = end
  }
}

async function* rootsOf(write: StagedWrite, chunks: ChunkReader): AsyncGenerator<CollectionRoot> {
  if (write.kind === 'put' && write.value.kind === 'content') {
    yield { kind: 'content', content: write.value.content }
  } else if (write.kind === 'graft') {
    const { entry } = write
    if (entry.kind === 'directory') yield { kind: 'tree', root: entry.root }
    else if (entry.content.kind !== 'inline') yield { kind: 'content', content: entry.content }
  } else if (write.kind === 'bulk' || write.kind === 'splits') {
    for (const chunk of write.runs.flat()) yield { kind: 'chunk', chunk }
    if (write.kind === 'splits') {
      for await (const { content } of mergeRuns(chunks, piecesCodec, write.runs)) {
        yield { kind: 'tree', root: content.root }
      }
      return
    }
    for await (const { content } of mergeRuns(chunks, fileCodec, write.runs)) {
      if (content.kind !== 'inline') yield { kind: 'content', content }
    }
  }
}
