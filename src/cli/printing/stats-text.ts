import type { Spread, Stats } from '../../gen/pachyderm_pb.ts'
import { JobState } from '../../gen/pps_pb.ts'
import type { Output } from '../../base/output.ts'
import { sizeText } from '../../base/sizes.ts'
import { jobStateText } from './states.ts'
import { tableText } from './table.ts'
import { goDurationText } from './times.ts'

const shape = { cellWidthMin: 0, gap: 3 }
const nanosPerSecond = 1_000_000_000n
const microsPerSecond = 1e6
const nanosPerMicro = 1000n

/** What jobs and datums took, as a table. */
export function statsText(found: Stats, out: Output): string {
  const { datums, jobSeconds, waitSeconds } = found
  const jobs = [
    row('Job', jobSeconds, secondsText),
    row('Wait before it', waitSeconds, secondsText),
  ].filter((cells) => cells !== undefined)
  const rows = [
    row('Download', datums?.downloadSeconds, secondsText),
    row('Process', datums?.processSeconds, secondsText),
    row('Upload', datums?.uploadSeconds, secondsText),
    row('Downloaded', datums?.downloadBytes, bytesText),
    row('Uploaded', datums?.uploadBytes, bytesText),
  ].filter((cells) => cells !== undefined)
  return [
    jobsLine(found, out),
    datumsLine(found),
    jobs.length + rows.length === 0 ? '' : tableText([heading, ...jobs, ...rows], shape),
  ].join('')
}

const heading = ['', 'COUNT', 'MEAN', 'STDDEV', 'MIN', '5%', 'MEDIAN', '95%', '99%', 'MAX']

function jobsLine({ jobCounts }: Stats, out: Output): string {
  const order = [
    JobState.JOB_STARTING,
    JobState.JOB_RUNNING,
    JobState.JOB_SUCCESS,
    JobState.JOB_FAILURE,
    JobState.JOB_KILLED,
  ]
  const counts = order.filter((state) => jobCounts[state] !== undefined)
  if (counts.length === 0) return ''
  return `Jobs: ${counts.map((state) => `${jobCounts[state]} ${jobStateText(state, out)}`).join(', ')}\n`
}

function datumsLine({
  datumsProcessed,
  datumsSkipped,
  datumsFailed,
  datumsRecovered,
}: Stats): string {
  const recovered = datumsRecovered === 0n ? '' : `, ${datumsRecovered} recovered`
  return `Datums: ${datumsProcessed} processed, ${datumsSkipped} skipped, ${datumsFailed} failed${recovered}\n`
}

/** Undefined where there is nothing to tell. */
function row(
  name: string,
  spread: Spread | undefined,
  textOf: (value: number) => string,
): readonly string[] | undefined {
  if (spread === undefined || spread.count === 0n) return undefined
  const { mean, stddev, min, fifthPercentile, median, ninetyFifthPercentile } = spread
  const { ninetyNinthPercentile, max, count } = spread
  const values = [mean, stddev, min, fifthPercentile, median, ninetyFifthPercentile]
  return [name, String(count), ...[...values, ninetyNinthPercentile, max].map(textOf)]
}

/** As Go prints it, to three digits and at most whole microseconds. */
function secondsText(value: number): string {
  const micros = BigInt(Math.round(Number(value.toPrecision(3)) * microsPerSecond))
  const nanos = micros * nanosPerMicro
  return goDurationText({
    $typeName: 'google.protobuf.Duration',
    seconds: nanos / nanosPerSecond,
    nanos: Number(nanos % nanosPerSecond),
  })
}

function bytesText(value: number): string {
  return sizeText(BigInt(Math.round(value)))
}
