import { isAmbiguous } from '../cron/schedule.ts'
import { atomsOf } from '../inputs.ts'
import type { PipelineSpec } from '../specs.ts'

/** What a spec asks for that is only recorded, in one line each, for people; often none. */
export function specNotices(spec: PipelineSpec): readonly string[] {
  const notices: string[] = []
  for (const { name, cron } of atomsOf(spec.input)) {
    if (cron === undefined || !isAmbiguous(cron.schedule)) continue
    notices.push(
      `the spec ${JSON.stringify(cron.schedule)} of cron input ${name} is read as in 1.5: second, minute, hour, day of month, month; for minute, hour, day of month, month, day of week write "@crontab ${cron.schedule}"`,
    )
  }
  return notices
}
