import { constants } from 'node:fs'
import { copyFile, type FileHandle, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DiskFullError } from '../../base/errors.ts'
import { syncFile } from './store.ts'

// The layout of a write-ahead log: https://sqlite.org/fileformat2.html#the_write_ahead_log
const headerBytes = 32
const frameHeaderBytes = 24
const magicLittle = 0x377f0682
const magicBig = 0x377f0683
const formatVersion = 3_007_000
/** Frames that are read at once: 1 MiB of usual pages. */
const framesAtOnce = 256

interface LogHeader {
  readonly frameBytes: number
  readonly isBig: boolean
  readonly salts: Buffer
  readonly sums: Sums
}

type Sums = readonly [first: number, second: number]

/**
 * SQLite takes of a log what is before the first frame that makes no sense, and then deletes it all.
 * Keeps a copy beside it when frames of the same log come after that: they may be commits.
 *
 * @returns the path of the copy, if one was needed.
 */
export async function keepDamagedLog(databasePath: string): Promise<string | undefined> {
  const path = `${databasePath}-wal`
  const known = await stat(path).catch(() => undefined)
  if (known === undefined || known.size <= headerBytes || (await isReadable(path))) return undefined
  // By its own time, so that starting again and again makes one copy.
  const time = new Date(known.mtimeMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')
  const copy = `${path}.damaged-${time}`
  try {
    await copyFile(path, copy, constants.COPYFILE_FICLONE)
    await syncFile(copy)
    await syncFile(dirname(path))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
    throw new DiskFullError(dirname(path), { cause: error })
  }
  return copy
}

/** Whether nothing of this log comes after what SQLite takes of it. */
async function isReadable(path: string): Promise<boolean> {
  await using file = await open(path, 'r')
  const header = decodeHeader(await read(file, 0, headerBytes))
  if (header === undefined) return false
  let { sums } = header
  let isChained = true
  for (let at = headerBytes; ; at += framesAtOnce * header.frameBytes) {
    const bytes = await read(file, at, framesAtOnce * header.frameBytes)
    for (let start = 0; start + header.frameBytes <= bytes.length; start += header.frameBytes) {
      const frame = bytes.subarray(start, start + header.frameBytes)
      const isOurs = frame.subarray(8, 16).equals(header.salts)
      sums = isChained ? frameSums(frame, header.isBig, sums) : sums
      isChained &&= isOurs && equal(sums, sumsAt(frame, 16))
      // What an earlier log has left behind has other salts.
      if (!isChained && isOurs) return false
    }
    if (bytes.length < framesAtOnce * header.frameBytes) return true
  }
}

function decodeHeader(bytes: Buffer): LogHeader | undefined {
  if (bytes.length < headerBytes) return undefined
  const magic = bytes.readUInt32BE(0)
  const pageBytes = bytes.readUInt32BE(8)
  const isSound =
    (magic === magicLittle || magic === magicBig) &&
    bytes.readUInt32BE(4) === formatVersion &&
    pageBytes >= 512 &&
    pageBytes <= 65_536 &&
    pageBytes % 8 === 0
  if (!isSound) return undefined
  const isBig = magic === magicBig
  const sums = addSums(bytes.subarray(0, 24), isBig, [0, 0])
  if (!equal(sums, sumsAt(bytes, 24))) return undefined
  return { frameBytes: frameHeaderBytes + pageBytes, isBig, salts: bytes.subarray(16, 24), sums }
}

function frameSums(frame: Buffer, isBig: boolean, before: Sums): Sums {
  const sums = addSums(frame.subarray(0, 8), isBig, before)
  return addSums(frame.subarray(frameHeaderBytes), isBig, sums)
}

/** SQLite's checksum, carried on; the length is a multiple of 8. */
function addSums(bytes: Buffer, isBig: boolean, before: Sums): Sums {
  let [first, second] = before
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < bytes.length; at += 8) {
    first = (first + view.getUint32(at, !isBig) + second) >>> 0
    second = (second + view.getUint32(at + 4, !isBig) + first) >>> 0
  }
  return [first, second]
}

function sumsAt(bytes: Buffer, at: number): Sums {
  return [bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)]
}

function equal(left: Sums, right: Sums): boolean {
  return left[0] === right[0] && left[1] === right[1]
}

/** As many of the bytes as there are. */
async function read(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}
