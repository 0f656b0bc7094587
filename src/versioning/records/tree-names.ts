import type { ReadTransaction } from '../../database/database.ts'
import type { TreeRoot } from '../../storage/file-trees.ts'
import type { CommitTree } from '../commit-records.ts'

type TreeRow = {
  readonly root: TreeRoot
  readonly size_bytes: number
  readonly file_count: number
}

/** The tree of some finished commit that has this name. */
export async function findTree(tx: ReadTransaction, root: string): Promise<CommitTree | undefined> {
  const row = await tx.get<TreeRow>(
    'SELECT root, size_bytes, file_count FROM commits WHERE root = ? LIMIT 1',
    root,
  )
  if (row === undefined) return undefined
  return { root: row.root, sizeBytes: row.size_bytes, fileCount: row.file_count }
}
