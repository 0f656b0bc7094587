import { equalBytes } from '../../base/bytes.ts'
import type { CheckRun, Found } from '../../base/check-run.ts'
import { countText } from '../../base/counts.ts'
import { DataLossError, NotFoundError } from '../../base/errors.ts'
import type { Database } from '../../database/database.ts'
import type { PackStore } from '../chunk-store.ts'
import { Leases } from '../leases.ts'
import type { ObjectInfo, ObjectKey, ObjectStore } from '../object-store.ts'
import { DamagedChunks } from '../packs/damaged-chunks.ts'
import { type IndexedChunk, isPackName, packKey } from '../packs/format.ts'
import { PackExchangedError, type PackIndex, readPackIndex } from '../packs/pack-index.ts'
import { RecentPuts } from '../packs/recent-puts.ts'
import { type SealedPack, SealedPacks } from '../packs/sealed-packs.ts'
import {
  deletePackRow,
  findPackRow,
  insertPack,
  isRetired,
  keepListedPack,
  listedAndRetired,
  type ListedPack,
  updatePackRow,
} from '../packs/stored-packs.ts'
import { replaceLostPack, type StorageDamage, storageFinding } from '../storage-findings.ts'
import type { DamageLedger } from './ledger.ts'
import { isPackInPlace, type PackPair, packPairs, storedPacks } from './pack-pairs.ts'
import { damagedCopy } from './damaged-copy.ts'
import { storeChunks, wholeChunks } from './pack-rescue.ts'
import { scanPack } from './pack-scan.ts'

export interface PackCheckPorts {
  readonly objects: ObjectStore
  readonly database: Database
  readonly chunks: PackStore
  readonly run: CheckRun
  readonly ledger: DamageLedger
}

interface Rescue extends Pick<Found, 'repair' | 'rescue'> {
  /** What is left to do when it was rescued. */
  readonly adviceAfter?: string
}

const asideCacheBytes = 4 * 1024 * 1024

const losses: readonly StorageDamage[] = [
  'pack-missing',
  'pack-size-wrong',
  'pack-index-damaged',
  'pack-exchanged',
]

/** Compares the packs that are stored with those that are listed, and with themselves. */
export class PackCheck {
  readonly #ports: PackCheckPorts
  /** Packs whose rows are wrong or missing, as they are. */
  readonly aside: SealedPacks

  constructor(ports: PackCheckPorts) {
    this.#ports = ports
    const bounds = { indexCacheBytes: asideCacheBytes, locatedChunksMax: 1_000_000 }
    // Nothing is ever put into these, so no put is noted.
    const damage = new DamagedChunks(async () => undefined)
    this.aside = new SealedPacks(ports.objects, new RecentPuts(new Leases()), damage, bounds)
  }

  async checkAll(): Promise<void> {
    const { objects, database, run } = this.#ports
    run.stage = 'packs'
    for await (const pair of packPairs(objects, database)) {
      run.throwIfCancelled()
      if (!isPackName(pair.name)) {
        await this.#tellNameless(pair.name)
        continue
      }
      await this.#ports.chunks.refresh(pair.name)
      const { name, listed, stored } = pair
      const isPair = listed !== undefined && stored !== undefined
      if (!isPair && !(await this.#isSettled(pair))) continue
      run.counts.packs += 1
      run.counts.rows += listed === undefined ? 0 : 1
      run.counts.bytesTotal += stored?.sizeBytes ?? 0
      if (listed === undefined) {
        if (stored !== undefined) await this.#checkUnlisted(name, stored)
      } else if (stored === undefined) this.#missing(listed.pack)
      else await this.#checkBoth(listed, stored)
    }
    await checkForeign(objects, run)
    await this.#checkRetired()
  }

  /** The pack that the row was of, if it is there, is one that is not listed. */
  async #tellNameless(name: string): Promise<void> {
    const { database, run } = this.#ports
    run.counts.rows += 1
    await run.report({
      kind: storageFinding('pack-row-wrong'),
      subject: { pack: name },
      what: `a row of the list of packs has the name ${JSON.stringify(name)}, which no pack can have`,
      repair: () => database.transact((tx) => deletePackRow(tx, name)),
    })
  }

  /** What is to be deleted is listed no more. */
  async #checkRetired(): Promise<void> {
    const { database, run } = this.#ports
    for (const name of await listedAndRetired(database)) {
      await run.report({
        kind: storageFinding('pack-retired'),
        subject: { pack: name },
        what: `pack ${name} is listed, and also noted as one that is to be deleted`,
        repair: () => database.transact((tx) => keepListedPack(tx, name)),
      })
    }
  }

