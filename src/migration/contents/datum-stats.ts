import { fromJson, type JsonValue } from '@bufbuild/protobuf'
import { collectBytes, type ByteStream } from '../../base/bytes.ts'
import type { Instant } from '../../base/clock.ts'
import { GrowingBytes } from '../../base/growing-bytes.ts'
import { ProcessStatsSchema } from '../../gen/pps_pb.ts'
import { OldDamageError } from '../../legacy/damage.ts'
import type { OldObjects } from '../../legacy/old-objects.ts'
import { readOldTree } from '../../legacy/old-trees.ts'
import { noStats, type ProcessStats } from '../../pipelines/process-stats.ts'
import { verified } from './content-import.ts'
import { isDamage } from '../findings.ts'
import { type OldLog, OldLogReader } from './old-logs.ts'
import { statsOfJob } from '../plan/job-plan.ts'

const statsBytesMax = 64 * 1024
/** A longer object is read twice: once to know that it is sound. */
const heldBytesMax = 2 * 1024 * 1024

export interface DatumStats extends OldLog {
  readonly stats: ProcessStats
}

export const noDatumStats: DatumStats = { stats: noStats, lines: [], isCut: false }

/**
 * Reads what 1.5 kept of a datum where statistics were enabled: a tree with the files `stats` and
 * `logs`. `onLoss` hears of what cannot be read, in words; the rest is there.
 */
export async function statsOfDatum(
  objects: OldObjects,
  tree: string,
  { at, onLoss }: { readonly at: Instant; readonly onLoss: (reason: string) => void },
): Promise<DatumStats> {
  const found: Record<string, readonly string[]> = { stats: [], logs: [] }
  try {
    for await (const node of readOldTree(verified(tree, objects.read(tree)))) {
      const [, , file = '', ...below] = node.path.split('/')
      if (node.kind === 'file' && below.length === 0 && Object.hasOwn(found, file))
        found[file] = node.objects
    }
  } catch (error) {
    onLoss(`its statistics and log cannot be read: ${damageText(error)}`)
    return noDatumStats
  }
  const { stats = [], logs = [] } = found
  return {
    stats: await readStats(objects, stats, onLoss),
    ...(await readLog(objects, logs, at, onLoss)),
  }
}

/** @throws unless it is damage. */
function damageText(error: unknown): string {
  if (!isDamage(error)) throw error
  return error.message
}

async function readStats(
  objects: OldObjects,
  hashes: readonly string[],
  onLoss: (reason: string) => void,
): Promise<ProcessStats> {
  if (hashes.length === 0) return noStats
  try {
    const text = new GrowingBytes()
    for (const hash of hashes) {
      const sizeMax = statsBytesMax - text.sizeBytes
      const bytes = await collectBytes(verified(hash, objects.read(hash)), sizeMax)
      text.add(bytes)
    }
    return statsOfText(Buffer.from(text.joined()).toString())
  } catch (error) {
    const reason =
      error instanceof RangeError ? `they have more than ${statsBytesMax} bytes` : damageText(error)
    onLoss(`its statistics cannot be read: ${reason}`)
    return noStats
  }
}

/** @throws {OldDamageError} */
function statsOfText(text: string): ProcessStats {
  try {
    const json = JSON.parse(text) as JsonValue
    return statsOfJob({ stats: fromJson(ProcessStatsSchema, json, { ignoreUnknownFields: true }) })
  } catch (cause) {
    throw new OldDamageError('they are not what 1.5 writes', { cause })
  }
}

/** Objects that are damaged are left out, and a line says where. */
async function readLog(
  objects: OldObjects,
  hashes: readonly string[],
  at: Instant,
  onLoss: (reason: string) => void,
): Promise<OldLog> {
  const reader = new OldLogReader(at)
  for (const hash of hashes) {
    try {
      for await (const piece of sound(objects, hash)) reader.push(piece)
    } catch (error) {
      const reason = damageText(error)
      reader.leaveOut('a part of the log could not be read in the old cluster')
      onLoss(`a part of its log cannot be read: ${reason}`)
    }
  }
  reader.end()
  const { unreadableCount } = reader
  if (unreadableCount > 0) {
    onLoss(
      `${unreadableCount === 1 ? 'a line' : `${unreadableCount} lines`} of its log cannot be read`,
    )
  }
  return reader.log()
}

/** The bytes of an object, if they are those that its name says: none of another one. */
async function* sound(objects: OldObjects, hash: string): ByteStream {
  const held: Uint8Array[] = []
  let sizeBytes = 0
  for await (const piece of verified(hash, objects.read(hash))) {
    sizeBytes += piece.length
    if (sizeBytes <= heldBytesMax) held.push(piece)
  }
  if (sizeBytes <= heldBytesMax) yield* held
  else yield* verified(hash, objects.read(hash))
}
