import { Backup } from '../../backups/backup.ts'
import { factsOf, ofStoreText, type SnapshotFacts } from '../../backups/snapshot-choice.ts'
import { snapshotOfKey } from '../../backups/format.ts'
import {
  type BackupDamage,
  listSnapshots,
  type VerifyEvent,
  verifyBackup as verifyEvents,
} from '../../backups/verifying.ts'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DataLossError, NotFoundError, UnavailableError } from '../../base/errors.ts'
import { SystemRandom } from '../../base/random.ts'
import {
  type BackupSnapshot,
  BackupScope,
  type VerifyBackupResponse,
} from '../../gen/pachyderm_pb.ts'
import { openToRead, placeMessage, secretToRead, wantedPlace } from '../backing-up/places.ts'
import { messageFacts } from '../backing-up/snapshot-facts.ts'
import type { CommandContext } from '../command.ts'
import { backupsClient } from '../own-clients.ts'
import { sizeText } from '../../base/sizes.ts'
import { StatusLine } from '../printing/status-line.ts'
import { withStoreWaits } from '../store-waits.ts'

/** A snapshot, as people are told of it. */
interface Shown {
  readonly facts: SnapshotFacts
  readonly release: string
  readonly scope: string
  readonly packCount: number
  readonly sizeBytes: number
  readonly damagedCount: number
  readonly isWhole: boolean
}

type Told =
  | { readonly kind: 'progress'; readonly text: string }
  | {
      readonly kind: 'damage'
      readonly key: string
      readonly what: string
      readonly count: number
      /** A snapshot itself. */
      readonly isSnapshot: boolean
    }
  | { readonly kind: 'snapshot'; readonly shown: Shown }
  | { readonly kind: 'end'; readonly bytesRead: number; readonly unneeded: number }

/** Reads all of a backup, and says what is lost; fails when something is. */
export async function verifyBackup(context: CommandContext): Promise<void> {
  const { flags, out } = context
  const isList = flags.isOn('list')
  const line = new StatusLine(context)
  let damageCount = 0
  let unreadableCount = 0
  let snapshotCount = 0
  let bytesRead: number | undefined
  try {
    for await (const event of eventsOf(context, isList)) {
      switch (event.kind) {
        case 'progress':
          line.show(event.text)
          break
        case 'damage':
          damageCount += 1
          if (event.isSnapshot) unreadableCount += 1
          line.clear()
          await out.line(damageText(event))
          break
        case 'snapshot':
          snapshotCount += 1
          line.clear()
          await out.line(snapshotText(event.shown, isList))
          break
        case 'end':
          ;({ bytesRead } = event)
          if (event.unneeded > 0) await out.line(unneededText(event.unneeded, unreadableCount))
      }
    }
  } finally {
    line.clear()
  }
  if (!isList && bytesRead === undefined) {
    throw new UnavailableError('the check ended before it was complete')
  }
  if (damageCount > 0 && isList) throw new DataLossError(unreadableText(damageCount))
  if (damageCount > 0) {
    throw new DataLossError(
      `the backup is damaged: ${damageCount === 1 ? '1 object is' : `${damageCount} objects are`} lost or not what was written; extract --repair writes anew what the server still has, and removes snapshots that cannot be read; snapshots that are said to be whole can be restored; of others restore --skip-damaged brings all that is whole, unless metadata are damaged, and says which files are lost`,
    )
  }
  if (snapshotCount === 0) {
    throw new NotFoundError(
      'there is no snapshot, and nothing can be restored: no backup into this place has come to its end yet; the next extract goes on with what is there',
    )
  }
  if (bytesRead === undefined) return
  const snapshots = snapshotCount === 1 ? '1 snapshot is' : `${snapshotCount} snapshots are`
  await out.line(`${snapshots} whole; read ${sizeText(bytesRead)}`)
}

async function* eventsOf(context: CommandContext, isList: boolean): AsyncGenerator<Told> {
  const wanted = wantedPlace(context)
  const secret = await secretToRead(context, wanted)
  const snapshot = context.flags.text('snapshot')
  if (wanted.kind === 'url') {
    const place = placeMessage(wanted.url, secret)
    const request = { place, snapshot, list: isList }
    const responses = backupsClient(context).verifyBackup(request)
    for await (const response of withStoreWaits(context, [wanted.url], responses)) {
      yield* told(response)
    }
    return
  }
  await using place = await openToRead(wanted, context)
  const backup = await Backup.open(place, { secret, random: new SystemRandom() })
  const names = snapshot === '' ? undefined : [await backup.find(snapshot)]
  if (isList) {
    for await (const event of listSnapshots(backup, names)) yield toldHere(event)
    return
  }
  const { signal } = new AbortController()
  // Its own: others may check backups at the same time, and metadata are nobody else's to read.
  const scratchDirectory = await mkdtemp(join(tmpdir(), 'pachctl-verify-'))
  try {
    const ports = { clock: context.clock, scratchDirectory, signal }
    for await (const event of verifyEvents(backup, names, ports)) yield toldHere(event)
  } finally {
    await rm(scratchDirectory, { recursive: true, force: true })
  }
}