  /**
   * Looks again: a pack is stored before it is listed, and unlisted before it is removed. One that a
   * collection has taken off the list is on its way out.
   */
  async #isSettled({ name, listed, stored }: PackPair): Promise<boolean> {
    const { chunks, database, objects } = this.#ports
    if (stored !== undefined) await chunks.settled()
    const row = await database.read(async (tx) => ({
      isListed: (await findPackRow(tx, name)) !== undefined,
      isRetired: await isRetired(tx, name),
    }))
    if (row.isRetired && !row.isListed) return false
    const isStored = await objects.sizeBytes(packKey(name)).then(
      () => true,
      (error: unknown) => {
        if (error instanceof NotFoundError) return false
        throw error
      },
    )
    return row.isListed === (listed !== undefined) && isStored === (stored !== undefined)
  }

  #missing(pack: SealedPack): void {
    const { run, database } = this.#ports
    const what = `pack ${pack.name} of ${pack.sizeBytes} bytes with ${countText(pack.chunkCount, 'chunk')} is listed, and objects/${packKey(pack.name)} is not there`
    // A running server may still answer from its caches that it holds a chunk of the pack.
    const repair = run.options.exclusive
      ? { repair: () => database.transact((tx) => deletePackRow(tx, pack.name)) }
      : {}
    this.#add('pack-missing', pack.name, what, repair)
  }

  async #checkUnlisted(name: string, stored: ObjectInfo): Promise<void> {
    const { objects, run } = this.#ports
    const index = await this.#read(name, stored)
    if (index instanceof DataLossError) {
      await run.report({
        kind: storageFinding('pack-foreign'),
        subject: { pack: name },
        what: `objects/${stored.key} is not listed: ${index.message}`,
      })
      return
    }
    this.aside.add(index.pack, index.fingerprints)
    const what = `objects/${stored.key} of ${stored.sizeBytes} bytes with ${countText(index.pack.chunkCount, 'chunk')} is not listed`
    this.#add('pack-unlisted', name, what, { repair: () => this.#relist(index, undefined) })
    if (run.options.full) await this.#scan(objects, index)
  }

  async #checkBoth(listed: ListedPack, stored: ObjectInfo): Promise<void> {
    const { objects, chunks, run } = this.#ports
    const { pack } = listed
    const index = await this.#read(pack.name, stored)
    if (index instanceof DataLossError) {
      // Removed meanwhile, by whoever collects garbage.
      if (!(await this.#isSettled({ name: pack.name, listed, stored }))) return
      await this.#addUnreadable(listed, stored, index)
      return
    }
    const difference = rowDifference(listed, index)
    if (difference !== undefined) {
      this.aside.add(index.pack, index.fingerprints)
      const what = `pack ${pack.name} ${difference}`
      this.#add('pack-row-wrong', pack.name, what, { repair: () => this.#relist(index, listed) })
    }
    // What is known of is told, unless the pack was put back since.
    if (run.options.full || chunks.isDamaged(pack)) await this.#scan(objects, index)
  }

  async #addUnreadable(
    listed: ListedPack,
    stored: ObjectInfo,
    error: DataLossError,
  ): Promise<void> {
    const { name, sizeBytes } = listed.pack
    if (error instanceof PackExchangedError) {
      this.#add('pack-exchanged', name, error.message)
      return
    }
    const isWrongSize = stored.sizeBytes !== sizeBytes
    const kind = isWrongSize ? 'pack-size-wrong' : 'pack-index-damaged'
    const what = isWrongSize
      ? `objects/${stored.key} has ${stored.sizeBytes} bytes instead of ${sizeBytes}`
      : `objects/${stored.key}: ${error.message}`
    this.#add(kind, name, what, await this.#rescueOf(listed, stored))
  }

  /** What can be made of a pack that says no more for certain where its chunks are. */
  async #rescueOf(listed: ListedPack, stored: ObjectInfo): Promise<Rescue> {
    const { objects, run } = this.#ports
    // A running server may have told somebody that it holds a chunk which is lost.
    if (!run.options.exclusive) return {}
    const whole = await wholeChunks(objects, listed, stored, run)
    const { length } = whole
    const { chunkCount } = listed.pack
    if (length === 0) {
      const nothing = `none of its ${chunkCount} chunks could be found in it`
      return { rescue: async () => nothing, adviceAfter: replaceLostPack }
    }
    if (length === chunkCount) {
      return {
        repair: async () => {
          await this.#saveChunks(listed, whole, { isAll: true })
          return true
        },
      }
    }
    return {
      rescue: async () => {
        const name = await this.#saveChunks(listed, whole, { isAll: false })
        return `${length} of its ${chunkCount} chunks are whole, and are in pack ${name} now`
      },
      adviceAfter: replaceLostPack,
    }
  }

  async #saveChunks(
    listed: ListedPack,
    whole: readonly IndexedChunk[],
    { isAll }: { readonly isAll: boolean },
  ): Promise<string> {
    const { chunks, database, objects } = this.#ports
    const { pack, fingerprints } = await storeChunks(objects, listed.pack, whole)
    await database.transact(async (tx) => {
      await insertPack(tx, pack, fingerprints)
      // As long as it is said what else was in it, that can be put back.
      if (isAll) await deletePackRow(tx, listed.pack.name)
    })
    chunks.relist(pack, fingerprints)
    return pack.name
  }

  /** Makes or corrects the row; false when it is no longer what it was. */
  async #relist(index: PackIndex, before: ListedPack | undefined): Promise<boolean> {
    const { chunks, database } = this.#ports
    const { pack, fingerprints } = index
    const changed = await database.transact(async (tx) => {
      if (before !== undefined) return await updatePackRow(tx, pack, fingerprints)
      if ((await findPackRow(tx, pack.name)) !== undefined) return false
      if (await isRetired(tx, pack.name)) return false
      await insertPack(tx, pack, fingerprints)
      return true
    })
    if (changed) chunks.relist(pack, fingerprints)
    return changed
  }

  async #read(name: string, stored: ObjectInfo): Promise<PackIndex | DataLossError> {
    try {
      return await readPackIndex(this.#ports.objects, stored, name)
    } catch (error) {
      if (error instanceof DataLossError) return error
      if (error instanceof NotFoundError) return new DataLossError(error.message, { cause: error })
      throw error
    }
  }

  async #scan(objects: ObjectStore, index: PackIndex): Promise<void> {
    const { chunks, run, ledger } = this.#ports
    const { name } = index.pack
    try {
      const { damaged, bits, moreCount, frame } = await scanPack(objects, index, run)
      await chunks.setDamaged(index.pack, bits)
      for (const { id, reason, ...place } of damaged) {
        const whole = await chunks.findWhole(id, { pack: index.pack, index: place.index })
        if (whole !== undefined) {
          await run.report(damagedCopy({ id, pack: name, reason }, whole.pack))
          continue
        }
        const found = {
          kind: storageFinding('chunk-damaged'),
          subject: { pack: name, chunk: id },
          what: reason,
        }
        ledger.add(`chunk ${id}`, found)
      }
      if (moreCount > 0) {
        const what = `${moreCount} more chunks of pack ${name} are damaged`
        this.#add('more-damage', name, what)
      }
      if (frame === undefined) return
      await run.report({
        kind: storageFinding('pack-frame-damaged'),
        subject: { pack: name },
        what: `pack ${name}: ${frame}`,
      })
    } catch (error) {
      // Removed meanwhile; what still needs it is found out by the walk through the trees.
      if (!(error instanceof NotFoundError)) throw error
    }
  }

  #add(
    kind: StorageDamage,
    pack: string,
    what: string,
    { adviceAfter, ...more }: Rescue = {},
  ): void {
    const { ledger, run } = this.#ports
    const finding = storageFinding(kind)
    const advice = (run.options.fix ? adviceAfter : undefined) ?? finding.advice
    const found = { kind: { ...finding, advice }, subject: { pack }, what, ...more }
    ledger.add(`pack ${pack}`, found, {
      isLoss: losses.includes(kind),
      repairUnneeded: kind === 'pack-missing',
    })
  }
}

