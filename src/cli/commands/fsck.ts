import { DataLossError, UnavailableError } from '../../base/errors.ts'
import { findingText, progressText, summaryText } from '../../base/finding-text.ts'
import { OutputClosedError } from '../../base/output.ts'
import { type CheckCounts as Counts, noCounts, type RepairState } from '../../base/findings.ts'
import {
  type CheckCounts,
  CheckCountsSchema,
  type CheckFinding,
  CheckFindingSchema,
  CheckRepair,
  CheckSeverity,
} from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { adminClient } from '../own-clients.ts'
import { rawText } from '../printing/json.ts'
import { StatusLine } from '../printing/status-line.ts'

export async function fsck(context: CommandContext): Promise<void> {
  const { flags } = context
  const [full, fix, isRaw] = [flags.isOn('full'), flags.isOn('fix'), flags.isOn('raw')]
  await printCheck(context, { full, fix, isRaw })
}

/** Prints findings as they come; fails when damage is left. */
export async function printCheck(
  context: CommandContext,
  { full, fix, isRaw }: { readonly full: boolean; readonly fix: boolean; readonly isRaw: boolean },
): Promise<void> {
  const { out } = context
  const line = new StatusLine(context)
  let end: CheckCounts | undefined
  try {
    for await (const { event } of adminClient(context).check({ full, fix })) {
      switch (event.case) {
        case 'progress':
          line.show(progressText(event.value.stage, countsOf(event.value.counts), full))
          break
        case 'finding':
          line.clear()
          if (isRaw) await out.write(rawText(CheckFindingSchema, event.value))
          else await out.write(textOf(event.value))
          break
        case 'end':
          end = event.value
          break
        case undefined:
      }
    }
  } catch (error) {
    // What was to be found out is not known, or is damage.
    throw error instanceof OutputClosedError ? new OutputClosedError(1) : error
  } finally {
    line.clear()
  }
  if (end === undefined) throw new UnavailableError('the check ended before it was complete')
  if (isRaw) await out.write(rawText(CheckCountsSchema, end))
  else await out.write(summaryText(countsOf(end), full))
  if (end.errors === 0n) return
  throw new DataLossError(
    `damage was found and not repaired: ${end.errors === 1n ? '1 error' : `${end.errors} errors`}`,
  )
}

const repairs: Readonly<Record<CheckRepair, RepairState>> = {
  [CheckRepair.UNSPECIFIED]: 'none',
  [CheckRepair.NONE]: 'none',
  [CheckRepair.POSSIBLE]: 'possible',
  [CheckRepair.DONE]: 'done',
}

function textOf(finding: CheckFinding): string {
  const { kind, severity, what, meaning, advice, repair, affected, affectedCount } = finding
  return findingText({
    kind,
    severity: severity === CheckSeverity.WARNING ? 'warning' : 'error',
    what,
    meaning,
    advice,
    repair: repairs[repair] ?? 'none', // a newer server may know more
    affected: { names: affected, count: Number(affectedCount) },
  })
}

function countsOf(message: CheckCounts | undefined): Counts {
  const counts = noCounts()
  if (message === undefined) return counts
  return {
    rows: Number(message.rows),
    nodes: Number(message.nodes),
    chunks: Number(message.chunks),
    packs: Number(message.packs),
    bytes: Number(message.bytes),
    bytesTotal: Number(message.bytesTotal),
    unreferencedChunks: Number(message.unreferencedChunks),
    unreferencedPacks: Number(message.unreferencedPacks),
    unreferencedBytes: Number(message.unreferencedBytes),
    errors: Number(message.errors),
    warnings: Number(message.warnings),
    repaired: Number(message.repaired),
  }
}
