import type { MessageInitShape } from '@bufbuild/protobuf'
import { hexText } from '../../base/bytes.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import type { Snapshot, SnapshotScope } from '../../backups/format.ts'
import { type BackupSecret, parseKey, parsePassphrase } from '../../backups/sealing.ts'
import type { ChosenSnapshot } from '../../backups/snapshot-choice.ts'
import type { NamedPlace } from '../../backups/store-backups.ts'
import type { VerifyCounts, VerifyEvent } from '../../backups/verifying.ts'
import {
  type BackupPlace,
  BackupScope,
  type BackupSnapshotSchema,
  type SnapshotChoiceSchema,
  type VerifyBackupResponseSchema,
  type VerifyProgressSchema,
} from '../../gen/pachyderm_pb.ts'
import { timestampOf } from '../pfs/messages.ts'

const scopeNumbers: Readonly<Record<SnapshotScope, BackupScope>> = {
  whole: BackupScope.UNSPECIFIED,
  metadata: BackupScope.METADATA,
  data: BackupScope.DATA,
}
const scopeOfNumber: ReadonlyMap<BackupScope, SnapshotScope> = new Map([
  [BackupScope.UNSPECIFIED, 'whole'],
  [BackupScope.METADATA, 'metadata'],
  [BackupScope.DATA, 'data'],
])

export function scopeOf(scope: BackupScope): SnapshotScope {
  const known = scopeOfNumber.get(scope)
  if (known !== undefined) return known
  throw new InvalidArgumentError(`this server knows no scope ${Number(scope)} of backups`)
}

export function placeOf(place: BackupPlace | undefined): NamedPlace {
  if (place === undefined) throw new InvalidArgumentError('it is not said where the backup is')
  const { url, secret } = place
  return { url, secret: secret && secretOf(secret.secret) }
}

function secretOf(secret: NonNullable<BackupPlace['secret']>['secret']): BackupSecret | undefined {
  switch (secret.case) {
    case 'passphrase':
      return parsePassphrase(secret.value)
    case 'key':
      return parseKey(hexText(secret.value))
    case undefined:
      return undefined
  }
}

/** What a check tells, as a message. */
export function verifyMessage(
  event: VerifyEvent,
): MessageInitShape<typeof VerifyBackupResponseSchema> {
  switch (event.kind) {
    case 'progress':
      return { event: { case: 'progress', value: verifyCounts(event.counts) } }
    case 'damage': {
      const { key, what, snapshots } = event.damage
      return { event: { case: 'damage', value: { key, what, snapshots: [...snapshots] } } }
    }
    case 'snapshot': {
      const value = snapshotMessage(event.name, event.snapshot, event.isWhole)
      return { event: { case: 'snapshot', value } }
    }
    case 'end': {
      const value = verifyCounts(event.counts, event.unneededCount)
      return { event: { case: 'end', value } }
    }
  }
}

export function snapshotMessage(
  name: string,
  snapshot: Snapshot,
  whole = false,
): MessageInitShape<typeof BackupSnapshotSchema> {
  const { packs, metadata, damaged, scope, release, store, counts, takenAt } = snapshot
  return {
    name,
    taken: timestampOf(takenAt),
    release,
    scope: scopeNumbers[scope],
    store,
    packs: BigInt(packs.length),
    packBytes: BigInt(packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)),
    metadataBytes: BigInt(metadata?.sizeBytes ?? 0),
    damagedPacks: BigInt(damaged.length),
    whole,
    ...(counts !== undefined && {
      counts: { repos: BigInt(counts.repos), commits: BigInt(counts.commits) },
    }),
  }
}

/** Which snapshot is restored. */
export function choiceMessage({
  name,
  snapshot,
  others,
}: ChosenSnapshot): MessageInitShape<typeof SnapshotChoiceSchema> {
  return {
    taken: snapshotMessage(name, snapshot),
    others: others.map((other) => snapshotMessage(other.name, other.snapshot)),
  }
}

function verifyCounts(
  { objectsDone, objectsTotal, bytesRead }: VerifyCounts,
  unneeded = 0,
): MessageInitShape<typeof VerifyProgressSchema> {
  return {
    objectsDone: BigInt(objectsDone),
    objectsTotal: BigInt(objectsTotal),
    bytesRead: BigInt(bytesRead),
    unneeded: BigInt(unneeded),
  }
}
