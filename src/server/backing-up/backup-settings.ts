import { stat } from 'node:fs/promises'
import { Backup } from '../../backups/backup.ts'
import { requireBackupDirectory } from '../../backups/backup-directory.ts'
import { DirectoryPlace } from '../../backups/object-store-place.ts'
import type { BackupSecret } from '../../backups/sealing.ts'
import { DomainError, NotFoundError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { parseTargetUrl } from '../../base/target-urls.ts'
import type { CloudEnvironment } from '../../clouds/bucket.ts'
import { parseSchedule } from '../../pipelines/cron-ticker.ts'
import { readBucketNote } from '../bucket/bucket-note.ts'
import { UsageError } from '../command-line.ts'
import type { BackupConfig, ServerConfig } from '../server-config.ts'
import { requireApart, requireApartBucket } from '../own-places.ts'
import { readSecretFile } from './secret-file.ts'

/**
 * Looks at what was said of backups before the server starts, and makes nothing. A directory is looked into;
 * a bucket is not, for whose absence a server does not stay away.
 *
 * @throws {UsageError} that names the flag.
 */
export async function requireBackupSettings(
  { root, packs, backup }: Pick<ServerConfig, 'root' | 'packs'> & { readonly backup: BackupConfig },
  { clouds, random }: { readonly clouds: CloudEnvironment; readonly random: Random },
): Promise<void> {
  const { to, every, secretFile } = backup
  if (every !== undefined) {
    await naming(`--backup-every ${JSON.stringify(every)}`, () => parseSchedule(every, 'UTC'))
  }
  const flag = `--backup-${secretFile?.kind ?? 'key'}-file`
  const secret = await naming(flag, () => readSecretFile(secretFile))
  await naming('--backup-to', async () => {
    if (to.includes('://')) {
      const target = parseTargetUrl(to, 'keep a backup in')
      const bucket = packs?.bucket ?? (await readBucketNote(root))?.place
      await requireApartBucket(target, { root, bucket }, clouds)
      return
    }
    await requireApart(to, { root })
    await requireBackupDirectory(to)
    // Without a schedule, callers bring the secret.
    if (every !== undefined || secret !== undefined) await requireOpening(to, secret, random)
  })
}

/** @throws {PermissionDeniedError} when the backup that is there is opened by another secret, or by one at all. */
async function requireOpening(
  directory: string,
  secret: BackupSecret | undefined,
  random: Random,
): Promise<void> {
  if ((await stat(directory).catch(() => undefined)) === undefined) return
  await using place = DirectoryPlace.openForReading(directory)
  try {
    await Backup.open(place, { secret, random })
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
  }
}

async function naming<Result>(flag: string, look: () => Promise<Result>): Promise<Result> {
  try {
    return await look()
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    throw new UsageError(`${flag}: ${error.message}`, { cause: error })
  }
}
