/** Where a frame of Zstandard ends, by RFC 8878, without taking it apart. */

const magic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])
const headerBytesMax = 18
const blockHeaderBytes = 3
const blockBytesMax = 128 * 1024
const checksumBytes = 4
/** By the two bits that tell. */
const dictionaryIdBytes = [0, 1, 2, 4] as const
/** A frame is searched for in pieces of this size. */
const pieceBytes = 64 * 1024

/** Gives bytes of an object; undefined when the disk does not, or there are fewer. */
export type ReadBytes = (offset: number, length: number) => Promise<Uint8Array | undefined>

export interface ZstdFrame {
  readonly offset: number
  readonly storedBytes: number
  /** Of its content; undefined when it does not say. */
  readonly rawBytes: number | undefined
}

/** What looks like a frame and ends at `end` at the latest, the first one from `offset` on. */
export async function findFrame(
  read: ReadBytes,
  offset: number,
  end: number,
): Promise<ZstdFrame | undefined> {
  for (let at = offset; at + magic.length <= end;) {
    const length = Math.min(pieceBytes, end - at)
    const piece = await read(at, length)
    const found = piece === undefined ? -1 : asBuffer(piece).indexOf(magic)
    if (found >= 0) {
      const frame = await frameAt(read, at + found, end)
      if (frame !== undefined) return frame
      at += found + 1
    } else if (at + length >= end) return undefined
    // The magic number may lie across the border.
    else at += length - magic.length + 1
  }
  return undefined
}

async function frameAt(
  read: ReadBytes,
  offset: number,
  end: number,
): Promise<ZstdFrame | undefined> {
  const bytes = await read(offset, Math.min(headerBytesMax, end - offset))
  const header = bytes && headerOf(asBuffer(bytes))
  if (header === undefined) return undefined
  let at = offset + header.length
  for (;;) {
    const block = at + blockHeaderBytes <= end ? await read(at, blockHeaderBytes) : undefined
    if (block === undefined) return undefined
    const word = asBuffer(block).readUIntLE(0, blockHeaderBytes)
    const [isLast, kind, size] = [(word & 1) === 1, (word >> 1) & 3, word >> 3]
    if (kind === 3 || size > blockBytesMax) return undefined
    // A run of one byte is stored as that byte.
    at += blockHeaderBytes + (kind === 1 ? 1 : size)
    if (isLast) break
  }
  at += header.hasChecksum ? checksumBytes : 0
  return at <= end ? { offset, storedBytes: at - offset, rawBytes: header.rawBytes } : undefined
}

interface FrameHeader {
  readonly length: number
  readonly rawBytes: number | undefined
  readonly hasChecksum: boolean
}

function headerOf(bytes: Buffer): FrameHeader | undefined {
  const descriptor = bytes[magic.length]
  if (descriptor === undefined || (descriptor & 0x08) !== 0) return undefined
  const isSingle = (descriptor & 0x20) !== 0
  const sizeFlag = descriptor >> 6
  const sizeBytes = sizeFlag === 0 ? Number(isSingle) : 1 << sizeFlag
  const sizeAt = magic.length + 1 + (isSingle ? 0 : 1) + (dictionaryIdBytes[descriptor & 3] ?? 0)
  const length = sizeAt + sizeBytes
  if (length > bytes.length) return undefined
  return {
    length,
    rawBytes: contentSize(bytes, sizeAt, sizeBytes),
    hasChecksum: (descriptor & 4) !== 0,
  }
}

function contentSize(bytes: Buffer, at: number, sizeBytes: number): number | undefined {
  switch (sizeBytes) {
    case 0:
      return undefined
    case 2:
      return bytes.readUInt16LE(at) + 256
    case 8:
      return Number(bytes.readBigUInt64LE(at))
    default:
      return bytes.readUIntLE(at, sizeBytes)
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
