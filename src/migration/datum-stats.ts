import { fromJson, type JsonValue } from '@bufbuild/protobuf'
import { collectBytes } from '../base/bytes.ts'
import type { Instant } from '../base/clock.ts'
import { LogMessageSchema, ProcessStatsSchema } from '../gen/pps_pb.ts'
import { instantOfTime } from '../legacy/old-records.ts'
import type { OldObjects } from '../legacy/old-objects.ts'
import { readOldTree } from '../legacy/old-trees.ts'
import type { KeptLine } from '../pipelines/datum-logs.ts'
import { noStats, type ProcessStats } from '../pipelines/process-stats.ts'
import { verified } from './content-import.ts'
import { isDamage } from './findings.ts'
import { statsOfJob } from './pipeline-plan.ts'

/** Of a log, so much is kept. */
const logBytesMax = 512 * 1024
const statsBytesMax = 64 * 1024

export interface DatumStats {
  readonly stats: ProcessStats
  readonly log: readonly KeptLine[]
}

/**
 * Reads what 1.5 kept of a datum where statistics were enabled: a tree with the files `stats` and
 * `logs`. What cannot be read is left out: it is not needed for anything but to be looked at.
 */
export async function statsOfDatum(
  objects: OldObjects,
  tree: string,
  at: Instant,
): Promise<DatumStats> {
  let stats = noStats
  let log: readonly KeptLine[] = []
  try {
    for await (const node of readOldTree(verified(tree, objects.read(tree)))) {
      if (node.kind === 'directory') continue
      const [, , file, ...below] = node.path.split('/')
      if (below.length > 0) continue
      if (file === 'stats') stats = statsOfText(await textOf(objects, node.objects, statsBytesMax))
      if (file === 'logs') log = logOfText(await textOf(objects, node.objects, logBytesMax), at)
    }
  } catch (error) {
    if (!isDamage(error) && !(error instanceof RangeError)) throw error
  }
  return { stats, log }
}

async function textOf(
  objects: OldObjects,
  hashes: readonly string[],
  bytesMax: number,
): Promise<string> {
  let text = ''
  for (const hash of hashes) {
    const bytes = await collectBytes(verified(hash, objects.read(hash)), bytesMax)
    // User code may print anything.
    text += Buffer.from(bytes).toString()
  }
  return text
}

const lenient = { ignoreUnknownFields: true }

function statsOfText(text: string): ProcessStats {
  try {
    return statsOfJob({
      stats: fromJson(ProcessStatsSchema, JSON.parse(text) as JsonValue, lenient),
    })
  } catch {
    return noStats
  }
}

/** A JSON message on each line; those of user code are kept. */
function logOfText(text: string, at: Instant): readonly KeptLine[] {
  const lines: KeptLine[] = []
  for (const line of text.split('\n')) {
    if (line === '') continue
    try {
      const message = fromJson(LogMessageSchema, JSON.parse(line) as JsonValue, lenient)
      if (!message.user) continue
      const shown = message.message.replace(/\n$/, '')
      lines.push({ at: instantOfTime(message.ts) ?? at, stream: 'stdout', text: shown })
    } catch {
      continue
    }
  }
  return lines
}
