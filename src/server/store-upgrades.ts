import { copyFile, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { SystemClock } from '../base/clock.ts'
import {
  DataLossError,
  DiskFullError,
  FailedPreconditionError,
  NotFoundError,
} from '../base/errors.ts'
import { SystemRandom } from '../base/random.ts'
import { sizeText } from '../base/sizes.ts'
import type { LayerUpgrade } from '../database/database.ts'
import { openSqlite } from '../database/sqlite.ts'
import { copySqlite, editSqliteCopy, SqliteCopy, syncDirectory } from '../database/sqlite-copy.ts'
import {
  noUpgradeRoom,
  readSqliteUpgrade,
  type UpgradeCopy,
  upgradeCopies,
  upgradeRoomText,
  upgradeSqliteCopy,
} from '../database/sqlite-upgrade.ts'
import { makeDirectories } from '../storage/directories.ts'
import { directoryError, fileError } from '../storage/file-errors.ts'
import { isPackName, packKey } from '../storage/pack-bytes.ts'
import { moveMetadataAside } from './backing-up/metadata-aside.ts'
import { type DataPlaces, isDataDirectory, openDataDirectory, placesIn } from './data-directory.ts'
import { Log } from './log.ts'
import { migrations } from './migrations.ts'
import { openPackPlaces } from './pack-places.ts'
import { readRelease } from './release.ts'

const msPerSecond = 1000

/** What is to be done to the metadata of a data directory that an older release has written. */
export interface StoreUpgradeWish {
  /** The data directory, absolute. */
  readonly root: string
  /** `look`: say what an upgrade would do, and try it on a copy; a server may run meanwhile. */
  readonly kind: 'look' | 'upgrade' | 'undo'
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Lines of the log. */
  readonly log: (line: string) => void
}

/**
 * Brings the metadata to the tables of this release without a server, or back; yields lines for people.
 *
 * @throws {FailedPreconditionError} when a newer release has written them.
 * @throws {UnavailableError} while a server uses the directory, unless it is only looked at.
 */
export async function* upgradeStore(wish: StoreUpgradeWish): AsyncGenerator<string> {
  const { root, kind } = wish
  if (!(await isDataDirectory(root))) {
    throw new FailedPreconditionError(
      `${root} is no data directory of pachd: it has no file "version"; give the directory that pachd is started with`,
    )
  }
  const release = await readRelease()
  if (kind === 'look') yield* tryUpgrade(placesIn(root), release)
  else if (kind === 'upgrade') yield* upgrade(root, release)
  else yield* undo(wish)
}

async function* tryUpgrade(places: DataPlaces, release: string): AsyncGenerator<string> {
  const { metadata, scratch } = places
  const layers = await readUpgrade(places, release)
  if (layers.length === 0) {
    yield upToDateText(places.root, release)
    return
  }
  yield* layers.map((layer) => `would bring ${layerText(layer)}`)
  yield upgradeRoomText(metadata)
  const clock = new SystemClock()
  const directory = await makeDirectories(scratch)
    .then(async () => await mkdtemp(join(scratch, 'upgrade-')))
    .catch((error: unknown) => {
      throw directoryError(error, `a copy of ${metadata} to try it on`, scratch)
    })
  try {
    const copy = join(directory, 'metadata.db')
    await copySqlite(metadata, copy, new AbortController().signal)
    const startMs = clock.monotonicMs()
    await upgradeSqliteCopy(copy, migrations, release)
    const seconds = ((clock.monotonicMs() - startMs) / msPerSecond).toFixed(1)
    yield `tried on a copy: all steps fit, in ${seconds} s; nothing has changed`
  } catch (error) {
    throw error instanceof DiskFullError ? noUpgradeRoom(metadata, error) : error
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function* upgrade(root: string, release: string): AsyncGenerator<string> {
  await using directory = await openDataDirectory(root, new SystemRandom())
  const { metadata, store } = directory
  const layers = await readUpgrade(directory, release)
  if (layers.length === 0) {
    yield upToDateText(root, release)
    return
  }
  const copies: string[] = []
  const onUpgraded = ({ copy }: { readonly copy: string }): void => void copies.push(copy)
  const clock = new SystemClock()
  await using _ = await openSqlite({
    path: metadata,
    migrations,
    clock,
    release,
    store,
    onUpgraded,
  })
  yield* copies.map((copy) => `what there was before is in ${copy}`)
  yield* layers.map((layer) => `brought ${layerText(layer)}`)
  yield `${root} is ready for release ${release}; to go back, pachctl migrate --root ${root} --undo`
}

async function readUpgrade(
  { metadata }: DataPlaces,
  release: string,
): Promise<readonly LayerUpgrade[]> {
  return await readSqliteUpgrade(metadata, migrations, release)
}

function layerText({ layer, from, to }: LayerUpgrade): string {
  const steps = to - from
  return `${layer} from version ${from} to ${to}, ${steps} step${steps === 1 ? '' : 's'}`
}

function upToDateText(root: string, release: string): string {
  return `${root} has the tables of release ${release} already: there is nothing to do`
}

/**
 * Puts the copy that was made before the last upgrade in the place of the metadata, which are moved aside.
 * Stopped at any step, it goes on when it is called again.
 */
async function* undo(wish: StoreUpgradeWish): AsyncGenerator<string> {
  const { root, environment } = wish
  const [clock, random] = [new SystemClock(), new SystemRandom()]
  await using directory = await openDataDirectory(root, random)
  const { metadata, store } = directory
  const copy = await copyToPutBack(directory)
  const draft = `${metadata}.undo`
  await copyFile(copy.path, draft).catch(async (error: unknown) => {
    await rm(draft, { force: true })
    const failure = fileError(error, copy.path, root)
    if (!(failure instanceof DiskFullError)) throw failure
    const { size } = await stat(copy.path)
    const advice = `a copy of ${sizeText(size)} is put in the place of the metadata, and there is no room for it; make some, and do the same again: nothing has changed`
    throw new DiskFullError(root, { cause: error, advice })
  })
  requireOfStore(draft, store.id)
  const clouds = { variables: environment, secretsDirectory: '/' }
  const log = new Log(clock, wish.log)
  await using packs = await openPackPlaces(directory, {}, { clock, random, clouds, log })
  await packs.start()
  // What was needed of packs that were collected since is in others, which the next start lists.
  const there = new Set<string>()
  for await (const { key } of packs.objects.list('packs/')) there.add(key)
  await editSqliteCopy(draft, (tx) => {
    for (const { name } of tx.all<{ readonly name: string }>('SELECT name FROM packs')) {
      if (isPackName(name) && !there.has(packKey(name))) {
        tx.run('DELETE FROM packs WHERE name = ?', [name])
      }
    }
    for (const table of migrations.flatMap(({ outsideTables = [] }) => outsideTables)) {
      const [found] = tx.all('SELECT name FROM sqlite_schema WHERE name = ?', [table])
      if (found !== undefined) tx.run(`DELETE FROM ${table}`)
    }
  })
  const aside = await moveMetadataAside(metadata, `undone-${clock.now()}`)
  await rename(draft, metadata)
  await syncDirectory(metadata)
  if (aside !== undefined) yield aside
  yield `the metadata are those of before the upgrade, of ${timeText(copy)}: what was changed since then is lost. Now start the release that ran before`
}

async function copyToPutBack({ metadata }: DataPlaces): Promise<UpgradeCopy> {
  const [copy] = await upgradeCopies(metadata)
  if (copy === undefined) {
    throw new NotFoundError(
      `there is no copy of before an upgrade beside ${metadata}: restore a backup that the older release has made into a new directory`,
    )
  }
  // Missing: an undo was stopped before its last step.
  if ((await stat(metadata).catch(() => undefined)) === undefined) return copy
  using present = new SqliteCopy(metadata)
  const versions = new Map(present.layers.map(({ layer, version }) => [layer, version]))
  if (copy.layers.some(({ layer, version }) => version < (versions.get(layer) ?? 0))) return copy
  if (copy.layers.length < versions.size) return copy
  throw new FailedPreconditionError(
    `${metadata} is not newer than ${basename(copy.path)}, the newest copy of before an upgrade: there is nothing to go back from`,
  )
}

function requireOfStore(draft: string, id: string): void {
  using copy = new SqliteCopy(draft)
  if (copy.storeId === id) return
  throw new DataLossError(
    `${draft.replace(/\.undo$/, '')} has a copy of before an upgrade beside it that is of another data directory: move that away`,
  )
}

function timeText({ madeAtMs }: UpgradeCopy): string {
  return new Date(madeAtMs).toISOString()
}
