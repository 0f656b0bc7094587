import { statfsSync, statSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DataLossError, DiskFullError, FailedPreconditionError } from '../../base/errors.ts'
import { sizeText } from '../../base/sizes.ts'
import type { LayerUpgrade, Migrations, StoreUpgrade } from '../database.ts'
import type { Connection } from './connection.ts'
import { sqliteDialect } from './dialect.ts'
import { isRefused } from './failure.ts'

/** The arrangement of this door's own tables: docs/formats/metadata.md. */
const ownLayer = 'database'
const ownSteps: readonly string[] = [
  `CREATE TABLE database_events (
     sequence INTEGER PRIMARY KEY,
     topic TEXT NOT NULL,
     subject TEXT NOT NULL
   )`,
  // One row, in a store that belongs to a data directory: the id that both say.
  `CREATE TABLE database_store (
     one INTEGER PRIMARY KEY,
     id TEXT NOT NULL
   )`,
]
/** "PaCh" in the file's header: what `file` and this door know the store by. */
const applicationId = 0x50614368
const layersTable = `CREATE TABLE IF NOT EXISTS database_layers (
  layer TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  release TEXT NOT NULL
)`

/** What this release knows of one layer. */
interface Plan {
  readonly layer: string
  readonly steps: readonly (readonly string[])[]
}

interface StoredLayer {
  readonly version: number
  readonly release: string
}

/**
 * Marks an empty file as ours, before anything else is written to it.
 *
 * @throws {FailedPreconditionError} when the file holds another program's tables.
 */
export function claimStore(connection: Connection): void {
  const row = connection.get<{ readonly id: number }>(
    'SELECT application_id AS id FROM pragma_application_id',
  )
  if (row?.id === applicationId) return
  if (connection.get('SELECT name FROM sqlite_schema LIMIT 1') !== undefined) {
    throw new FailedPreconditionError(
      `${connection.path} is the database of another program; use another data directory`,
    )
  }
  connection.execute(`PRAGMA application_id = ${applicationId}`)
}

/** Writes down which data directory the store belongs to. */
export function setStoreId(connection: Connection, id: string): void {
  connection.run(
    `INSERT INTO database_store (one, id) VALUES (1, ?)
     ON CONFLICT (one) DO UPDATE SET id = excluded.id`,
    [id],
  )
}

/** Undefined when the store says none, or is none of ours. */
export function storeIdOf(connection: Connection): string | undefined {
  const table = connection.get(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = 'database_store'",
  )
  if (table === undefined) return undefined
  return connection.get<{ readonly id: string }>('SELECT id FROM database_store WHERE one = 1')?.id
}

/** The number of the newest event; 0 when there is none, or no log. */
export function lastEventOf(connection: Connection): number {
  const table = connection.get(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = 'database_events'",
  )
  if (table === undefined) return 0
  const row = connection.get<{ readonly last: number | null }>(
    'SELECT MAX(sequence) AS last FROM database_events',
  )
  return row?.last ?? 0
}

/**
 * What `migrate` would do, in its order; all of it for a file that holds no store yet.
 *
 * @throws {FailedPreconditionError} when the store was written by a newer release.
 */
export function plannedUpgrade(
  connection: Connection,
  migrations: readonly Migrations[],
  release: string,
): readonly LayerUpgrade[] {
  const plans = plansOf(migrations)
  const stored = storedLayers(connection)
  refuseNewer(connection.path, plans, stored, release)
  return plans
    .map(({ layer, steps }) => ({ layer, from: versionOf(stored, layer), to: steps.length }))
    .filter(({ from, to }) => from < to)
}

/**
 * Brings every layer to its last step, in the order given, all in one transaction: whatever stops it, the
 * store is as it was, and the older release opens it. A store that held anything is copied first, beside
 * itself, and what was done is returned.
 *
 * @throws {FailedPreconditionError} when the store was written by a newer release.
 */
export async function migrate(
  connection: Connection,
  migrations: readonly Migrations[],
  release: string,
  { keepsCopy = true }: { readonly keepsCopy?: boolean } = {},
): Promise<StoreUpgrade | undefined> {
  connection.execute(sqliteDialect(layersTable))
  const layers = plannedUpgrade(connection, migrations, release)
  if (layers.length === 0) return undefined
  try {
    const copy = await migrateLayers(connection, migrations, release, keepsCopy)
    return copy === undefined ? undefined : { copy, layers }
  } catch (error) {
    if (!(error instanceof DiskFullError)) throw error
    const { path } = connection
    throw new DiskFullError(dirname(path), { cause: error, advice: upgradeAdvice(path) })
  }
}

/** The path of the copy, when there is one. */
async function migrateLayers(
  connection: Connection,
  migrations: readonly Migrations[],
  release: string,
  keepsCopy: boolean,
): Promise<string | undefined> {
  const stored = storedLayers(connection)
  const copy = keepsCopy && stored.size > 0 ? await backUp(connection, stored) : undefined
  // A step may rebuild a table that others refer to; what refers to nothing afterwards is refused.
  connection.execute('PRAGMA foreign_keys = OFF')
  connection.execute('BEGIN IMMEDIATE')
  try {
    for (const plan of plansOf(migrations)) {
      for (let version = versionOf(stored, plan.layer); version < plan.steps.length; version += 1) {
        runStep(connection, plan, version, release)
      }
    }
    connection.execute('COMMIT')
  } catch (error) {
    if (connection.inTransaction) connection.execute('ROLLBACK')
    throw error
  }
  connection.execute('PRAGMA foreign_keys = ON')
  return copy
}

