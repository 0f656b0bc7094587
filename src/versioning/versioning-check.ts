import type { CheckRun } from '../base/check-run.ts'
import type { Clock } from '../base/clock.ts'
import type { Database } from '../database/database.ts'
import type { RootVisitor } from '../storage/store-check.ts'
import { checkCommits } from './checks/commit-check.ts'
import { checkCommitTags, checkMergeParents } from './checks/name-check.ts'
import { checkObjects } from './checks/object-check.ts'
import { checkRepos } from './checks/repo-check.ts'
import { visitRoots } from './checks/root-walk.ts'
import { checkRepoSizes } from './checks/size-check.ts'
import { checkStagedWrites } from './checks/staged-check.ts'
import { checkTransactions } from './checks/transaction-check.ts'

export interface VersioningCheckPorts {
  readonly database: Database
  readonly clock: Clock
  readonly run: CheckRun
}

/** Checks that the rows of versioning fit each other; reads no chunk. */
export async function checkVersioningRows(ports: VersioningCheckPorts): Promise<void> {
  await checkRepos(ports)
  await checkCommits(ports)
  await checkMergeParents(ports)
  await checkCommitTags(ports)
  await checkStagedWrites(ports)
  await checkTransactions(ports)
  await checkObjects(ports)
}

/** Checks the sizes of repos, once it is known what their commits have. */
export async function checkVersioningSizes(ports: VersioningCheckPorts): Promise<void> {
  await checkRepoSizes(ports)
}

/** Visits everything that the rows of versioning refer to. */
export async function visitVersioningRoots(
  ports: Pick<VersioningCheckPorts, 'database' | 'run'>,
  visitor: RootVisitor,
): Promise<void> {
  await visitRoots(ports, visitor)
}
