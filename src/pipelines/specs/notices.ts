import type { Instant } from '../../base/clock.ts'
import { isAmbiguous } from '../cron/schedule.ts'
import { atomsOf, type CronTicks } from '../inputs.ts'
import type { PipelineRecord } from '../pipeline-records.ts'

const microsPerMilli = 1000

/** What of a pipeline's spec may surprise people, in one line each; often none. */
export function specNotices({
  spec,
  createdAt,
}: Pick<PipelineRecord, 'spec' | 'createdAt'>): readonly string[] {
  return atomsOf(spec.input).flatMap(({ name, cron }) =>
    cron === undefined ? [] : [...cronNotices(name, cron, createdAt)],
  )
}

function* cronNotices(
  name: string,
  { schedule, start, missed }: CronTicks,
  createdAt: Instant,
): Generator<string> {
  if (isAmbiguous(schedule)) {
    yield `the spec ${JSON.stringify(schedule)} of cron input ${name} is read as in 1.5: second, minute, hour, day of month, month; for minute, hour, day of month, month, day of week write "@crontab ${schedule}"`
  }
  if (missed === 'all' && start < createdAt) {
    const since = new Date(start / microsPerMilli).toISOString()
    yield `cron input ${name} starts in the past, at ${since}: each tick from then on is made, one after the other, and starts a job; for one job write "missed_ticks": "latest"`
  }
}
