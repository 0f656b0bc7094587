import { createHash } from 'node:crypto'
import { DataLossError } from '../../base/errors.ts'
import { chunkIdBytes } from '../chunk-id.ts'
import type { ObjectInfo, ObjectStore } from '../object-store.ts'
import { decodeIndex, decodeTrailer, entryBytes, trailerBytes } from './format.ts'
import type { SealedPack } from './sealed-packs.ts'

/** What a pack says of itself, checked against its name. */
export interface PackIndex {
  readonly pack: SealedPack
  /** As the table `packs` has them. */
  readonly fingerprints: Uint8Array
  /** The entries, as they are stored. */
  readonly index: Uint8Array
  /** Where the chunks end. */
  readonly dataEnd: number
}

/** An object has the name of one pack and is another. */
export class PackExchangedError extends DataLossError {
  override readonly name = 'PackExchangedError'
}

/**
 * Reads the trailer, index and fence of a pack: up to 5 MiB.
 *
 * @throws {DataLossError} when they are not those of the pack `name`.
 */
export async function readPackIndex(
  objects: ObjectStore,
  { key, sizeBytes }: ObjectInfo,
  name: string,
): Promise<PackIndex> {
  const what = `pack ${name}`
  const end = await objects.get(key, Math.max(0, sizeBytes - trailerBytes), trailerBytes)
  const trailer = decodeTrailer(end, sizeBytes, what)
  const { dataEnd, chunkCount } = trailer
  const indexAndFence = await objects.get(key, dataEnd, sizeBytes - trailerBytes - dataEnd)
  const digest = createHash('sha256').update(indexAndFence).digest('hex')
  if (digest === trailer.name && digest !== name) {
    throw new PackExchangedError(`${what}: it is the pack ${digest}, under a wrong name`)
  }
  if (digest !== name || trailer.name !== name) {
    throw new DataLossError(`${what}: its index is damaged`)
  }
  const fingerprints = new Uint8Array(chunkCount * 4)
  const index = indexAndFence.subarray(0, chunkCount * entryBytes)
  let number = 0
  for (const { id } of decodeIndex(index, dataEnd, what)) {
    fingerprints.set(chunkIdBytes(id).subarray(0, 4), number * 4)
    number += 1
  }
  return { pack: { name, sizeBytes, chunkCount }, fingerprints, index, dataEnd }
}
