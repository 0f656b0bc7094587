import type { RootVisitor } from '../storage/store-check.ts'
import { checkDatumRows, visitPipelinesRoots } from './checks/datum-check.ts'
import { checkJobs } from './checks/job-check.ts'
import { checkLatestResults, type LatestResultsPorts } from './checks/latest-results.ts'
import { checkPipelines } from './checks/pipeline-check.ts'
import type { PipelinesCheckPorts } from './checks/ports.ts'
import { checkSecrets } from './checks/secret-rows-check.ts'
import { checkTrials } from './checks/trial-check.ts'
import { checkTriggers } from './checks/trigger-check.ts'

/** Checks that the rows of pipelines, jobs and datums fit each other; reads no chunk. */
export async function checkPipelinesRows(ports: PipelinesCheckPorts): Promise<void> {
  await checkPipelines(ports)
  await checkJobs(ports)
  await checkDatumRows(ports)
  await checkSecrets(ports)
  await checkTriggers(ports)
  await checkTrials(ports)
}

/** Visits everything that jobs and datum results refer to. */
export async function visitJobRoots(
  ports: PipelinesCheckPorts,
  visitor: RootVisitor,
): Promise<void> {
  await visitPipelinesRoots(ports, visitor)
}

/** Checks what can be told once maps are known to be there. */
export async function checkBaseJobs(ports: LatestResultsPorts): Promise<void> {
  await checkLatestResults(ports)
}
