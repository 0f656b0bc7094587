import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  CollectGarbageResponseSchema,
  CollectionProgressSchema,
  CollectionReportSchema,
} from '../../gen/pachyderm_pb.ts'
import type { CollectionProgress, CollectionReport, Collector } from '../../storage/collector.ts'

type Response = MessageInitShape<typeof CollectGarbageResponseSchema>

const msPerSecond = 1000
const nanosPerMs = 1_000_000

/** Collects, and says how far it is as often as the caller takes it; last of all comes the report. */
export async function* collectGarbage(
  collector: Collector,
  isRehearsal: boolean,
  signal: AbortSignal,
): AsyncGenerator<Response> {
  let latest: CollectionProgress | undefined
  let news = Promise.withResolvers<undefined>()
  let isOver = false
  const stop = new AbortController()
  const onProgress = (progress: CollectionProgress): void => {
    latest = progress
    news.resolve(undefined)
  }
  const collected = collector
    .collect({ isRehearsal, signal: AbortSignal.any([signal, stop.signal]), onProgress })
    .finally(() => {
      isOver = true
      news.resolve(undefined)
    })
  collected.catch(() => undefined) // awaited below, unless the caller is gone
  try {
    for (;;) {
      await news.promise
      if (isOver) break
      news = Promise.withResolvers()
      const progress = latest
      if (progress !== undefined)
        yield { message: { case: 'progress', value: progressOf(progress) } }
    }
    yield { message: { case: 'report', value: reportOf(await collected) } }
  } finally {
    stop.abort()
    await Promise.allSettled([collected])
  }
}

function progressOf(
  progress: CollectionProgress,
): MessageInitShape<typeof CollectionProgressSchema> {
  return {
    sweeping: progress.phase === 'sweeping',
    chunksMarked: BigInt(progress.chunksMarked),
    packsDone: BigInt(progress.packsDone),
    packsTotal: BigInt(progress.packsTotal),
  }
}

function reportOf(report: CollectionReport): MessageInitShape<typeof CollectionReportSchema> {
  const seconds = Math.floor(report.tookMs / msPerSecond)
  const nanos = Math.floor((report.tookMs - seconds * msPerSecond) * nanosPerMs)
  return {
    dryRun: report.isRehearsal,
    took: { seconds: BigInt(seconds), nanos },
    chunksMarked: BigInt(report.chunksMarked),
    chunksMissing: BigInt(report.chunksMissing),
    packsBefore: BigInt(report.packsBefore),
    bytesBefore: BigInt(report.bytesBefore),
    packsAfter: BigInt(report.packsAfter),
    bytesAfter: BigInt(report.bytesAfter),
    packsDeleted: BigInt(report.packsDeleted),
    packsRepacked: BigInt(report.packsRepacked),
    packsLeased: BigInt(report.packsLeased),
    bytesLeased: BigInt(report.bytesLeased),
    packsLeft: BigInt(report.packsLeft),
    resultsRemoved: BigInt(report.removed.results),
    objectsRemoved: BigInt(report.removed.objects),
  }
}
