import type { CommitId } from '../../base/names.ts'
import type { Transaction } from '../../database/database.ts'
import { noteDeletion } from '../deletion-notes.ts'
import { commitTopic, type CommitName } from '../ports.ts'
import { addMergeParent, mergeParents } from '../records/commit-parents.ts'

/**
 * Deletes the record of a commit. Commits that follow it get its parents: they have its files, and
 * so have what it had from those. No branch may point at it, nor an open commit follow it, when the
 * transaction ends. Its staged writes are left to a sweep.
 */
export async function removeCommit(tx: Transaction, { repo, id }: CommitName): Promise<void> {
  const row = await tx.get<{ readonly parent: CommitId | null }>(
    'SELECT parent FROM commits WHERE id = ?',
    id,
  )
  const parent = row?.parent ?? null
  const merged = await mergeParents(tx, id)
  const children = await tx.all<{ readonly id: CommitId }>(
    'SELECT id FROM commits WHERE parent = ?',
    id,
  )
  await tx.run('UPDATE commits SET parent = ? WHERE parent = ?', parent, id)
  for (const child of children) {
    for (const other of merged) await addMergeParent(tx, child.id, other)
  }
  const merges = await tx.all<{ readonly id: CommitId }>(
    'SELECT id FROM merge_parents WHERE parent = ?',
    id,
  )
  for (const merge of merges) {
    for (const other of merged) await addMergeParent(tx, merge.id, other)
    if (parent !== null) await addMergeParent(tx, merge.id, parent)
  }
  await tx.run('DELETE FROM merge_parents WHERE id = ? OR parent = ?', id, id)
  await tx.run('DELETE FROM commit_provenance WHERE id = ?', id)
  await tx.run('DELETE FROM commits WHERE id = ?', id)
  await noteDeletion(tx)
  await tx.emit(commitTopic, `${repo}/${id}`)
}
