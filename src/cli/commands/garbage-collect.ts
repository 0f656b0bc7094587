import type { Clock } from '../../base/clock.ts'
import { createClient } from '../../client/client.ts'
import { isUnimplemented } from '../../client/rpc-error.ts'
import { Admin, type CollectionProgress, type CollectionReport } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import type { Output } from '../../base/output.ts'
import { ppsClient } from '../pps-client.ts'
import { sizeText } from '../../base/sizes.ts'
import { countText } from '../../base/counts.ts'
import { goDurationText } from '../printing/times.ts'

const clearLine = '\r\u001b[K'
const refreshMs = 100

export async function garbageCollect(context: CommandContext): Promise<void> {
  const dryRun = context.flags.isOn('dry-run')
  const progress = new ProgressLine(context.err, context.clock)
  let report: CollectionReport | undefined
  try {
    for await (const { message } of createClient(Admin, context.transport).collectGarbage({
      dryRun,
    })) {
      if (message.case === 'report') report = message.value
      else if (message.case === 'progress') progress.show(progressText(message.value))
    }
  } catch (error) {
    if (!isUnimplemented(error)) throw error
    if (dryRun)
      throw new UsageError('this server cannot tell what it would free: it has no dry run')
    // A server of 1.5 says nothing of what it did.
    await ppsClient(context).garbageCollect({})
    return
  } finally {
    await progress.end()
  }
  if (report === undefined) return
  for (const line of reportLines(report)) await context.out.line(line)
}

/** One line for whoever looks at a terminal. */
class ProgressLine {
  readonly #err: Output
  readonly #clock: Clock
  #shownMs = 0

  constructor(err: Output, clock: Clock) {
    this.#err = err
    this.#clock = clock
  }

  show(text: string): void {
    const nowMs = this.#clock.monotonicMs()
    if (!this.#err.isTerminal || nowMs - this.#shownMs < refreshMs) return
    this.#shownMs = nowMs
    // Not awaited: a terminal that is slow is no reason to take answers more slowly.
    void this.#err.write(`${clearLine}${text}`).catch(() => undefined)
  }

  async end(): Promise<void> {
    if (this.#err.isTerminal) await this.#err.write(clearLine)
  }
}

function progressText(progress: CollectionProgress): string {
  if (!progress.sweeping) return `marking what is needed: ${progress.chunksMarked} chunks`
  return `freeing the rest: ${progress.packsDone} of ${progress.packsTotal} packs`
}

/** What a person wants to know: how much, of what, and what was left. */
function reportLines(report: CollectionReport): readonly string[] {
  const { bytesBefore, bytesAfter, dryRun } = report
  const freed = sizeText(bytesBefore - bytesAfter)
  const sizes = `${sizeText(bytesBefore)} before, ${sizeText(bytesAfter)} after`
  const would = dryRun ? 'would be ' : ''
  const lines = [
    dryRun ? `would free ${freed}: ${sizes}` : `freed ${freed}: ${sizes}`,
    `packs: ${report.packsBefore} before, ${report.packsAfter} after; ${report.packsDeleted} ${would}deleted, ${report.packsRepacked} ${would}copied into others`,
    `needed: ${countText(report.chunksMarked, 'chunk')}`,
  ]
  if (report.resultsRemoved > 0n) {
    lines.push(`datum results ${would}removed: ${report.resultsRemoved}`)
  }
  if (report.objectsRemoved > 0n) lines.push(`objects ${would}removed: ${report.objectsRemoved}`)
  if (report.packsLeased > 0n) {
    lines.push(
      `left for writers at work: ${countText(report.packsLeased, 'pack')}, ${sizeText(report.bytesLeased)}; a later collection frees them if they are not needed`,
    )
  }
  if (report.packsLeft > 0n) {
    lines.push(
      `left for a later collection: ${countText(report.packsLeft, 'pack')}, which a backup reads just now, or of which not all could be copied that is needed; if that stays, run pachctl fsck --full`,
    )
  }
  if (report.chunksMissing > 0n) {
    lines.push(
      `damaged before: ${countText(report.chunksMissing, 'reference')} to chunks that are missing; run pachctl fsck`,
    )
  }
  lines.push(`took ${goDurationText(report.took)}`)
  return lines
}
