import { readdir, stat } from 'node:fs/promises'
import { type CheckEvent, checkEvents } from '../base/check-events.ts'
import type { CheckRun } from '../base/check-run.ts'
import { DataLossError, FailedPreconditionError, UnavailableError } from '../base/errors.ts'
import { checkSchema, checkSqliteFile } from '../database/database-check.ts'
import { databaseFinding } from '../database/database-findings.ts'
import type { Database } from '../database/database.ts'
import { lockDirectory } from '../database/directory-lock.ts'
import { openSqlite, readSqliteStoreId } from '../database/sqlite.ts'
import { openChunkStore } from '../storage/chunk-store.ts'
import { directoryError } from '../storage/file-errors.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { checkPacksAlone } from '../storage/store-check.ts'
import { readBucketNote } from './bucket/bucket-note.ts'
import { type DataPlaces, layouts, placesIn, readStoreId, writeVersion } from './data-directory.ts'
import { directoryFinding } from './directory-findings.ts'
import { migrations } from './migrations.ts'
import { openPackPlacesToCheck } from './pack-places.ts'
import type { PackPlacesPorts } from './pack-places-ports.ts'
import { checkStore } from './store-checks.ts'
import { isOlder, isReadOnly, UntouchedMetadata } from './untouched-metadata.ts'

export interface DirectoryCheckPorts extends PackPlacesPorts {
  readonly release: string
  readonly signal: AbortSignal
}

/**
 * Checks a data directory that no server uses, even one that no server can be started on. Of one that cannot
 * be written, or that an older release has written, it checks a copy of the metadata.
 *
 * @throws {UnavailableError} while a server uses it.
 * @throws {NotFoundError} @throws {FailedPreconditionError} when it is no data directory, of a newer release,
 *   or of one whose metadata would have to be changed otherwise than was asked for.
 */
export async function* checkDirectory(
  options: { readonly root: string; readonly full: boolean; readonly fix: boolean },
  ports: DirectoryCheckPorts,
): AsyncGenerator<CheckEvent> {
  const { root, full, fix } = options
  await requireDataDirectory(root)
  await using held = new AsyncDisposableStack()
  const { saying, ...places } = await placesToCheck(root, fix, { release: ports.release, held })
  const events = checkEvents({ full, fix, exclusive: true }, ports, async (run) => {
    await checkPlaces(places, ports, run)
  })
  for await (const event of events) {
    if (event.kind !== 'finding') yield event
    else yield { ...event, finding: { ...event.finding, what: saying(event.finding.what) } }
  }
}

interface CheckedPlaces extends DataPlaces {
  readonly isReadOnly: boolean
  /** Of the metadata. */
  readonly isCopy: boolean
}

/** Nobody else uses them; the metadata may be a copy, of which `saying` speaks as of the metadata. */
async function placesToCheck(
  root: string,
  fix: boolean,
  { release, held }: { readonly release: string; readonly held: AsyncDisposableStack },
): Promise<CheckedPlaces & { readonly saying: (text: string) => string }> {
  const places = placesIn(root)
  const canWrite = !(await isReadOnly(root))
  if (canWrite) held.use(await lockDirectory(root).catch(toCheckOfServer))
  if (canWrite && !(await isOlder(places, release))) {
    return { ...places, isReadOnly: false, isCopy: false, saying: (text) => text }
  }
  if (fix) {
    throw new FailedPreconditionError(
      canWrite
        ? `${places.metadata} was written by an older release, and a repair would bring it up to date: check it without --fix, or first run pachctl migrate --root ${root}, which keeps a way back`
        : `${root} cannot be written, so nothing can be put right there: check it without --fix, or make it one that can be written`,
    )
  }
  const untouched = held.use(
    await UntouchedMetadata.copy(places, canWrite ? 'scratch' : 'elsewhere'),
  )
  return {
    ...untouched.places,
    isReadOnly: !canWrite,
    isCopy: true,
    saying: (text) => untouched.saying(text),
  }
}

function toCheckOfServer(error: unknown): never {
  if (!(error instanceof UnavailableError)) throw error
  throw new UnavailableError(`${error.message}; a server that runs is checked by pachctl fsck`, {
    cause: error,
  })
}

