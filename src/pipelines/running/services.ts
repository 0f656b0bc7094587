import type { Clock } from '../../base/clock.ts'
import type { JobId } from '../../base/names.ts'
import type { Database, ReadTransaction } from '../../database/database.ts'
import { setJobState } from '../job-records.ts'
import { unendedStates } from '../states.ts'

interface ReplacedRow {
  readonly [column: string]: string
  readonly id: string
  readonly newest: string
}

/**
 * Of a service only the newest job matters: ends the others that have not ended, so that the code
 * which serves an older commit stops, and that of the newest starts.
 */
export async function endReplacedJobs({
  database,
  clock,
}: {
  readonly database: Database
  readonly clock: Clock
}): Promise<void> {
  if ((await database.read(replacedJobs)).length === 0) return
  const at = clock.now()
  await database.transact(async (tx) => {
    for (const { id, newest } of await replacedJobs(tx)) {
      const reason = `replaced by job ${newest}, which serves what came later`
      await setJobState(tx, id as JobId, { state: 'killed', reason, at })
    }
  })
}

/** Those that have not ended, of services that run, with the newest of the same pipeline. */
async function replacedJobs(tx: ReadTransaction): Promise<readonly ReplacedRow[]> {
  return await tx.all<ReplacedRow>(
    `SELECT j.id, n.id AS newest FROM pipelines p
      JOIN jobs n ON n.sequence = (SELECT MAX(sequence) FROM jobs
        WHERE pipeline_id = p.id AND state IN ${unendedStates})
      JOIN jobs j ON j.pipeline_id = p.id AND j.state IN ${unendedStates}
        AND j.sequence < n.sequence
      WHERE p.service_port IS NOT NULL AND p.state = 'running' ORDER BY j.sequence`,
  )
}
