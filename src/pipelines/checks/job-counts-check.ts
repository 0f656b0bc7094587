import type { ReadTransaction } from '../../database/database.ts'
import { atomsOf } from '../inputs.ts'
import { type CountedJob, findCountedJob, recountDatums } from '../job-counts.ts'
import { specOfVersion } from '../pipeline-records.ts'
import { pipelinesFinding } from '../pipelines-findings.ts'
import type { PipelinesCheckPorts } from './ports.ts'

/**
 * Checks that a job which has not succeeded counts no datum as processed, failed or recovered of which
 * there is no row, and no more datums than it has. One that was interrupted may count less, until it has
 * found them again.
 */
export async function checkJobCounts(
  { database, run }: PipelinesCheckPorts,
  id: string,
): Promise<void> {
  const row = await database.read((tx) => wronglyCounted(tx, id))
  if (row === undefined) return
  const { pipeline, total, processed, skipped, failed, recovered } = row
  await run.report({
    kind: pipelinesFinding('job-counts-wrong'),
    subject: { job: id, pipeline },
    what: `job ${id} of pipeline ${pipeline} says that of ${total} datums ${processed} were processed, ${skipped} skipped, ${recovered} recovered and ${failed} failed; there are ${row.result_rows} results, and ${row.recovered_rows} that were recovered and ${row.failure_rows} that failed`,
    repair: () => database.transact((tx) => recountDatums(tx, id)),
  })
}

async function wronglyCounted(tx: ReadTransaction, id: string): Promise<CountedJob | undefined> {
  const row = await findCountedJob(tx, id)
  if (row === undefined) return undefined
  const { processed, skipped, failed, recovered, total } = row
  if (failed > row.failure_rows || recovered > row.recovered_rows) return row
  if (processed + skipped + failed + recovered > total) return row
  if (processed <= row.result_rows) return undefined
  const spec = await specOfVersion(tx, row.pipeline_id, row.version)
  // Where two members of a union have one name, a datum may stand in two places, and counts in each.
  const names = spec === undefined ? [] : atomsOf(spec.input).map(({ name }) => name)
  return new Set(names).size === names.length ? row : undefined
}