/** What lies among the packs and is none, or is not where it is looked for. */
async function checkForeign(objects: ObjectStore, run: CheckRun): Promise<void> {
  const report = async (name: string, what: string): Promise<void> => {
    const kind = storageFinding('pack-foreign')
    await run.report({ kind, subject: {}, what: `objects/${name} ${what}` })
  }
  for await (const { key } of objects.list('')) {
    run.throwIfCancelled()
    if (isPackInPlace(key) || isOfMetadataCopy(key)) continue
    const isPack = /[0-9a-f]{64}$/.test(key)
    await report(key, isPack ? 'is in another folder than its name says' : 'has no name of a pack')
  }
  for await (const name of objects.foreignNames()) await report(name, 'has no name of a pack')
}

/** What is kept beside the packs on purpose: docs/formats/backups.md. */
function isOfMetadataCopy(key: ObjectKey): boolean {
  return /^(?:backup|(?:metadata|snapshots)\/.*)$/.test(key)
}

/** Each pack that is stored against its name, and in a full check its chunks against theirs. */
export async function checkStoredPacks(objects: ObjectStore, run: CheckRun): Promise<void> {
  run.stage = 'packs'
  for await (const { name, info } of storedPacks(objects)) {
    run.throwIfCancelled()
    await objects.refresh(info.key)
    run.counts.packs += 1
    run.counts.bytesTotal += info.sizeBytes
    const report = async (kind: StorageDamage, what: string, chunk?: string): Promise<void> => {
      const subject = chunk === undefined ? { pack: name } : { pack: name, chunk }
      await run.report({ kind: storageFinding(kind), subject, what })
    }
    try {
      const index = await readPackIndex(objects, info, name)
      if (!run.options.full) continue
      const { damaged, frame } = await scanPack(objects, index, run)
      for (const { id, reason } of damaged) await report('chunk-damaged', reason, id)
      if (frame !== undefined) await report('pack-frame-damaged', `pack ${name}: ${frame}`)
    } catch (error) {
      if (error instanceof PackExchangedError) await report('pack-exchanged', error.message)
      else if (error instanceof DataLossError) await report('pack-index-damaged', error.message)
      else throw error
    }
  }
  await checkForeign(objects, run)
}

/** How a row differs from the pack that it is about. */
function rowDifference(listed: ListedPack, { pack, fingerprints }: PackIndex): string | undefined {
  const { sizeBytes, chunkCount } = listed.pack
  if (sizeBytes !== pack.sizeBytes) {
    return `is listed with ${sizeBytes} bytes and has ${pack.sizeBytes}`
  }
  if (chunkCount !== pack.chunkCount) {
    return `is listed with ${countText(chunkCount, 'chunk')} and has ${pack.chunkCount}`
  }
  if (!equalBytes(listed.fingerprints, fingerprints)) {
    return 'is listed with the first bytes of other chunk ids than it has'
  }
  return undefined
}
