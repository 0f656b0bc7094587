import type { CommitId, PipelineName, RepoName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { findTrigger } from '../../versioning/branch-triggers.ts'
import { branchesOf } from '../inputs.ts'
import { specOfVersion, type PipelineRecord } from '../pipeline-records.ts'
import { type Arrival, forgetArrivals, keptMax, lacksNothing } from './arrivals.ts'

// What came to a branch that a trigger moves is found nowhere else: the branch skips commits, and does
// not say which. So an update keeps what was noted of it, until the history comes to it.

/** `repos`: placeholders. */
const isOf = (repos: string): string =>
  `EXISTS (SELECT 1 FROM commits c WHERE c.id = pipeline_arrivals.commit_id AND c.repo IN (${repos}))`

/** Forgets what an updated pipeline had noted, but for branches that it still reads and triggers move. */
export async function keepFollowed(tx: Transaction, pipeline: PipelineRecord): Promise<void> {
  const { name } = pipeline
  const followed = await followedAsBefore(tx, pipeline)
  if (followed.size === 0) return await forgetArrivals(tx, name)
  await tx.run('DELETE FROM pipeline_histories WHERE pipeline = ?', name)
  // The position may be another now; a repo is read through one branch only.
  const repos = [...followed.values()]
  await tx.run(
    `DELETE FROM pipeline_arrivals WHERE pipeline = ? AND NOT ${isOf(repos.map(() => '?').join(', '))}`,
    name,
    ...repos,
  )
  for (const [position, repo] of followed) {
    await tx.run(
      `UPDATE pipeline_arrivals SET position = ? WHERE pipeline = ? AND ${isOf('?')}`,
      position,
      name,
      repo,
    )
  }
  // A branch that was set back has come to a commit twice.
  await tx.run(
    `DELETE FROM pipeline_arrivals WHERE pipeline = ? AND EXISTS (SELECT 1 FROM pipeline_arrivals l
      WHERE l.commit_id = pipeline_arrivals.commit_id AND l.pipeline = pipeline_arrivals.pipeline
        AND l.sequence > pipeline_arrivals.sequence)`,
    name,
  )
  await putBelow(tx, name)
}

/** Of the branches that the pipeline reads, and read, those that a trigger moves: position → repo. */
async function followedAsBefore(
  tx: ReadTransaction,
  { pipelineId, version, spec }: PipelineRecord,
): Promise<ReadonlyMap<number, RepoName>> {
  const followed = new Map<number, RepoName>()
  const former = await specOfVersion(tx, pipelineId, version - 1)
  if (former === undefined) return followed
  const before = branchesOf(former.input)
  for (const [position, { repo, branch, fromCommit }] of branchesOf(spec.input).entries()) {
    const isAsBefore = before.some(
      (atom) => atom.repo === repo && atom.branch === branch && atom.fromCommit === fromCommit,
    )
    if (isAsBefore && (await findTrigger(tx, repo, branch)) !== undefined) {
      followed.set(position, repo)
    }
  }
  return followed
}

/** Makes room for the history above what is kept, as new, in its order. */
async function putBelow(tx: Transaction, pipeline: PipelineName): Promise<void> {
  const range = await tx.get<{ readonly first: number | null; readonly last: number | null }>(
    'SELECT MIN(sequence) AS first, MAX(sequence) AS last FROM pipeline_arrivals WHERE pipeline = ?',
    pipeline,
  )
  if (range === undefined || range.first === null || range.last === null) return
  // Also below what is kept there already: two rows never have one number meanwhile.
  const last = Math.min(keptMax, range.first - 1)
  await tx.run(
    `UPDATE pipeline_arrivals SET sequence = sequence + ?, state = 'new', together = NULL,
      lacks = ${lacksNothing} WHERE pipeline = ?`,
    last - range.last,
    pipeline,
  )
}

/** Takes a commit out of what is kept; returns what came there before it, or last if it is not kept. */
export async function takeKept(
  tx: Transaction,
  pipeline: PipelineName,
  { position, commit }: Omit<Arrival, 'sequence'>,
): Promise<CommitId | undefined> {
  const own = await tx.get<{ readonly sequence: number }>(
    `SELECT sequence FROM pipeline_arrivals
      WHERE commit_id = ? AND pipeline = ? AND position = ? AND sequence <= ?`,
    commit,
    pipeline,
    position,
    keptMax,
  )
  if (own !== undefined) {
    await tx.run(
      'DELETE FROM pipeline_arrivals WHERE pipeline = ? AND sequence = ?',
      pipeline,
      own.sequence,
    )
  }
  const before = await tx.get<{ readonly commit_id: string }>(
    `SELECT commit_id FROM pipeline_arrivals WHERE pipeline = ? AND position = ? AND sequence < ?
      ORDER BY sequence DESC LIMIT 1`,
    pipeline,
    position,
    own?.sequence ?? keptMax + 1,
  )
  return before?.commit_id as CommitId | undefined
}
