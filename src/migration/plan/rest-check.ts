import type { Clock, Instant } from '../../base/clock.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import { JobState } from '../../gen/pps_pb.ts'
import { instantOfTime, type OldCatalog } from '../../legacy/old-records.ts'
import type { MigrationRequest } from '../events.ts'

const microsPerMinute = 60_000_000
/** A cluster to which nothing was written for so long is likely to be at rest. */
const quietMinutes = 5

/** Why a cluster should not be migrated as it is: sentences, often none. */
export function restlessness(
  catalog: OldCatalog,
  unfinishedJobs: MigrationRequest['unfinishedJobs'],
  clock: Pick<Clock, 'now'>,
): readonly string[] {
  const reasons: string[] = []
  const running = catalog.jobs.filter(
    ({ info }) => info.state === JobState.JOB_STARTING || info.state === JobState.JOB_RUNNING,
  )
  const [first] = running
  if (first !== undefined) {
    const others = running.length === 1 ? '' : ` and ${running.length - 1} more`
    reasons.push(
      `job ${first.id} of pipeline ${first.pipeline}${others} had not ended: what it does yet is not seen, and ${unfinishedJobs === 'kill' ? 'it is said to have been killed' : 'it runs again'} here`,
    )
  }
  if (catalog.lockCount > 0) {
    reasons.push(
      `${catalog.lockCount} locks of servers or workers are held: something runs, and may write what is not seen`,
    )
  }
  const { awakePipelines, pipelinesElsewhere } = catalog
  if (pipelinesElsewhere.length > 0) {
    reasons.push(
      `no pipelines or jobs are where they were looked for, and keys of pipelines begin with ${pipelinesElsewhere.join(', ')}: unless they are another cluster's, give that as --pps-prefix`,
    )
  }
  if (awakePipelines.length > 0) {
    reasons.push(
      `${awakePipelines.length === 1 ? 'pipeline' : 'pipelines'} ${listed(awakePipelines)} would run what is put there, which is not seen`,
    )
  }
  const latest = lastWriteTo(catalog)
  const agoMinutes = (clock.now() - latest) / microsPerMinute
  if (latest > 0 && agoMinutes < quietMinutes) {
    reasons.push(
      `it was written to ${agoMinutes < 1 ? 'less than a minute' : `${Math.floor(agoMinutes)} minutes`} ago: what comes after this moment is not seen`,
    )
  }
  if (catalog.isAccessControlled) {
    const lists = catalog.access.filter(({ kind }) => kind === 'acl')
    const repos = lists.map(({ name }) => name).toSorted()
    const which = repos.length === 0 ? 'every repo' : `repos ${repos.join(', ')}`
    const isAll = catalog.access.length > lists.length
    const kept = isAll
      ? 'users, tokens and lists are kept for later'
      : 'lists are kept for later, and not users and tokens, which a pachd does not name'
    reasons.push(
      `access control was active, and this server does not enforce any yet: whoever can reach it can read and write ${which}; ${kept}`,
    )
  }
  return reasons
}

const namesMax = 10

function listed(names: readonly string[]): string {
  const more = names.length - namesMax
  return names.slice(0, namesMax).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

/** 0 where nothing says. */
function lastWriteTo({ commits, jobs }: OldCatalog): Instant {
  let latest = 0
  for (const { startedAt, finishedAt } of commits) {
    latest = Math.max(latest, startedAt, finishedAt ?? 0)
  }
  for (const { info } of jobs) {
    latest = Math.max(latest, instantOfTime(info.started) ?? 0, instantOfTime(info.finished) ?? 0)
  }
  return latest
}

/** @throws {FailedPreconditionError} that says what `--force` would risk. */
export function requireRest(reasons: readonly string[]): void {
  if (reasons.length === 0) return
  const list = reasons.map((reason, index) => `(${index + 1}) ${reason}`).join('; ')
  throw new FailedPreconditionError(
    `the old cluster should not be migrated as it is: ${list}. Stop its pipelines and servers first, or go on with --force; nothing was changed`,
  )
}
