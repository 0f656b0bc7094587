import type { CommitId, PipelineName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { findBranch } from '../../versioning/branches.ts'
import type { GoingCommits } from '../../versioning/ports.ts'
import { branchesOf } from '../inputs.ts'
import { findPipeline, pipelineTopic } from '../pipeline-records.ts'
import { forgetCommit, noteInPlace, type Arrival, type ArrivalRow, arrivalOf } from './arrivals.ts'
import { startsNoJob } from './from-commits.ts'

/**
 * Forgets commits that are about to go. What came before one that a pipeline's latest job read has been
 * forgotten, so its heir is noted in its place: as if it had never been.
 */
export async function forgetGoing(tx: Transaction, commits: GoingCommits): Promise<void> {
  // All first: with one, what came after it is considered anew, and does not count as used any more.
  const losses: Loss[] = []
  for (const { id, heir } of commits.values()) {
    if (heir !== undefined) losses.push(...(await lossesOf(tx, commits, { id, heir })))
  }
  for (const { pipeline, arrival, heir } of losses) {
    await noteInPlace(tx, pipeline, arrival, heir)
    await tx.emit(pipelineTopic, pipeline)
  }
  for (const { id, heir } of commits.values()) await forgetCommit(tx, id, heir)
}

/** What a pipeline would lose with a commit. */
interface Loss {
  readonly pipeline: PipelineName
  readonly arrival: Arrival
  readonly heir: CommitId
}

async function lossesOf(
  tx: ReadTransaction,
  commits: GoingCommits,
  { id, heir }: { readonly id: CommitId; readonly heir: CommitId },
): Promise<readonly Loss[]> {
  const rows = await tx.all<ArrivalRow & { readonly pipeline: string }>(
    // One that was used may be new again, see `noteInPlace`; then nothing is before it, or still to come.
    `SELECT pipeline, sequence, position, commit_id FROM pipeline_arrivals a
      WHERE commit_id = ? AND (state = 'used' OR state = 'new'
        AND NOT EXISTS (SELECT 1 FROM pipeline_arrivals o WHERE o.pipeline = a.pipeline
          AND o.position = a.position AND o.sequence < a.sequence)
        AND NOT EXISTS (SELECT 1 FROM pipeline_histories h WHERE h.pipeline = a.pipeline
          AND h.position = a.position)) ORDER BY pipeline`,
    id,
  )
  const losses: Loss[] = []
  for (const row of rows) {
    const loss = { pipeline: row.pipeline as PipelineName, arrival: arrivalOf(row), heir }
    if (await isMissing(tx, commits, loss)) losses.push(loss)
  }
  return losses
}

/** Whether nothing else has a pipeline read the heir, and it is to be read. */
async function isMissing(
  tx: ReadTransaction,
  commits: GoingCommits,
  { pipeline: name, arrival: { position }, heir }: Loss,
): Promise<boolean> {
  const pipeline = await findPipeline(tx, name)
  const atom = pipeline && branchesOf(pipeline.spec.input)[position]
  if (atom === undefined || (await startsNoJob(tx, atom, heir))) return false
  const head = (await findBranch(tx, atom.repo, atom.branch))?.head
  // Where its head goes, the branch moves to the heir, which comes then.
  if (head !== undefined && commits.get(head)?.heir === heir) return false
  const noted = await tx.get(
    'SELECT sequence FROM pipeline_arrivals WHERE commit_id = ? AND pipeline = ? AND position = ?',
    heir,
    name,
    position,
  )
  return noted === undefined
}
