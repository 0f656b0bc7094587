import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DiskFullError } from '../base/errors.ts'
import { sizeText } from '../base/sizes.ts'
import type { LayerUpgrade, Migrations } from './database.ts'
import { SqliteCopy, type StoredLayerVersion } from './sqlite-copy.ts'
import { Connection } from './sqlite/connection.ts'
import { requireFiles } from './sqlite/losses.ts'
import { copySuffix, migrate, plannedUpgrade, upgradeAdvice, upgradeRoom } from './sqlite/store.ts'

const cacheBytes = 32 * 1024 * 1024

/**
 * What this release will do to the store in the file `path` when it opens it. The store may be in use.
 *
 * @throws {FailedPreconditionError} when a newer release has written it.
 * @throws {DataLossError} when it, or its log, is lost.
 */
export async function readSqliteUpgrade(
  path: string,
  migrations: readonly Migrations[],
  release: string,
): Promise<readonly LayerUpgrade[]> {
  // A connection would make a log that is missing anew.
  await requireFiles(path, true)
  using connection = new Connection(path, { cacheBytes, readOnly: true })
  return plannedUpgrade(connection, migrations, release)
}

/** Does it to a copy, of which none is kept. @throws {DataLossError} when a step does not fit. */
export async function upgradeSqliteCopy(
  copy: string,
  migrations: readonly Migrations[],
  release: string,
): Promise<void> {
  using connection = new Connection(copy, { cacheBytes })
  await migrate(connection, migrations, release, { keepsCopy: false })
}

/** What to do when the disk of the store in the file `path` has no room for an upgrade, or for a trial of one. */
export function noUpgradeRoom(path: string, cause: unknown): DiskFullError {
  return new DiskFullError(dirname(path), { cause, advice: upgradeAdvice(path) })
}

/** In words: what an upgrade of the store in the file `path` takes at most, and what there is. */
export function upgradeRoomText(path: string): string {
  const { needed, free } = upgradeRoom(path)
  return `it takes up to ${sizeText(needed)} on the disk of ${dirname(path)}, of which ${sizeText(free)} are free`
}

/** What there was before an upgrade. */
export interface UpgradeCopy {
  readonly path: string
  /** When it was made, in milliseconds since 1970. */
  readonly madeAtMs: number
  readonly layers: readonly StoredLayerVersion[]
}

/** The copies beside the store in the file `path`, the newest one first. */
export async function upgradeCopies(path: string): Promise<readonly UpgradeCopy[]> {
  const directory = dirname(path)
  const prefix = `${basename(path)}${copySuffix}`
  const names = (await readdir(directory)).filter(
    (name) => name.startsWith(prefix) && !name.endsWith('.partial'),
  )
  const copies = await Promise.all(
    names.map(async (name) => {
      const copy = join(directory, name)
      using opened = new SqliteCopy(copy)
      const { layers } = opened
      return { path: copy, madeAtMs: (await stat(copy)).mtimeMs, layers }
    }),
  )
  return copies.toSorted((one, other) => other.madeAtMs - one.madeAtMs)
}
