import { inParallel } from '../../base/parallel.ts'
import type { Database } from '../../database/database.ts'
import type { FaultPoint } from '../fault-point.ts'
import type { ObjectStore } from '../object-store.ts'
import { packKey } from './format.ts'
import type { PackDraft } from './pack-draft.ts'
import type { RecentPuts } from './recent-puts.ts'
import type { SealedPack, SealedPacks } from './sealed-packs.ts'
import {
  forgetRetiredPacks,
  insertPack,
  isPackListed,
  retiredPackNames,
  retirePack,
} from './stored-packs.ts'

export interface RetiredPacksPorts {
  readonly objects: ObjectStore
  readonly database: Database
  readonly sealed: SealedPacks
  readonly recent: RecentPuts
  readonly faultPoint: FaultPoint
}

/**
 * Deletes what a collection had retired when the process ended. Nobody reads or writes yet. A pack
 * that is listed all the same, which only damage can bring about, stays.
 */
export async function deleteLeftPacks(objects: ObjectStore, database: Database): Promise<void> {
  const names = await retiredPackNames(database)
  await inParallel(names, deletedAtOnceMax, async (name) => {
    const isListed = await database.read((tx) => isPackListed(tx, name))
    if (!isListed) await objects.delete(packKey(name))
  })
  for (let at = 0; at < names.length; at += forgottenAtOnceMax) {
    const some = names.slice(at, at + forgottenAtOnceMax)
    await database.transact((tx) => forgetRetiredPacks(tx, some), { usesReserve: true })
  }
}

/** Objects that are deleted at the same time. */
const deletedAtOnceMax = 16
/** Retired packs that are forgotten in one transaction. */
const forgottenAtOnceMax = 256

/** What became of packs: the names that are to be deleted, and the size of their successor. */
export interface Replaced {
  readonly names: readonly string[]
  readonly addedBytes: number
  /** What holds now what is needed of them. */
  readonly successor: SealedPack | undefined
}

/**
 * Packs on their way out. First no put relies on them; then, in one transaction, they are taken off
 * the list, which may list their successor; last, their objects are deleted.
 */
export class RetiredPacks {
  readonly #ports: RetiredPacksPorts
  /** By name; settles when the pack is off the list, or stays. */
  readonly #going = new Map<string, PromiseWithResolvers<undefined>>()
  readonly #deleting = new Map<string, Promise<void>>()
  readonly #replacing = new Set<Promise<unknown>>()

  constructor(ports: RetiredPacksPorts) {
    this.#ports = ports
  }

  /** From now on no put relies on `packs`. Must be followed by `replace` or `restore`. */
  retire(packs: readonly SealedPack[]): void {
    for (const { name } of packs) {
      this.#going.set(name, Promise.withResolvers())
      this.#ports.sealed.retire(name)
    }
  }

  /** The packs stay, after all. */
  restore(packs: readonly SealedPack[]): void {
    for (const { name } of packs) {
      this.#ports.sealed.restore(name)
      this.#going.get(name)?.resolve(undefined)
      this.#going.delete(name)
    }
  }

  /**
   * Takes retired packs off the list, in favour of `successor` if there is one, which holds all of
   * them that is needed. Returns the names that are to be deleted.
   */
  async replace(packs: readonly SealedPack[], successor?: PackDraft): Promise<Replaced> {
    const replacing = this.#replaceNow(packs, successor)
    this.#replacing.add(replacing)
    try {
      return await replacing
    } finally {
      this.#replacing.delete(replacing)
    }
  }

  /** Resolves when the successors that are stored now are listed, unless that failed. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#replacing)
  }

  async #replaceNow(packs: readonly SealedPack[], successor?: PackDraft): Promise<Replaced> {
    const { database, objects, sealed, recent, faultPoint } = this.#ports
    const made = await successor?.finish()
    // A pack that holds just what is needed of all of them is its own successor.
    const kept = packs.find(({ name }) => name === made?.name)
    if (kept !== undefined) this.restore([kept])
    const gone = packs.filter((pack) => pack !== kept)
    let added: SealedPack | undefined
    if (made !== undefined && successor !== undefined && kept === undefined) {
      added = { name: made.name, sizeBytes: made.sizeBytes, chunkCount: successor.chunkCount }
      await this.finish(made.name)
      await objects.putFileIfAbsent(packKey(made.name), successor.path)
      faultPoint('collect: successor stored')
    }
    await database.transact(
      async (tx) => {
        if (added !== undefined && made !== undefined)
          await insertPack(tx, added, made.fingerprints)
        for (const pack of gone) await retirePack(tx, pack)
      },
      { usesReserve: true },
    )
    faultPoint('collect: taken off the list')
    if (added !== undefined && made !== undefined) {
      recent.noteSealed(added.name)
      sealed.add(added, made.fingerprints)
    }
    for (const { name } of gone) {
      sealed.forget(name)
      recent.forget(name)
      this.#going.get(name)?.resolve(undefined)
    }
    return {
      names: gone.map(({ name }) => name),
      addedBytes: added?.sizeBytes ?? 0,
      successor: added ?? kept,
    }
  }

  /** Deletes the objects of packs that are off the list; nothing happens for those that are gone. */
  async delete(names: readonly string[]): Promise<void> {
    const running = new Set<Promise<void>>()
    const fresh: string[] = []
    for (const name of names) {
      const deleting = this.#deleting.get(name)
      if (deleting !== undefined) running.add(deleting)
      else if (this.#going.has(name)) fresh.push(name)
    }
    if (fresh.length > 0) running.add(this.#delete(fresh))
    await Promise.all(running)
  }

  async #delete(names: readonly string[]): Promise<void> {
    const deleting = this.#deleteNow(names)
    for (const name of names) this.#deleting.set(name, deleting)
    try {
      await deleting
    } finally {
      for (const name of names) this.#deleting.delete(name)
    }
  }

  /**
   * Waits until no pack of that name is on its way out. A pack with the same chunks in the same
   * order as one that was retired has its name: it must not be stored before that is deleted.
   */
  async finish(name: string): Promise<void> {
    for (let going = this.#going.get(name); going !== undefined; going = this.#going.get(name)) {
      await going.promise
      if (this.#going.get(name) === going) await this.delete([name])
    }
  }

  async #deleteNow(names: readonly string[]): Promise<void> {
    const { database, objects, faultPoint } = this.#ports
    await inParallel(names, deletedAtOnceMax, async (name) => {
      await objects.delete(packKey(name))
      faultPoint('collect: object deleted')
    })
    await database.transact((tx) => forgetRetiredPacks(tx, names), { usesReserve: true })
    faultPoint('collect: pack forgotten')
    for (const name of names) this.#going.delete(name)
  }
}
