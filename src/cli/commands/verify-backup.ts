import { Backup } from '../../backups/backup.ts'
import { type VerifyEvent, verifyBackup as verifyEvents } from '../../backups/verifying.ts'
import { tmpdir } from 'node:os'
import { DataLossError, UnavailableError } from '../../base/errors.ts'
import { SystemRandom } from '../../base/random.ts'
import {
  type BackupSnapshot,
  BackupScope,
  type VerifyBackupResponse,
} from '../../gen/pachyderm_pb.ts'
import { openToRead, placeMessage, secretOf, wantedPlace } from '../backing-up/places.ts'
import type { CommandContext } from '../command.ts'
import { backupsClient } from '../own-clients.ts'
import { sizeText } from '../../base/sizes.ts'
import { StatusLine } from '../printing/status-line.ts'

/** A snapshot, as people are told of it. */
interface Shown {
  readonly name: string
  readonly release: string
  readonly scope: string
  readonly packCount: number
  readonly sizeBytes: number
  readonly damagedCount: number
  readonly isWhole: boolean
}

type Told =
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'damage'; readonly key: string; readonly what: string; readonly count: number }
  | { readonly kind: 'snapshot'; readonly shown: Shown }
  | { readonly kind: 'end'; readonly bytesRead: number; readonly unneeded: number }

/** Reads all of a backup, and says what is lost; fails when something is. */
export async function verifyBackup(context: CommandContext): Promise<void> {
  const { flags, out } = context
  const isList = flags.isOn('list')
  const line = new StatusLine(context)
  let damageCount = 0
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
          line.clear()
          await out.line(`damaged: ${event.key}: ${event.what}; ${snapshotsText(event.count)} it`)
          break
        case 'snapshot':
          snapshotCount += 1
          line.clear()
          await out.line(snapshotText(event.shown, isList))
          break
        case 'end':
          ;({ bytesRead } = event)
          if (event.unneeded > 0) await out.line(unneededText(event.unneeded))
      }
    }
  } finally {
    line.clear()
  }
  if (isList) return
  if (bytesRead === undefined) throw new UnavailableError('the check ended before it was complete')
  if (damageCount > 0) {
    throw new DataLossError(
      `the backup is damaged: ${damageCount === 1 ? '1 object is' : `${damageCount} objects are`} lost or not what was written; snapshots that are said to be whole can be restored`,
    )
  }
  const snapshots = snapshotCount === 1 ? '1 snapshot is' : `${snapshotCount} snapshots are`
  await out.line(`${snapshots} whole; read ${sizeText(bytesRead)}`)
}

async function* eventsOf(context: CommandContext, isList: boolean): AsyncGenerator<Told> {
  const wanted = wantedPlace(context)
  const secret = await secretOf(context)
  const snapshot = context.flags.text('snapshot')
  if (wanted.kind === 'url') {
    const place = placeMessage(wanted.url, secret)
    const request = { place, snapshot, list: isList }
    for await (const response of backupsClient(context).verifyBackup(request)) yield* told(response)
    return
  }
  await using place = await openToRead(wanted, context)
  const backup = await Backup.open(place, { secret, random: new SystemRandom() })
  const names = snapshot === '' ? undefined : [await backup.find(snapshot)]
  if (isList) {
    for (const name of names ?? (await backup.snapshots())) {
      const found = await backup.snapshot(name)
      yield toldHere({ kind: 'snapshot', name, snapshot: found, isWhole: false })
    }
    return
  }
  const { signal } = new AbortController()
  const ports = { clock: context.clock, scratchDirectory: tmpdir(), signal }
  for await (const event of verifyEvents(backup, names, ports)) yield toldHere(event)
}

function toldHere(event: VerifyEvent): Told {
  switch (event.kind) {
    case 'progress': {
      const { objectsDone, objectsTotal, bytesRead } = event.counts
      return { kind: 'progress', text: progressText(objectsDone, objectsTotal, bytesRead) }
    }
    case 'damage': {
      const { key, what, snapshots } = event.damage
      return { kind: 'damage', key, what, count: snapshots.length }
    }
    case 'snapshot': {
      const { name, snapshot, isWhole } = event
      const { release, scope, packs, metadata, damaged } = snapshot
      const sizeBytes = packs.reduce((sum, pack) => sum + pack.sizeBytes, metadata?.sizeBytes ?? 0)
      const counts = { packCount: packs.length, sizeBytes, damagedCount: damaged.length }
      return { kind: 'snapshot', shown: { name, release, scope, ...counts, isWhole } }
    }
    case 'end':
      return {
        kind: 'end',
        bytesRead: event.counts.bytesRead,
        unneeded: event.unneededCount,
      }
  }
}

function* told({ event }: VerifyBackupResponse): Generator<Told> {
  switch (event.case) {
    case 'progress': {
      const { objectsDone, objectsTotal, bytesRead } = event.value
      yield { kind: 'progress', text: progressText(objectsDone, objectsTotal, bytesRead) }
      break
    }
    case 'damage': {
      const { key, what, snapshots } = event.value
      yield { kind: 'damage', key, what, count: snapshots.length }
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
  const { name, release, scope, packs, packBytes, metadataBytes, damagedPacks, whole } = message
  return {
    name,
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
  const { name, release, scope, packCount, sizeBytes, damagedCount, isWhole } = shown
  const parts = scope === 'whole' ? '' : `, ${scope} alone`
  const lost = damagedCount === 0 ? '' : `, ${damagedCount} packs left out that were damaged`
  const facts = `${packCount} packs, ${sizeText(sizeBytes)}${parts}${lost}, taken by ${release}`
  return `snapshot ${name}: ${isList ? '' : isWhole ? 'whole; ' : 'DAMAGED; '}${facts}`
}

function snapshotsText(count: number): string {
  return count === 1 ? '1 snapshot needs' : `${count} snapshots need`
}

function unneededText(count: number): string {
  return `${count === 1 ? '1 object belongs' : `${count} objects belong`} to no snapshot: of a backup that was not completed, or is being made; that is no damage`
}
