import { open, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DataLossError } from '../../base/errors.ts'
import type { Connection } from './connection.ts'
import { storeIdOf, syncFile } from './store.ts'

/** Beside the database while commits may be in the log alone: docs/formats/metadata.md. */
function markPath(path: string): string {
  return `${path}-open`
}

/**
 * Says that from now on the log is needed. The log's name must be durable already.
 */
export async function markOpen(path: string): Promise<void> {
  {
    await using mark = await open(markPath(path), 'w')
    await mark.sync()
  }
  await syncFile(dirname(path))
}

/** Before the last connection is closed, which moves the log into the file and removes it. */
export async function markClosed(path: string): Promise<void> {
  await rm(markPath(path), { force: true })
  await syncFile(dirname(path))
}

/**
 * To be called before anything opens the database, which would make the missing files anew.
 *
 * @param mustExist that this is not the first start.
 * @throws {DataLossError} when a file is gone that must be there.
 */
export async function requireFiles(path: string, mustExist: boolean): Promise<void> {
  const size = await sizeBytes(path)
  const logSize = await sizeBytes(`${path}-wal`)
  if (mustExist && size === undefined) throw lostStore(path, 'is missing')
  if (mustExist && size === 0) throw lostStore(path, 'is empty')
  if (logSize === undefined && (await sizeBytes(markPath(path))) !== undefined) {
    throw new DataLossError(
      `${path}-wal is missing, and with it the last commits, since the server did not stop in good order: put it back, or restore a backup; to go on with what ${path} holds, or if it is a backup, delete ${markPath(path)}`,
    )
  }
}

/** @throws {DataLossError} when the store is not the one that belongs here. */
export function requireStore(connection: Connection, id: string): void {
  const found = storeIdOf(connection)
  if (found === id) return
  throw lostStore(
    connection.path,
    found === undefined
      ? 'holds no store, or not the whole of it'
      : `belongs to another data directory (it says store ${found}, not ${id})`,
  )
}

function lostStore(path: string, what: string): DataLossError {
  return new DataLossError(
    `${path} ${what}, but this data directory has been in use: repos, branches and commits were in it. Restore a backup. The packs in ${dirname(path)}/objects are untouched, but hold contents without their names; to start over, move the whole directory away`,
  )
}

async function sizeBytes(path: string): Promise<number | undefined> {
  return await stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
}
