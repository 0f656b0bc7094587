import type { Instant } from '../../base/clock.ts'
import { cleanPattern, parseCapturingGlob, parseGlob } from '../../base/globs.ts'
import { shortened } from '../../base/shortened.ts'
import { isAmbiguous } from '../cron/schedule.ts'
import { atomsOf, type AtomInput, type CronTicks } from '../inputs.ts'
import type { PipelineRecord } from '../pipeline-records.ts'

const microsPerMilli = 1000

/** What of a pipeline's spec may surprise people, in one line each; often none. */
export function specNotices({
  spec,
  createdAt,
}: Pick<PipelineRecord, 'spec' | 'createdAt'>): readonly string[] {
  return atomsOf(spec.input).flatMap((atom) => [
    ...(atom.cron === undefined ? globNotices(atom) : cronNotices(atom.name, atom.cron, createdAt)),
  ])
}

function* globNotices({ name, glob, matchOn }: AtomInput): Generator<string> {
  const shown = shortened(JSON.stringify(glob))
  const what = `the glob ${shown} of input ${name}`
  if (glob.split('/').some((part) => part === '.' || part === '..')) {
    yield `${what} is read as ${shortened(JSON.stringify(cleanPattern(glob) || '/'))}: "." and ".." are no names of files`
  }
  if (glob.includes('**')) {
    yield `${what} has "**", which is "*" here: it matches what is in one directory, and nothing deeper; write "/*/*" for the next level`
  }
  const { components } = matchOn === undefined ? parseGlob(glob) : parseCapturingGlob(glob)
  const odd = components.find(({ literal }) => literal !== undefined && !isFileName(literal))
  if (odd !== undefined) {
    yield `${what} matches nothing, ever: no file is named ${JSON.stringify(odd.literal)}`
  }
}

function isFileName(name: string): boolean {
  return name !== '.' && name !== '..' && !name.includes('\0')
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
