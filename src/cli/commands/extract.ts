import { Backup } from '../../backups/backup.ts'
import { DirectoryPlace } from '../../backups/object-store-place.ts'
import {
  type BackupCounts,
  BackupWriting,
  knownObjects,
  type TakenBackup,
} from '../../backups/taking.ts'
import { UnavailableError } from '../../base/errors.ts'
import { SystemRandom } from '../../base/random.ts'
import { type BackupSnapshot, BackupScope } from '../../gen/pachyderm_pb.ts'
import { extractedEvents, knownFields } from '../backing-up/extracted-events.ts'
import { placeMessage, secretOf, wantedPlace, writeArchive } from '../backing-up/places.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { backupsClient } from '../own-clients.ts'
import { sizeText } from '../../base/sizes.ts'
import { StatusLine } from '../printing/status-line.ts'

/** Makes a backup of all that the server keeps. */
export async function extract(context: CommandContext): Promise<void> {
  const wanted = wantedPlace(context)
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
      await tell(context, await write(context, backup, scope))
      break
    }
    case 'file':
    case 'pipe': {
      await using archive = await writeArchive(wanted, context)
      const backup = await Backup.openOrCreate(archive.place, { secret, random })
      const taken = await write(context, backup, scope)
      await archive.complete()
      await tell(context, taken)
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
  const known = await knownObjects(backup)
  const skipDamaged = context.flags.isOn('skip-damaged')
  const request = { scope, skipDamaged, ...knownFields(known) }
  const writing = new BackupWriting(backup, {
    onProgress: (counts) => line.show(progressText(counts)),
    onDamage: (what) => {
      line.clear()
      void context.err.line(`damaged: ${what}`)
    },
  })
  try {
    return await writing.write(extractedEvents(backupsClient(context).extract(request)))
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
  const skipDamaged = context.flags.isOn('skip-damaged')
  let counts: BackupCounts = { packsDone: 0, packsTotal: 0, objectsWritten: 0, bytesWritten: 0 }
  let end: BackupSnapshot | undefined
  try {
    for await (const { event } of backupsClient(context).extract({ place, scope, skipDamaged })) {
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
  await told(context, { ...counts, name: end.name, damagedCount: Number(end.damagedPacks) })
}

async function tell(context: CommandContext, taken: TakenBackup): Promise<void> {
  await told(context, { ...taken, damagedCount: taken.snapshot.damaged.length })
}

/** Beside the backup itself, where that is the output. */
async function told(
  context: CommandContext,
  taken: BackupCounts & { readonly name: string; readonly damagedCount: number },
): Promise<void> {
  const { name, objectsWritten, bytesWritten, damagedCount } = taken
  const objects = objectsWritten === 1 ? '1 object' : `${objectsWritten} objects`
  const lost = damagedCount === 0 ? '' : `; ${damagedCount} damaged packs were left out`
  const out = wantedPlace(context).kind === 'pipe' ? context.err : context.out
  await out.line(`snapshot ${name}: wrote ${objects}, ${sizeText(bytesWritten)}${lost}`)
}

function progressText({ packsDone, packsTotal, bytesWritten }: BackupCounts): string {
  return `${packsDone} of ${packsTotal} packs, ${sizeText(bytesWritten)} written`
}
