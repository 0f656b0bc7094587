import { Backup } from '../../backups/backup.ts'
import { DirectoryPlace } from '../../backups/object-store-place.ts'
import type { ExtractEvent, KnownObjects } from '../../backups/extraction.ts'
import { type BackupCounts, type TakenBackup, writeBackup } from '../../backups/taking.ts'
import { factsOf, otherStoreText, type SnapshotFacts } from '../../backups/snapshot-choice.ts'
import { DataLossError, UnavailableError } from '../../base/errors.ts'
import { SystemRandom } from '../../base/random.ts'
import { type BackupSnapshot, BackupScope } from '../../gen/pachyderm_pb.ts'
import { extractedEvents, knownFields } from '../backing-up/extracted-events.ts'
import { placeMessage, secretOf, wantedPlace, writeArchive } from '../backing-up/places.ts'
import { messageFacts } from '../backing-up/snapshot-facts.ts'
import { lostWith } from '../lost-connection.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { backupsClient } from '../own-clients.ts'
import { sizeText } from '../../base/sizes.ts'
import { StatusLine } from '../printing/status-line.ts'
import { withStoreWaits } from '../store-waits.ts'

/** Makes a backup of all that the server keeps. */
export async function extract(context: CommandContext): Promise<void> {
  const wanted = wantedPlace(context)
  const goesOn = wanted.kind === 'url' || wanted.kind === 'directory'
  try {
    await extractTo(context, wanted)
  } catch (error) {
    throw lostWith(
      error,
      `no backup was made; the same command ${goesOn ? 'goes on where it stopped' : 'begins anew'}`,
    )
  }
}

async function extractTo(
  context: CommandContext,
  wanted: ReturnType<typeof wantedPlace>,
): Promise<void> {
  const scope = scopeOf(context)
  const secret = await secretOf(context)
  const random = new SystemRandom()
  switch (wanted.kind) {
    case 'url':
      await onServer(context, placeMessage(wanted.url, secret), scope)
      break
    case 'directory': {
      await using place = await DirectoryPlace.open(wanted.path)
      const backup = await Backup.openOrCreate(place, { secret, random })
      await tell(context, backup, await write(context, backup, scope))
      break
    }
    case 'file':
    case 'pipe': {
      if (context.flags.isOn('repair')) {
        throw new UsageError(
          '--repair goes with --directory or --url: an archive is always made anew',
        )
      }
      await using archive = await writeArchive(wanted, context)
      const backup = await Backup.create(archive.place, { secret, random })
      const taken = await write(context, backup, scope)
      await archive.complete()
      await tell(context, backup, taken)
    }
  }
}

function scopeOf({ flags }: CommandContext): BackupScope {
  const [metadata, data] = [flags.isOn('metadata-only'), flags.isOn('data-only')]
  if (metadata && data) {
    throw new UsageError('--metadata-only and --data-only together are all: leave both away')
  }
  if (metadata) return BackupScope.METADATA
  return data ? BackupScope.DATA : BackupScope.UNSPECIFIED
}

/** What the server sends is written here. */
async function write(
  context: CommandContext,
  backup: Backup,
  scope: BackupScope,
): Promise<TakenBackup> {
  const line = new StatusLine(context)
  const skipDamaged = context.flags.isOn('skip-damaged')
  const extractMissing = (known: KnownObjects): AsyncIterable<ExtractEvent> =>
    extractedEvents(
      backupsClient(context).extract({
        scope,
        skipDamaged,
        backupId: backup.id,
        ...knownFields(known),
      }),
    )
  try {
    return await writeBackup(backup, extractMissing, {
      repairs: context.flags.isOn('repair'),
      pause: () => undefined,
      onProgress: (counts) => line.show(progressText(counts)),
      onDamage: (what) => {
        line.clear()
        void context.err.line(`damaged: ${what}`)
      },
    })
  } finally {
    line.clear()
  }
}

async function onServer(
  context: CommandContext,
  place: ReturnType<typeof placeMessage>,
  scope: BackupScope,
): Promise<void> {
  const line = new StatusLine(context)
  const [skipDamaged, repair] = [context.flags.isOn('skip-damaged'), context.flags.isOn('repair')]
  const request = { place, scope, skipDamaged, repair }
  let counts: BackupCounts = { packsDone: 0, packsTotal: 0, objectsWritten: 0, bytesWritten: 0 }
  let end: BackupSnapshot | undefined
  let other: BackupSnapshot | undefined
  try {
    const events = backupsClient(context).extract(request)
    for await (const { event } of withStoreWaits(context, [place.url ?? ''], events)) {
      switch (event.case) {
        case 'progress': {
          const { packsDone, packsTotal, objectsWritten, bytesWritten } = event.value
          counts = {
            packsDone: Number(packsDone),
            packsTotal: Number(packsTotal),
            objectsWritten: Number(objectsWritten),
            bytesWritten: Number(bytesWritten),
          }
          line.show(progressText(counts))
          break
        }
        case 'damage':
          line.clear()
          await context.err.line(`damaged: ${event.value}`)
          break
        case 'other':
          other = event.value
          break
        case 'end':
          end = event.value
          break
        default:
      }
    }
  } finally {
    line.clear()
  }
  if (end === undefined) throw new UnavailableError('the backup ended before it was complete')
  if (other !== undefined) {
    await tellOther(context, place.url ?? '', messageFacts(other), messageFacts(end))
  }
  await told(context, { ...counts, name: end.name, damagedCount: Number(end.damagedPacks) })
}

async function tell(context: CommandContext, backup: Backup, taken: TakenBackup): Promise<void> {
  const { other } = taken
  if (other !== undefined) await tellOther(context, backup.name, factsOf(other), factsOf(taken))
  await told(context, { ...taken, damagedCount: taken.snapshot.damaged.length })
}

async function tellOther(
  { err }: Pick<CommandContext, 'err'>,
  place: string,
  before: SnapshotFacts,
  made: SnapshotFacts,
): Promise<void> {
  await err.line(`note: ${otherStoreText(place, { before, made })}`)
}

/**
 * Beside the backup itself, where that is the output.
 *
 * @throws {DataLossError} when something was left out, so that nobody takes it for whole.
 */
async function told(
  context: CommandContext,
  taken: BackupCounts & { readonly name: string; readonly damagedCount: number },
): Promise<void> {
  const { name, objectsWritten, bytesWritten, damagedCount } = taken
  const objects = objectsWritten === 1 ? '1 object' : `${objectsWritten} objects`
  const packs = damagedCount === 1 ? '1 damaged pack was' : `${damagedCount} damaged packs were`
  const lost = damagedCount === 0 ? '' : `; ${packs} left out`
  const out = wantedPlace(context).kind === 'pipe' ? context.err : context.out
  await out.line(`snapshot ${name}: wrote ${objects}, ${sizeText(bytesWritten)}${lost}`)
  if (damagedCount === 0) return
  throw new DataLossError(
    'the backup is made, but what is in packs that were left out is not in it: pachctl fsck --full names the files, and how to repair what is stored; the next backup then has them',
  )
}

function progressText({ packsDone, packsTotal, bytesWritten }: BackupCounts): string {
  return `${packsDone} of ${packsTotal} packs, ${sizeText(bytesWritten)} written`
}
