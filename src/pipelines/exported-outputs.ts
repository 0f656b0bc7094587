import { FailedPreconditionError } from '../base/errors.ts'
import type { CommitId } from '../base/names.ts'
import type { Transaction } from '../database/database.ts'
import { type CommitTree, findCommit } from '../versioning/commit-records.ts'
import { findOpenJob, type JobRecord } from './job-records.ts'
import type { ReachedTarget } from './output-exports.ts'

interface ExportedRow {
  readonly [column: string]: string | number | null
  readonly pipeline_version: number
  readonly place: string
  readonly commit_id: string | null
  readonly exporting: string | null
}

/**
 * Notes that a job is about to export `tree`, which may write over whatever differs in it. Returns a
 * tree all other files of which are known to be there: that of the last job, where this is its version of
 * the pipeline and its place, and nobody else has begun to write over it. A job that somebody asked
 * for is told of none, so that it looks at everything.
 *
 * @throws {FailedPreconditionError} when the job has ended, or goes on as another version: it must not
 * write, then.
 */
export async function beginExport(
  tx: Transaction,
  job: JobRecord,
  { tree, place, isEmpty }: { readonly tree: CommitTree } & ReachedTarget,
): Promise<CommitTree | undefined> {
  const { pipelineId, pipelineVersion } = job
  if ((await findOpenJob(tx, job.id))?.pipelineVersion !== pipelineVersion) {
    throw new FailedPreconditionError(`job ${job.id} has ended, or has been updated`)
  }
  const row = await tx.get<ExportedRow>(
    'SELECT * FROM exported_outputs WHERE pipeline_id = ?',
    pipelineId,
  )
  const isKnown =
    row !== undefined &&
    row.pipeline_version === pipelineVersion &&
    row.place === place &&
    (row.exporting === null || row.exporting === tree.root) &&
    !isEmpty &&
    !job.isByHand
  const id = isKnown ? (row.commit_id as CommitId | null) : null
  const commit = id === null ? undefined : await findCommit(tx, job.outputRepo, id)
  const base = commit?.state.kind === 'finished' ? commit : undefined
  await tx.run(
    `INSERT INTO exported_outputs (pipeline_id, pipeline_version, place, commit_id, exporting)
      VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (pipeline_id) DO UPDATE SET pipeline_version = excluded.pipeline_version,
        place = excluded.place, commit_id = excluded.commit_id, exporting = excluded.exporting`,
    pipelineId,
    pipelineVersion,
    place,
    base?.id ?? null,
    tree.root,
  )
  return base?.state.kind === 'finished' ? base.state.tree : undefined
}

/** Notes that all of what a job has begun to export is there, in the transaction in which it succeeds. */
export async function endExport(tx: Transaction, job: JobRecord): Promise<void> {
  await tx.run(
    'UPDATE exported_outputs SET commit_id = ?, exporting = NULL WHERE pipeline_id = ?',
    job.outputCommit,
    job.pipelineId,
  )
}
