import { opendir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidArgumentError, NotFoundError } from '../../base/errors.ts'
import { parseSourceUrl, shownSource, type StoreUrl } from '../../base/source-urls.ts'
import type { Bucket, BucketName } from '../../clouds/bucket.ts'
import { BlockObjects } from './block-objects.ts'
import { BucketBlobs, DirectoryBlobs } from './blobs.ts'
import { fileError, FileObjects, isAbsence } from './file-objects.ts'
import type { OldObjects } from '../old-objects.ts'

/** Where a server's storage root may be within what the user named. */
const roots = ['', 'pach/', '/pach/']

/**
 * The objects at `place`: a directory (the storage root of a server, or a copy of a bucket), or the
 * URL of a bucket. The layout is found out.
 *
 * @throws {NotFoundError} when there are none.
 */
export async function openOldObjects(
  place: string,
  openBucket: (name: BucketName) => Promise<Bucket>,
  signal: AbortSignal,
): Promise<OldObjects> {
  if (!place.includes('://')) return await openDirectory(place.replace(/^file:/, ''))
  if (place.startsWith('file://')) return await openDirectory(place.slice('file://'.length))
  const { key, ...name } = parseStorage(place)
  const bucket = await openBucket(name)
  const given = key === '' || key.endsWith('/') ? key : `${key}/`
  for (const root of roots.map((below) => given + below)) {
    for await (const _ of bucket.list(`${root}object/`, signal)) {
      return new BlockObjects(new BucketBlobs(bucket, root, signal))
    }
    for await (const _ of bucket.list(`${root}index/`, signal)) {
      return new BlockObjects(new BucketBlobs(bucket, root, signal))
    }
  }
  throw new NotFoundError(
    `there are no objects of an old cluster in ${place}: no key begins with object/, pach/object/ or /pach/object/`,
  )
}

function parseStorage(place: string): StoreUrl {
  const url = parseSourceUrl(place)
  if (url.kind === 'http' || url.kind === 'pfs') {
    throw new InvalidArgumentError(
      `cannot read old objects from ${shownSource(place)}: give a directory, or the URL of a bucket, as in s3://BUCKET`,
    )
  }
  return url
}

async function openDirectory(place: string): Promise<OldObjects> {
  for (const below of ['', 'pach', 'pachd']) {
    const directory = join(place, below)
    const hasObjects = await isDirectory(join(directory, 'object'))
    if (!hasObjects && !(await isDirectory(join(directory, 'index')))) continue
    // A server that keeps objects as files makes the directory for blocks, and nothing in it.
    const hasBlocks = await hasEntries(join(directory, 'block'))
    if (hasBlocks) return new BlockObjects(new DirectoryBlobs(directory))
    return new FileObjects(directory)
  }
  throw new NotFoundError(
    `there are no objects of an old cluster in ${place}: it should hold the directories object/ and tag/, as the host path of pachd does, or pach/object/, as a copy of a bucket does`,
  )
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (isAbsence(error)) return false
    throw fileError(error)
  }
}

async function hasEntries(path: string): Promise<boolean> {
  try {
    for await (const _ of await opendir(path)) return true
    return false
  } catch (error) {
    if (isAbsence(error)) return false
    throw fileError(error)
  }
}
