import { utf8 } from '../../base/bytes.ts'
import type { Instant } from '../../base/clock.ts'
import type { DatumKey, DatumMember } from '../datums.ts'
import type { KeptLine } from '../datum-logs.ts'
import type { JobRecord, ProcessStats } from '../job-records.ts'
import type { Spread } from '../spread.ts'
import type { DatumSpreads } from '../statistics.ts'

// The JSON of messages of 1.5, as its clients and users read it in files of the branch `stats`.

const millisPerSecond = 1000
const nanosPerMilli = 1_000_000
const microsPerMilli = 1000

/** A `pps.ProcessStats`. Its times are texts such as `1.500s`; what is 0 bytes is left out. */
export function processStatsFile(stats: ProcessStats): Uint8Array {
  const { downloadMs, processMs, uploadMs, downloadBytes, uploadBytes } = stats
  return jsonFile({
    downloadTime: durationText(downloadMs),
    processTime: durationText(processMs),
    uploadTime: durationText(uploadMs),
    ...(downloadBytes > 0 && { downloadBytes: String(downloadBytes) }),
    ...(uploadBytes > 0 && { uploadBytes: String(uploadBytes) }),
  })
}

function durationText(ms: number): string {
  const rest = ms % millisPerSecond
  const seconds = (ms - rest) / millisPerSecond
  return rest === 0 ? `${seconds}s` : `${seconds}.${String(rest).padStart(3, '0')}s`
}

/** A `pps.AggregateProcessStats`: times in nanoseconds. */
export function aggregateStatsFile(spreads: DatumSpreads): Uint8Array {
  return jsonFile({
    downloadTime: aggregate(spreads.downloadMs, nanosPerMilli),
    processTime: aggregate(spreads.processMs, nanosPerMilli),
    uploadTime: aggregate(spreads.uploadMs, nanosPerMilli),
    downloadBytes: aggregate(spreads.downloadBytes, 1),
    uploadBytes: aggregate(spreads.uploadBytes, 1),
  })
}

function aggregate(spread: Spread, unit: number): object {
  return {
    count: String(spread.count),
    mean: spread.mean * unit,
    stddev: spread.deviation * unit,
    fifthPercentile: spread.p5 * unit,
    ninetyFifthPercentile: spread.p95 * unit,
  }
}

/** A `pps.LogMessage` in each line. */
export function logFile(
  job: Pick<JobRecord, 'pipeline'> & { readonly id: string },
  run: {
    readonly datum: DatumKey
    readonly members: readonly DatumMember[]
    readonly worker: string
    readonly lines: readonly KeptLine[]
  },
): Uint8Array {
  const common = {
    pipelineName: job.pipeline,
    jobId: job.id,
    workerId: run.worker,
    inputFileId: run.datum,
    user: true,
    data: run.members.map(({ path, hash }) => ({
      path,
      hash: Buffer.from(hash).toString('base64'),
    })),
  }
  const lines = run.lines.map(({ at, text }) =>
    JSON.stringify({ ...common, ts: timeText(at), message: `${text}\n` }),
  )
  return utf8(lines.map((line) => `${line}\n`).join(''))
}

function timeText(at: Instant): string {
  return new Date(at / microsPerMilli).toISOString()
}

function jsonFile(value: object): Uint8Array {
  return utf8(`${JSON.stringify(value)}\n`)
}
