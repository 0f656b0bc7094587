import { open, readdir, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataLossError, FailedPreconditionError } from '../base/errors.ts'
import { newHexId, type Random } from '../base/random.ts'
import { lockDirectory } from '../database/directory-lock.ts'
import { makeDirectories } from '../storage/directories.ts'
import { directoryError, systemCode } from '../storage/file-errors.ts'

/** Where things are in a data directory. */
export interface DataPlaces {
  readonly root: string
  /** The database file. */
  readonly metadata: string
  readonly objects: string
  readonly scratch: string
  /** The keys that secrets are sealed with. */
  readonly secretKeys: string
  /** Of packs that are in a bucket, what was read of late. */
  readonly cache: string
}

/** A data directory that is ours alone until it is disposed. */
export interface DataDirectory extends DataPlaces, AsyncDisposable {
  /** The id that the metadata has, or gets when this is the first start. */
  readonly store: { readonly id: string; readonly isNew: boolean }
  /**
   * Ends the first start: to be called when the metadata is durable, and before anything else is
   * made. From then on the metadata must be there.
   */
  settle(): Promise<void>
  /** From now on releases that know nothing of buckets refuse the directory. */
  noteBucket(): Promise<void>
}

/** The arrangement of the directory: docs/formats/data-directory.md. */
export const layouts = {
  /** The packs are in it. */
  directory: 1,
  /** They are in a bucket, or on their way there. */
  bucket: 2,
} as const
const layoutMax = 2
const versionName = 'version'
const versionDraftName = 'version.draft'
/**
 * What an empty disk, a first start that was killed, or one that goes on right now may leave. Of the
 * metadata nobody has been told anything yet.
 */
const harmlessNames =
  /^(lost\+found|lock\.db(-journal)?|version\.draft|metadata\.db(-wal|-wal\.damaged-.*|-shm|-journal|-open|-reserve|\.backup-.*)?)$/

/** Files in it may be readable for others: the directory is not. */
const ownersOnly = 0o700

/**
 * Makes `root` a data directory, if it is not one yet, and locks it.
 *
 * @throws {UnavailableError} when another server has it.
 * @throws {FailedPreconditionError} when it holds something else, or is of a newer release.
 * @throws {DataLossError} when what it says of itself makes no sense.
 */
export async function openDataDirectory(root: string, random: Random): Promise<DataDirectory> {
  await using opened = new AsyncDisposableStack()
  let known: string | undefined
  try {
    await makeDirectories(root, ownersOnly)
    await requireOurs(root)
    opened.use(await lockDirectory(root))
    known = await readStoreId(root)
  } catch (error) {
    throw directoryError(error, `data directory ${root}`, root)
  }
  const store = { id: known ?? newHexId(random), isNew: known === undefined }
  const held = opened.move()
  return {
    ...placesIn(root),
    store,
    settle: async () => {
      if (store.isNew) await writeVersion(root, store.id, layouts.directory)
    },
    noteBucket: () => writeVersion(root, store.id, layouts.bucket),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

export function placesIn(root: string): DataPlaces {
  return {
    root,
    metadata: join(root, 'metadata.db'),
    objects: join(root, 'objects'),
    scratch: join(root, 'scratch'),
    secretKeys: join(root, 'secrets.key'),
    cache: join(root, 'cache'),
  }
}

/** Whether a first start on `root` has ended, as far as can be told. Makes nothing. */
export async function isDataDirectory(root: string): Promise<boolean> {
  const version = await stat(join(root, versionName)).catch(() => undefined)
  return version !== undefined
}

/** So that nobody's home directory is filled with ours by a mistyped flag. */
async function requireOurs(root: string): Promise<void> {
  const names = await readdir(root)
  if (names.includes(versionName)) return
  const foreign = names.find((name) => !harmlessNames.test(name))
  if (foreign === undefined) return
  throw new FailedPreconditionError(
    `${root} is no data directory of pachd, but holds ${JSON.stringify(foreign)}: choose an empty or a new directory; if it was one, restore its file "${versionName}", or let pachd --root ${root} --fsck --fix write it again`,
  )
}

/** Undefined before the first start has ended. */
export async function readStoreId(root: string): Promise<string | undefined> {
  const path = join(root, versionName)
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined
    throw directoryError(error, path, root)
  })
  if (text === undefined) return undefined
  const version = /^pachyderm-ts data directory ([1-9]\d{0,8})\n/.exec(text)?.[1]
  if (version !== undefined && Number(version) > layoutMax) {
    throw new FailedPreconditionError(
      `${root} was written by a newer release (layout ${version}); this release knows layout ${layoutMax}: use the newer release`,
    )
  }
  const id = /^.*\nstore ([0-9a-f]{32})\n$/.exec(text)?.[1]
  if (version === undefined || id === undefined) {
    throw new DataLossError(
      `${path} is damaged: it should read "pachyderm-ts data directory ${layouts.directory}" and, in a second line, "store" with 32 hex digits; check the directory, or restore a backup`,
    )
  }
  return id
}

/** Draft, sync, rename, sync: the file is there whole or not at all. */
export async function writeVersion(
  root: string,
  storeId: string,
  layout: (typeof layouts)[keyof typeof layouts],
): Promise<void> {
  const draft = join(root, versionDraftName)
  try {
    {
      await using file = await open(draft, 'w')
      await file.writeFile(`pachyderm-ts data directory ${layout}\nstore ${storeId}\n`)
      await file.sync()
    }
    await rename(draft, join(root, versionName))
    await using directory = await open(root, 'r')
    await directory.sync()
  } catch (error) {
    throw directoryError(error, draft, root)
  }
}