function toldHere(event: VerifyEvent): Told {
  switch (event.kind) {
    case 'progress': {
      const { objectsDone, objectsTotal, bytesRead } = event.counts
      return { kind: 'progress', text: progressText(objectsDone, objectsTotal, bytesRead) }
    }
    case 'damage': {
      return damageOf(event.damage)
    }
    case 'snapshot': {
      const { snapshot, isWhole } = event
      const { release, scope, packs, metadata, damaged } = snapshot
      const sizeBytes = packs.reduce((sum, pack) => sum + pack.sizeBytes, metadata?.sizeBytes ?? 0)
      const counts = { packCount: packs.length, sizeBytes, damagedCount: damaged.length }
      return {
        kind: 'snapshot',
        shown: { facts: factsOf(event), release, scope, ...counts, isWhole },
      }
    }
    case 'end':
      return {
        kind: 'end',
        bytesRead: event.counts.bytesRead,
        unneeded: event.unneededCount,
      }
  }
}

function damageOf({
  key,
  what,
  snapshots,
}: Omit<BackupDamage, 'snapshots'> & {
  readonly snapshots: readonly string[]
}): Told {
  const isSnapshot = snapshotOfKey(key) !== undefined
  return { kind: 'damage', key, what, count: snapshots.length, isSnapshot }
}

/** A snapshot is needed by nothing but itself, and what is wrong with it may name it already. */
function damageText({
  key,
  what,
  count,
  isSnapshot,
}: Extract<Told, { readonly kind: 'damage' }>): string {
  if (!isSnapshot) return `damaged: ${key}: ${what}; ${snapshotsText(count)} it`
  return what.includes(snapshotOfKey(key) ?? key) ? `damaged: ${what}` : `damaged: ${key}: ${what}`
}

function unreadableText(count: number): string {
  return `${count === 1 ? '1 snapshot' : `${count} snapshots`} cannot be read, and nothing can be restored from ${count === 1 ? 'it' : 'them'}: take ${count === 1 ? 'it' : 'them'} from another copy of the backup, or have extract --repair remove what is there`
}

function* told({ event }: VerifyBackupResponse): Generator<Told> {
  switch (event.case) {
    case 'progress': {
      const { objectsDone, objectsTotal, bytesRead } = event.value
      yield { kind: 'progress', text: progressText(objectsDone, objectsTotal, bytesRead) }
      break
    }
    case 'damage': {
      yield damageOf(event.value)
      break
    }
    case 'snapshot':
      yield { kind: 'snapshot', shown: shownOf(event.value) }
      break
    case 'end': {
      const { bytesRead, unneeded } = event.value
      yield { kind: 'end', bytesRead: Number(bytesRead), unneeded: Number(unneeded) }
      break
    }
    case undefined:
  }
}

function shownOf(message: BackupSnapshot): Shown {
  const { release, scope, packs, packBytes, metadataBytes, damagedPacks, whole } = message
  return {
    facts: messageFacts(message),
    release,
    scope: scopeNames[scope] ?? 'unknown', // a newer server may know more
    packCount: Number(packs),
    sizeBytes: Number(packBytes + metadataBytes),
    damagedCount: Number(damagedPacks),
    isWhole: whole,
  }
}

const scopeNames: Readonly<Record<BackupScope, string>> = {
  [BackupScope.UNSPECIFIED]: 'whole',
  [BackupScope.METADATA]: 'metadata',
  [BackupScope.DATA]: 'data',
}

function progressText(
  done: bigint | number,
  total: bigint | number,
  bytes: bigint | number,
): string {
  return `${done} of ${total} objects, ${sizeText(Number(bytes))} read`
}

function snapshotText(shown: Shown, isList: boolean): string {
  const { facts, release, scope, packCount, sizeBytes, damagedCount, isWhole } = shown
  const parts = scope === 'whole' ? '' : `, ${scope} alone`
  // They may have come since.
  const lost = damagedCount === 0 || isWhole ? '' : `, ${leftOutText(damagedCount)}`
  const text = `${packCount} packs, ${sizeText(sizeBytes)}${parts}${lost}, taken by ${release} ${ofStoreText(facts)}`
  return `snapshot ${facts.name}: ${isList ? '' : isWhole ? 'whole; ' : 'DAMAGED; '}${text}`
}

function leftOutText(count: number): string {
  return count === 1
    ? '1 pack left out that was damaged'
    : `${count} packs left out that were damaged`
}

function snapshotsText(count: number): string {
  return count === 1 ? '1 snapshot needs' : `${count} snapshots need`
}

function unneededText(count: number, unreadableCount: number): string {
  const belong = count === 1 ? '1 object belongs' : `${count} objects belong`
  if (unreadableCount > 0) return `${belong} to no snapshot that can be read`
  return `${belong} to no snapshot: of a backup that was not completed, or is being made; that is no damage`
}
