import { createHash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DataLossError, ResourceExhaustedError } from '../base/errors.ts'
import { sizeText } from '../base/sizes.ts'
import { systemCode } from '../storage/file-errors.ts'
import { chunksOfPack, PackBuilder, type WholePack } from '../storage/pack-bytes.ts'
import {
  type BackedUpMetadata,
  type BackedUpPack,
  type MetadataPiece,
  pieceBytes,
} from './format.ts'

/** From this many pieces on, packs of which less than half is needed are written anew. */
const sparsePiecesMin = 1024

export interface KnownMetadata {
  readonly packs: readonly BackedUpPack[]
  readonly pieces: readonly MetadataPiece[]
}

/**
 * Cuts the file of the metadata into pieces; those that `known` has are not yielded again. Yields packs
 * of at most 40 MiB, and returns what tells how to put the file together.
 */
export async function* packMetadata(
  path: string,
  known: KnownMetadata | undefined,
  pause: () => Promise<void> | undefined,
): AsyncGenerator<WholePack, BackedUpMetadata> {
  const { size } = await stat(path)
  const places = new Map<string, BackedUpPack>()
  if (known !== undefined && !isSparse(known)) {
    for (const { id, pack } of known.pieces) {
      const place = known.packs[pack]
      if (place !== undefined) places.set(id, place)
    }
  }
  const hash = createHash('sha256')
  const ids: string[] = []
  let builder = new PackBuilder()
  let inBuilder: string[] = []
  const finish = (): WholePack => {
    const pack = builder.finish()
    const place = { name: pack.name, sizeBytes: pack.bytes.length, chunkCount: pack.chunkCount }
    for (const id of inBuilder) places.set(id, place)
    builder = new PackBuilder()
    inBuilder = []
    return pack
  }
  await using file = await open(path, 'r')
  for (let offset = 0; offset < size; offset += pieceBytes) {
    await pause()
    const piece = Buffer.allocUnsafeSlow(Math.min(pieceBytes, size - offset))
    const { bytesRead } = await file.read(piece, 0, piece.length, offset)
    if (bytesRead !== piece.length) throw new DataLossError(`${path} was cut short meanwhile`)
    hash.update(piece)
    const id = createHash('sha256').update(piece).digest('hex')
    ids.push(id)
    if (places.has(id) || inBuilder.at(-1) === id) continue
    builder.add(piece)
    inBuilder.push(id)
    if (builder.isFull) yield finish()
  }
  if (!builder.isEmpty) yield finish()
  return { sizeBytes: size, hash: hash.digest('hex'), ...numbered(ids, places) }
}

function isSparse({ packs, pieces }: KnownMetadata): boolean {
  const heldCount = packs.reduce((sum, { chunkCount }) => sum + chunkCount, 0)
  return heldCount > 2 * pieces.length + sparsePiecesMin
}

function numbered(
  ids: readonly string[],
  places: ReadonlyMap<string, BackedUpPack>,
): KnownMetadata {
  const numbers = new Map<BackedUpPack, number>()
  const pieces = ids.map((id) => {
    const place = places.get(id)
    if (place === undefined) throw new Error('invariant broken: a piece is in no pack')
    const pack = numbers.get(place) ?? numbers.size
    numbers.set(place, pack)
    return { id, pack }
  })
  return { packs: [...numbers.keys()], pieces }
}

/**
 * Puts the file of the metadata together, durably, from its packs, each of which is read once.
 *
 * @throws {DataLossError} when it is not what it was.
 */
export async function unpackMetadata(
  metadata: BackedUpMetadata,
  read: (pack: string) => Promise<Uint8Array>,
  path: string,
): Promise<void> {
  const { sizeBytes, packs, pieces, hash } = metadata
  const offsets = new Map<string, number[]>()
  for (const [index, { id }] of pieces.entries()) {
    const known = offsets.get(id)
    if (known === undefined) offsets.set(id, [index * pieceBytes])
    else known.push(index * pieceBytes)
  }
  try {
    await using file = await open(path, 'w')
    for (const { name } of packs) {
      for await (const { id, bytes } of chunksOfPack(name, await read(name))) {
        for (const offset of offsets.get(id) ?? []) await file.write(bytes, 0, bytes.length, offset)
        offsets.delete(id)
      }
    }
    await file.sync()
  } catch (error) {
    const code = systemCode(error)
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error
    throw new ResourceExhaustedError(
      `no room is left in ${dirname(path)} to put the metadata of the backup together, which are ${sizeText(sizeBytes)}: make some on its disk`,
      { cause: error },
    )
  }
  const written = await hashOfFile(path)
  if (offsets.size === 0 && written.hash === hash && written.sizeBytes === sizeBytes) return
  throw new DataLossError(
    'the metadata that were put together from the backup are not those that were backed up: a piece of them is lost',
  )
}

async function hashOfFile(
  path: string,
): Promise<{ readonly hash: string; readonly sizeBytes: number }> {
  const hash = createHash('sha256')
  await using file = await open(path, 'r')
  const buffer = Buffer.allocUnsafeSlow(1024 * 1024)
  let sizeBytes = 0
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, sizeBytes)
    if (bytesRead === 0) return { hash: hash.digest('hex'), sizeBytes }
    hash.update(buffer.subarray(0, bytesRead))
    sizeBytes += bytesRead
  }
}
