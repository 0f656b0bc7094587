import type { MessageInitShape } from '@bufbuild/protobuf'
import type { DatumSpreadsSchema, SpreadSchema, StatsSchema } from '../../gen/pachyderm_pb.ts'
import type { DatumCounts } from '../../pipelines/job-records.ts'
import type { Spread } from '../../pipelines/spread.ts'
import type { DatumSpreads, JobStatistics, PipelineStatistics } from '../../pipelines/statistics.ts'
import { jobStateCodes } from '../pps/job-messages.ts'

type StatsMessage = MessageInitShape<typeof StatsSchema>

const perSecond = 1 / 1000

export function jobStatsMessage({ job, datums }: JobStatistics): StatsMessage {
  return { ...countsMessage(job.counts), datums: spreadsMessage(datums) }
}

export function pipelineStatsMessage(stats: PipelineStatistics): StatsMessage {
  const states = [...stats.jobCounts].map(
    ([state, count]) => [jobStateCodes[state], BigInt(count)] as const,
  )
  return {
    ...countsMessage(stats.datumCounts),
    datums: spreadsMessage(stats.datums),
    jobCounts: Object.fromEntries(states),
    jobSeconds: spreadMessage(stats.runMs, perSecond),
    waitSeconds: spreadMessage(stats.waitMs, perSecond),
  }
}

function countsMessage({ processed, skipped, failed, recovered }: DatumCounts): {
  readonly datumsProcessed: bigint
  readonly datumsSkipped: bigint
  readonly datumsFailed: bigint
  readonly datumsRecovered: bigint
} {
  return {
    datumsProcessed: BigInt(processed),
    datumsSkipped: BigInt(skipped),
    datumsFailed: BigInt(failed),
    datumsRecovered: BigInt(recovered),
  }
}

function spreadsMessage(spreads: DatumSpreads): MessageInitShape<typeof DatumSpreadsSchema> {
  return {
    downloadSeconds: spreadMessage(spreads.downloadMs, perSecond),
    processSeconds: spreadMessage(spreads.processMs, perSecond),
    uploadSeconds: spreadMessage(spreads.uploadMs, perSecond),
    downloadBytes: spreadMessage(spreads.downloadBytes, 1),
    uploadBytes: spreadMessage(spreads.uploadBytes, 1),
  }
}

function spreadMessage(spread: Spread, factor: number): MessageInitShape<typeof SpreadSchema> {
  return {
    count: BigInt(spread.count),
    mean: spread.mean * factor,
    stddev: spread.deviation * factor,
    min: spread.min * factor,
    fifthPercentile: spread.p5 * factor,
    median: spread.median * factor,
    ninetyFifthPercentile: spread.p95 * factor,
    ninetyNinthPercentile: spread.p99 * factor,
    max: spread.max * factor,
  }
}
