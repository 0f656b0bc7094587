import { assert } from '../../base/errors.ts'
import type { Transaction } from '../../database/database.ts'

type SequenceRow = { readonly last: number }

/** A number greater than that of every earlier write of a repo, branch or commit. */
export async function nextWritten(tx: Transaction): Promise<number> {
  await tx.run('UPDATE versioning_sequence SET last = last + 1 WHERE one = 1')
  const row = await tx.get<SequenceRow>('SELECT last FROM versioning_sequence WHERE one = 1')
  assert(row !== undefined, 'the write sequence has its row')
  return row.last
}
