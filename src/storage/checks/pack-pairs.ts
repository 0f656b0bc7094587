import type { Database } from '../../database/database.ts'
import type { ObjectInfo, ObjectKey, ObjectStore } from '../object-store.ts'
import { packKey, packNameOf } from '../packs/format.ts'
import { type ListedPack, listPacks } from '../packs/stored-packs.ts'

/** A pack by its name: as it is listed, as it is stored, or both. */
export interface PackPair {
  readonly name: string
  readonly listed: ListedPack | undefined
  readonly stored: ObjectInfo | undefined
}

/** Both lists side by side, in the order of names; holds one of each. */
export async function* packPairs(
  objects: ObjectStore,
  database: Database,
): AsyncGenerator<PackPair> {
  const rows = listPacks(database)
  const files = storedPacks(objects)
  try {
    let [row, file] = [await next(rows), await next(files)]
    while (row !== undefined || file !== undefined) {
      const name = lesser(row?.pack.name, file?.name)
      const listed = row?.pack.name === name ? row : undefined
      const stored = file?.name === name ? file.info : undefined
      yield { name, listed, stored }
      if (listed !== undefined) row = await next(rows)
      if (stored !== undefined) file = await next(files)
    }
  } finally {
    await Promise.all([rows.return(undefined), files.return(undefined)])
  }
}

interface StoredPack {
  readonly name: string
  readonly info: ObjectInfo
}

/** Packs as the object store holds them, in the order of their names. */
export async function* storedPacks(objects: ObjectStore): AsyncGenerator<StoredPack> {
  for await (const info of objects.list('packs/')) {
    const name = packNameOf(info.key)
    if (name !== undefined && isPackInPlace(info.key)) yield { name, info }
  }
}

/** In a folder of another name a pack is not found, and so is none. */
export function isPackInPlace(key: ObjectKey): boolean {
  const name = packNameOf(key)
  return name !== undefined && key === packKey(name)
}

async function next<Item>(items: AsyncGenerator<Item>): Promise<Item | undefined> {
  const step = await items.next()
  return step.done === true ? undefined : step.value
}

function lesser(left: string | undefined, right: string | undefined): string {
  if (left === undefined) return right ?? ''
  return right === undefined || left < right ? left : right
}