/** What an upgrade of the store in the file `path` takes on its disk at most, and what is free there, in bytes. */
export function upgradeRoom(path: string): { readonly needed: number; readonly free: number } {
  const { bavail, bsize } = statfsSync(dirname(path))
  const sizes = [path, `${path}-wal`].map((each) => statSync(each, { throwIfNoEntry: false })?.size)
  const sizeBytes = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
  // A copy of all that there is, and a log of all that changes.
  return { needed: 2 * sizeBytes, free: bavail * bsize }
}

/** What to do when there is no room for an upgrade. */
export function upgradeAdvice(path: string): string {
  const { needed, free } = upgradeRoom(path)
  return `to bring ${basename(path)} to this release takes up to ${sizeText(needed)}, for a copy of what there is and for what changes, and ${sizeText(free)} are free; make room, and do the same again: nothing has changed. Copies of before older upgrades, ${basename(path)}${copySuffix}…, may go`
}

function plansOf(migrations: readonly Migrations[]): readonly Plan[] {
  return [{ layer: ownLayer, steps: [ownSteps] }, ...migrations]
}

function runStep(connection: Connection, plan: Plan, version: number, release: string): void {
  try {
    for (const statement of plan.steps[version] ?? []) connection.execute(sqliteDialect(statement))
    const orphan = connection.get<{ readonly table: string }>('PRAGMA foreign_key_check')
    if (orphan !== undefined) {
      throw new Error(
        `invariant broken: step ${version + 1} of ${plan.layer} leaves rows of ${orphan.table} that refer to nothing`,
      )
    }
    connection.run(
      `INSERT INTO database_layers (layer, version, release) VALUES (?, ?, ?)
       ON CONFLICT (layer) DO UPDATE SET version = excluded.version, release = excluded.release`,
      [plan.layer, version + 1, release],
    )
  } catch (error) {
    // A step fits what the steps before it have left: else the row is wrong, or tables are.
    if (!isRefused(error)) throw error
    throw new DataLossError(
      `${connection.path} is damaged: its table database_layers says that ${plan.layer} is at version ${version}, and step ${version + 1} does not fit what is there (${causeText(error)}); stop the server, keep a copy of the file, and restore the newest backup`,
      { cause: error },
    )
  }
}

function causeText(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error
  return cause instanceof Error ? cause.message : String(cause)
}

function storedLayers(connection: Connection): ReadonlyMap<string, StoredLayer> {
  const table = connection.get("SELECT name FROM sqlite_schema WHERE name = 'database_layers'")
  if (table === undefined) return new Map()
  const rows = connection.all<{
    readonly layer: string
    readonly version: number
    readonly release: string
  }>('SELECT layer, version, release FROM database_layers ORDER BY layer')
  return new Map(rows.map(({ layer, version, release }) => [layer, { version, release }]))
}

function versionOf(stored: ReadonlyMap<string, StoredLayer>, layer: string): number {
  return stored.get(layer)?.version ?? 0
}

function refuseNewer(
  path: string,
  plans: readonly Plan[],
  stored: ReadonlyMap<string, StoredLayer>,
  release: string,
): void {
  for (const [layer, { version, release: writer }] of stored) {
    const known = plans.find((plan) => plan.layer === layer)?.steps.length ?? 0
    if (version <= known) continue
    // Between two releases, builds have the number of one of them.
    const [newer, use] =
      writer === release
        ? [`a newer build of release ${writer}`, 'use that build']
        : [`release ${writer}`, `use release ${writer}`]
    throw new FailedPreconditionError(
      `${path} was written by ${newer} (${layer} version ${version}); this is release ${release}, which knows ${layer} up to version ${known}: ${use} or newer, or go back to what there was before the upgrade, with its pachctl: pachctl migrate --root DIR --undo`,
    )
  }
}

/** What the names of copies that are made before an upgrade begin with, behind that of the store. */
export const copySuffix = '.backup-'

/** A whole copy beside the store, named after the versions that it holds; an older one of that name goes. */
async function backUp(
  connection: Connection,
  stored: ReadonlyMap<string, StoredLayer>,
): Promise<string> {
  const directory = dirname(connection.path)
  const versions = [...stored].map(([layer, { version }]) => `${layer}${version}`).join('-')
  const backup = join(directory, `${basename(connection.path)}${copySuffix}${versions}`)
  const partial = `${backup}.partial`
  await rm(partial, { force: true })
  try {
    connection.run('VACUUM INTO ?', [partial])
    // VACUUM INTO does not sync what it writes.
    await syncFile(partial)
    await rename(partial, backup)
  } catch (error) {
    await rm(partial, { force: true })
    throw error
  }
  await syncFile(directory)
  return backup
}

/** Makes a file's bytes, or a directory's names, survive a loss of power. */
export async function syncFile(path: string): Promise<void> {
  await using file = await open(path, 'r')
  await file.sync()
}
