import { CheckRun } from '../base/check-run.ts'
import type { JobRecord } from '../pipelines/job-records.ts'
import { checkPipelinesRows } from '../pipelines/pipelines-check.ts'
import type { TestProcessing } from './test-processing.ts'

/** How many jobs of a pipeline are in each state. */
export async function jobStates(
  { processing }: Pick<TestProcessing, 'processing'>,
  pipeline: string,
): Promise<Record<string, number>> {
  const jobs = await processing.jobs.list(pipeline)
  const byState = Object.groupBy(jobs, ({ state }: JobRecord) => state)
  return Object.fromEntries(Object.entries(byState).map(([state, some]) => [state, some.length]))
}

/** What a full check finds wrong with the rows of pipelines and jobs. */
export async function findingsInRows({
  database,
}: Pick<TestProcessing, 'database'>): Promise<readonly string[]> {
  const found: string[] = []
  const options = { full: true, fix: false, exclusive: true }
  const { signal } = new AbortController()
  const run = new CheckRun(options, signal, async ({ what }) => void found.push(what))
  await checkPipelinesRows({ database, run })
  return found
}
