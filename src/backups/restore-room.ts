import { stat, statfs } from 'node:fs/promises'
import { DiskFullError } from '../base/errors.ts'
import { sizeText } from '../base/sizes.ts'
import { nearestReal } from './backup-directory.ts'
import { isContentKey, type Snapshot } from './format.ts'

/** What is to come to the disk of a directory, which need not be there yet. */
export interface NeededRoom {
  readonly directory: string
  readonly sizeBytes: number
}

/** Where a restore puts what comes. */
interface RestorePlaces {
  /** Of the metadata. */
  readonly directory: string
  /** Of the packs; undefined when they go on to a bucket, and need no more room than waits for it. */
  readonly objectsDirectory: string | undefined
}

/** What a restore of these objects takes: of the metadata, what comes and what is made of it. */
export function restoreRoom(
  { metadata }: Pick<Snapshot, 'metadata'>,
  objects: Iterable<{ readonly key: string; readonly sizeBytes: number }>,
  { directory, objectsDirectory }: RestorePlaces,
): readonly NeededRoom[] {
  let metadataBytes = metadata?.sizeBytes ?? 0
  let packBytes = 0
  for (const { key, sizeBytes } of objects) {
    if (isContentKey(key)) packBytes += sizeBytes
    else metadataBytes += sizeBytes
  }
  const needs = [{ directory, sizeBytes: metadataBytes }]
  if (objectsDirectory !== undefined)
    needs.push({ directory: objectsDirectory, sizeBytes: packBytes })
  return needs
}

/**
 * Looks whether all of it has room, where several directories may be on one disk. `comes` is all of a restore, of
 * which nothing has come yet, or one pack of several.
 *
 * @throws {DiskFullError} that says where, how much is needed, and how much there is.
 */
export async function requireRoom(
  needs: readonly NeededRoom[],
  comes: 'all' | 'a pack' = 'all',
): Promise<void> {
  const disks = new Map<number, NeededRoom>()
  for (const { directory, sizeBytes } of needs) {
    const { dev } = await stat(await nearestReal(directory))
    const known = disks.get(dev)
    const all = (known?.sizeBytes ?? 0) + sizeBytes
    disks.set(dev, { directory: known?.directory ?? directory, sizeBytes: all })
  }
  for (const { directory, sizeBytes } of disks.values()) {
    const { bavail, blocks, bsize } = await statfs(await nearestReal(directory))
    const freeBytes = bavail * bsize
    // Some file systems do not say.
    if (blocks > 0 && freeBytes < sizeBytes)
      throw noRoom({ directory, sizeBytes }, comes, freeBytes)
  }
}

function noRoom(
  { directory, sizeBytes }: NeededRoom,
  comes: 'all' | 'a pack',
  freeBytes: number,
): DiskFullError {
  const what = comes === 'all' ? 'the restore' : 'the next pack'
  const needed = `${what} takes ${sizeText(sizeBytes)} there, and ${sizeText(freeBytes)} are free`
  const advice = `make room for ${sizeText(sizeBytes - freeBytes)} more and do the same again`
  return new DiskFullError(directory, {
    advice:
      comes === 'all'
        ? `${needed}: ${advice}, or restore to a data directory on a larger disk; nothing has been restored`
        : `${needed}: ${advice}, which goes on with what is there`,
  })
}

/** Of a disk that became full on the way. */
export async function roomLost(error: DiskFullError): Promise<DiskFullError> {
  const { directory, lacksFiles } = error
  const { bavail, bsize } = await statfs(await nearestReal(directory))
  return new DiskFullError(directory, {
    cause: error,
    lacksFiles,
    advice: `${sizeText(bavail * bsize)} are free, and what is to come takes more: make room, and do the same again, which goes on with what is there; or restore to a data directory on a larger disk`,
  })
}
