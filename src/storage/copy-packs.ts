import { DataLossError, NotFoundError } from '../base/errors.ts'
import type { ObjectInfo, ObjectKey, ObjectStore } from './object-store.ts'
import { packNameOf } from './packs/format.ts'
import { readPackIndex } from './packs/pack-index.ts'

const pieceBytes = 4 * 1024 * 1024

export interface CopiedPacks {
  readonly count: number
  readonly sizeBytes: number
  /** What is wrong with packs that were copied as they are. */
  readonly damaged: readonly DataLossError[]
}

/**
 * Copies every pack that `to` does not have, and checks size and index of each there. One that is damaged
 * is copied, too: what is whole of it can be read. May be called again after it was ended.
 */
export async function copyPacks(
  from: ObjectStore,
  to: ObjectStore,
  onPack: (copied: { readonly count: number; readonly sizeBytes: number }) => void,
): Promise<CopiedPacks> {
  const damaged: DataLossError[] = []
  let count = 0
  let sizeBytes = 0
  for await (const info of from.list('packs/')) {
    const name = packNameOf(info.key)
    if (name === undefined) continue
    if ((await sizeIn(to, info.key)) !== info.sizeBytes) {
      await to.putIfAbsent(info.key, pieces(from, info))
    }
    await readPackIndex(to, info, name).catch((error: unknown) => {
      if (!(error instanceof DataLossError)) throw error
      damaged.push(error)
    })
    count += 1
    sizeBytes += info.sizeBytes
    onPack({ count, sizeBytes })
  }
  return { count, sizeBytes, damaged }
}

async function sizeIn(objects: ObjectStore, key: ObjectKey): Promise<number | undefined> {
  try {
    return await objects.sizeBytes(key)
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}

async function* pieces(
  from: ObjectStore,
  { key, sizeBytes }: ObjectInfo,
): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < sizeBytes; offset += pieceBytes) {
    const length = Math.min(pieceBytes, sizeBytes - offset)
    const bytes = await from.get(key, offset, length)
    if (bytes.length < length) throw new DataLossError(`object ${key} ends too early`)
    yield bytes
  }
}