async function requireDataDirectory(root: string): Promise<void> {
  const names = await readdir(root).catch((error: unknown) => {
    throw directoryError(error, `data directory ${root}`, root)
  })
  if (names.includes('version') || names.includes('metadata.db')) return
  if (names.includes('objects')) return
  throw new FailedPreconditionError(
    `${root} is no data directory of pachd: it holds neither "version" nor "metadata.db" nor "objects"; give the directory that pachd was started with`,
  )
}

async function checkPlaces(
  places: CheckedPlaces,
  ports: DirectoryCheckPorts,
  run: CheckRun,
): Promise<void> {
  await using opened = new AsyncDisposableStack()
  const storeId = await checkVersion(places, run)
  const { objects } = opened.use(await openPackPlacesToCheck(places, storeId, ports))
  const copies: string[] = []
  const database = await openMetadata(places, ports, { storeId, copies })
  for (const copy of copies) {
    const kept = places.isCopy ? '' : `, and a copy of it was kept: ${copy}`
    const what = `${places.metadata}-wal could be read only in part${kept}`
    await run.report({ kind: databaseFinding('log-damaged'), subject: {}, what })
  }
  if (database instanceof DataLossError) {
    const kind = directoryFinding('metadata-lost')
    await run.report({ kind, subject: {}, what: database.message })
    await checkAlone(places, objects, run)
    return
  }
  opened.use(database)
  const { scratch: scratchDirectory, metadata } = places
  const chunks = await openChunkStore({
    objects,
    database,
    scratchDirectory,
    adoptsNothing: true,
  }).catch(damageOf)
  if (chunks instanceof DataLossError) {
    const kind = databaseFinding('metadata-damaged')
    await run.report({ kind, subject: {}, what: `the list of packs: ${chunks.message}` })
    await checkSchema({ database, path: metadata }, migrations, run)
    await checkAlone(places, objects, run)
    return
  }
  opened.use(chunks)
  await checkStore({ database, metadata, objects, chunks, clock: ports.clock }, run)
}

/** What can be told of a file, and of packs, that do not belong together. */
async function checkAlone(
  { metadata }: DataPlaces,
  objects: ObjectStore,
  run: CheckRun,
): Promise<void> {
  const known = await stat(metadata).catch(() => undefined)
  if (known?.isFile() === true && known.size > 0) await checkSqliteFile(metadata, run)
  await checkPacksAlone(objects, run)
}

function damageOf(error: unknown): DataLossError {
  if (error instanceof DataLossError) return error
  throw error
}

/** The id that the store has, as far as it can be told. */
async function checkVersion(
  { root, metadata }: DataPlaces,
  run: CheckRun,
): Promise<string | undefined> {
  run.stage = 'version'
  const found = await readStoreId(root).catch((error: unknown) => {
    if (error instanceof DataLossError) return error
    throw error
  })
  if (typeof found === 'string') return found
  const stored = await readSqliteStoreId(metadata)
  const repair = async (id: string): Promise<boolean> => {
    const isInBucket = (await readBucketNote(root)) !== undefined
    await writeVersion(root, id, isInBucket ? layouts.bucket : layouts.directory)
    return true
  }
  await run.report({
    kind: directoryFinding('version-lost'),
    subject: {},
    what: found === undefined ? `${root} has no file "version"` : found.message,
    ...(stored === undefined ? {} : { repair: () => repair(stored) }),
  })
  return stored
}

async function openMetadata(
  { metadata, isCopy }: CheckedPlaces,
  { clock, release }: DirectoryCheckPorts,
  found: { readonly storeId: string | undefined; readonly copies: string[] },
): Promise<Database | DataLossError> {
  const { storeId, copies } = found
  if (storeId === undefined) {
    return new DataLossError(`${metadata} does not say which store it is, or is missing`)
  }
  try {
    const store = { id: storeId, isNew: false }
    return await openSqlite({
      path: metadata,
      migrations,
      clock,
      release,
      store,
      keepsCopy: !isCopy,
      onDamagedLog: (copy) => copies.push(copy),
    })
  } catch (error) {
    if (error instanceof DataLossError) return error
    throw error
  }
}
