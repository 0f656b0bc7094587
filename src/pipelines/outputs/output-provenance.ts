import type { RepoName } from '../../base/names.ts'
import type { Transaction } from '../../database/database.ts'
import { addProvenance } from '../../versioning/repos.ts'
import { branchesOf } from '../inputs.ts'
import { findPipeline } from '../pipeline-records.ts'
import type { PipelineSpec } from '../specs.ts'

// A repo that is deleted by force and made again has lost what it is made from, and the law that an
// output repo is made from all that its pipeline reads must hold again by then.

/**
 * Makes the output repo of a pipeline from all that the pipeline reads, as far as they exist. False
 * when it was so already.
 *
 * @throws {ProvenanceCycleError}
 */
export async function completeProvenance(
  tx: Transaction,
  { name, input }: Pick<PipelineSpec, 'name' | 'input'>,
): Promise<boolean> {
  const inputs = branchesOf(input).map(({ repo }) => repo)
  return await addProvenance(tx, name as string as RepoName, inputs)
}

/** As `completeProvenance`, for the pipeline that writes `repo` and those that read it. */
export async function completeProvenanceAround(tx: Transaction, repo: RepoName): Promise<void> {
  const readers = await tx.all<{ readonly name: string }>(
    'SELECT pipeline AS name FROM pipeline_inputs WHERE repo = ? GROUP BY pipeline ORDER BY pipeline',
    repo,
  )
  for (const { name } of [{ name: repo }, ...readers]) {
    const pipeline = await findPipeline(tx, name)
    if (pipeline !== undefined) await completeProvenance(tx, pipeline.spec)
  }
}
