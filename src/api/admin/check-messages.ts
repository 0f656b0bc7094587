import type { MessageInitShape } from '@bufbuild/protobuf'
import type { CheckEvent } from '../../base/check-events.ts'
import type { CheckCounts, Finding, RepairState, Severity } from '../../base/findings.ts'
import {
  type CheckCountsSchema,
  type CheckEventSchema,
  type CheckFindingSchema,
  CheckRepair,
  CheckSeverity,
} from '../../gen/pachyderm_pb.ts'

const severities: Readonly<Record<Severity, CheckSeverity>> = {
  error: CheckSeverity.ERROR,
  warning: CheckSeverity.WARNING,
}

const repairs: Readonly<Record<RepairState, CheckRepair>> = {
  none: CheckRepair.NONE,
  possible: CheckRepair.POSSIBLE,
  done: CheckRepair.DONE,
}

export function checkEventMessage(event: CheckEvent): MessageInitShape<typeof CheckEventSchema> {
  switch (event.kind) {
    case 'progress':
      return {
        event: {
          case: 'progress',
          value: { stage: event.stage, counts: countsMessage(event.counts) },
        },
      }
    case 'finding':
      return { event: { case: 'finding', value: findingMessage(event.finding) } }
    case 'end':
      return { event: { case: 'end', value: countsMessage(event.counts) } }
  }
}

function findingMessage(finding: Finding): MessageInitShape<typeof CheckFindingSchema> {
  const { kind, subject, what, affected, repair } = finding
  return {
    kind: kind.name,
    severity: severities[kind.severity],
    subject,
    what,
    meaning: kind.meaning,
    advice: kind.advice,
    repair: repairs[repair],
    affected: [...affected.names],
    affectedCount: BigInt(affected.count),
  }
}

function countsMessage(counts: CheckCounts): MessageInitShape<typeof CheckCountsSchema> {
  return {
    rows: BigInt(counts.rows),
    nodes: BigInt(counts.nodes),
    chunks: BigInt(counts.chunks),
    packs: BigInt(counts.packs),
    bytes: BigInt(counts.bytes),
    bytesTotal: BigInt(counts.bytesTotal),
    unreferencedChunks: BigInt(counts.unreferencedChunks),
    unreferencedPacks: BigInt(counts.unreferencedPacks),
    unreferencedBytes: BigInt(counts.unreferencedBytes),
    errors: BigInt(counts.errors),
    warnings: BigInt(counts.warnings),
    repaired: BigInt(counts.repaired),
  }
}
