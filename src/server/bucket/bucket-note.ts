import { open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DataLossError } from '../../base/errors.ts'
import { directoryError, systemCode } from '../../storage/file-errors.ts'
import { type BucketPlace, parseBucketPlace } from '../bucket-place.ts'

/** What a data directory says of the bucket that has its packs: docs/formats/data-directory.md. */
export interface BucketNote {
  readonly place: BucketPlace
  /** Of the last start that has ended; undefined before the first one has. */
  readonly session: string | undefined
  /** Of a start that may have come as far as the bucket. */
  readonly next: string | undefined
}

const notePattern =
  /^pachyderm-ts packs 1\nurl ([^\n]{1,2048})\n(?:session ([0-9a-f]{32})\n)?(?:next ([0-9a-f]{32})\n)?$/
const noteName = 'bucket'

/** Undefined when the packs are in the directory. */
export async function readBucketNote(root: string): Promise<BucketNote | undefined> {
  const path = join(root, noteName)
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined
    throw directoryError(error, path, root)
  })
  if (text === undefined) return undefined
  const [, url, session, next] = notePattern.exec(text) ?? []
  if (url === undefined) {
    throw new DataLossError(
      `${path} is damaged: it should say where the packs are, as docs/formats/data-directory.md describes; restore it from a backup`,
    )
  }
  return { place: parseBucketPlace(url), session, next }
}

/** Draft, sync, rename, sync: it is there whole or not at all. */
export async function writeBucketNote(root: string, note: BucketNote): Promise<void> {
  const lines = [
    'pachyderm-ts packs 1',
    `url ${note.place.url}`,
    ...(note.session === undefined ? [] : [`session ${note.session}`]),
    ...(note.next === undefined ? [] : [`next ${note.next}`]),
  ]
  const draft = join(root, `${noteName}.draft`)
  try {
    {
      await using file = await open(draft, 'w')
      await file.writeFile(`${lines.join('\n')}\n`)
      await file.sync()
    }
    await rename(draft, join(root, noteName))
    await syncDirectory(root)
  } catch (error) {
    throw directoryError(error, draft, root)
  }
}

/** From now on the packs are in the directory. */
export async function removeBucketNote(root: string): Promise<void> {
  await rm(join(root, noteName), { force: true })
  await syncDirectory(root)
}

async function syncDirectory(root: string): Promise<void> {
  await using directory = await open(root, 'r')
  await directory.sync()
}
