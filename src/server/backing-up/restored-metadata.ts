import { open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FailedPreconditionError } from '../../base/errors.ts'
import type { Database, ReadTransaction } from '../../database/database.ts'
import { SqliteCopy, syncDirectory } from '../../database/sqlite-copy.ts'
import { systemCode } from '../../storage/file-errors.ts'
import type { DataPlaces } from '../data-directory.ts'
import type { Log } from '../log.ts'

/** Where a restore keeps what has come, in a data directory. */
export function restoreDirectory(root: string): string {
  return join(root, 'restore')
}

/** Where a restore of chosen repos keeps what has come of a backup. */
export function repoRestoreDirectory(root: string): string {
  return join(root, 'restore-repos')
}

/** Where complete metadata wait for the next start. */
export function restoredMetadata(root: string): string {
  return join(root, 'metadata.db.restored')
}

/** Says which snapshot the metadata come from. */
function restoredNote(root: string): string {
  return join(root, 'restored')
}

/** Tables whose rows a restore would take away, and what people call them. */
const guarded = [
  ['repos', 'repos'],
  ['pipelines', 'pipelines'],
  ['objects', 'objects'],
  ['migration_runs', 'a migration that was not completed'],
] as const

/** What the metadata hold that is not to be lost; undefined when it is nothing. */
async function contentOf(
  isUsed: (table: string) => Promise<boolean> | boolean,
): Promise<string | undefined> {
  for (const [table, name] of guarded) if (await isUsed(table)) return name
  return undefined
}

async function has(tx: ReadTransaction, table: string): Promise<boolean> {
  return (await tx.get(`SELECT 1 AS one FROM ${table} LIMIT 1`)) !== undefined
}

/**
 * Of a server that runs on `root`.
 *
 * @throws {FailedPreconditionError} when the store holds something that a restore would lose.
 */
export async function requireEmptyStore(database: Database, root: string): Promise<void> {
  const found = await database.read(async (tx) => await contentOf((table) => has(tx, table)))
  if (found === undefined) return
  throw new FailedPreconditionError(
    `this server ${await filledText(root, found)}, and a whole backup is restored into an empty one only: give --repo for each repo that is to come beside those that are here, or start pachd on a new directory, and restore there`,
  )
}

/** The same of the metadata of `places`, which stay as they are, whatever release has written them. */
export async function requireEmptyFile({ metadata, root }: DataPlaces): Promise<void> {
  const found = await contentOfFile(metadata)
  if (found === undefined) return
  throw new FailedPreconditionError(
    `${root} ${await filledText(root, found)}, and a whole backup is restored into a new directory only: name another as --root, or start pachd on this one, and have repos come beside those that are there with pachctl restore --repo`,
  )
}

/** Who has restored, and was not told the end of it, may ask once more: then it is said that all has come. */
async function filledText(root: string, found: string): Promise<string> {
  const before = await restoredFrom(root)
  const since = before === undefined ? '' : `, since it was restored from snapshot ${before}`
  return `has ${found} already${since}`
}

/** The snapshot that a data directory was restored from, if it was. */
export async function restoredFrom(root: string): Promise<string | undefined> {
  const text = await readFile(restoredNote(root), 'utf8').catch(() => '')
  return /^snapshot (\S+)\n$/.exec(text)?.[1]
}

/** Whether the metadata are those of a restore of that snapshot, which has come to its end. */
export async function isRestoredFrom(
  { root, metadata }: Pick<DataPlaces, 'root' | 'metadata'>,
  snapshot: string,
): Promise<boolean> {
  return (await restoredFrom(root)) === snapshot && (await contentOfFile(metadata)) !== undefined
}

/** To be called before the metadata are put where the next start takes them from. */
export async function noteRestored(root: string, snapshot: string): Promise<void> {
  const draft = `${restoredMetadata(root)}.of`
  await writeFile(draft, `snapshot ${snapshot}\n`)
  await using file = await open(draft, 'r')
  await file.sync()
}

/**
 * Puts restored metadata in the place of those that are there, when some wait for it, in a data directory
 * that is ours alone. Stopped at any step, it goes on at the next start. Where the store is not empty any
 * more, it stays as it is. Returns the snapshot that they are of.
 */
export async function applyRestored(places: DataPlaces, log: Log): Promise<string | undefined> {
  const { root, metadata } = places
  const restored = restoredMetadata(root)
  if (!(await exists(restored))) return undefined
  const found = await contentOfFile(metadata)
  if (found !== undefined) {
    await rm(restored)
    log.warning(
      'a restore was not carried out: before the server stopped, somebody made what it would have lost',
      { made: found },
    )
    return undefined
  }
  // The log belongs to what goes, and would be taken for that of what comes.
  for (const suffix of ['-wal', '-shm', '-open']) {
    await rm(`${metadata}${suffix}`, { force: true })
  }
  if (await exists(`${restored}.of`)) await rename(`${restored}.of`, restoredNote(root))
  await rename(restored, metadata)
  await syncDirectory(metadata)
  await rm(restoreDirectory(root), { recursive: true, force: true })
  return (await restoredFrom(root)) ?? 'unknown'
}

async function contentOfFile(metadata: string): Promise<string | undefined> {
  // Missing: it was taken away before the last step.
  if (!(await exists(metadata))) return undefined
  using copy = new SqliteCopy(metadata)
  const tables = new Set(
    copy
      .all<{ readonly name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table'")
      .map(({ name }) => name),
  )
  return await contentOf(
    (table) => tables.has(table) && copy.all(`SELECT 1 AS one FROM ${table} LIMIT 1`).length > 0,
  )
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    (error: unknown) => {
      if (systemCode(error) === 'ENOENT') return false
      throw error
    },
  )
}
