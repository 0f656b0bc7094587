import { EntryType, FileMode, InitFlag, protocolMajor, protocolMinor, Size } from './constants.ts'

/** What the kernel shows of a file or a directory. */
export interface Attributes {
  /** What programs see as its number. */
  readonly inode: number
  readonly isDirectory: boolean
  /** `rwx` bits. */
  readonly permissions: number
  readonly sizeBytes: number
  /** Seconds since 1970. */
  readonly changedAt: number
  readonly uid: number
  readonly gid: number
}

/** Attributes, and how long the kernel may rely on them. */
export interface AttributesAnswer {
  readonly attributes: Attributes
  readonly attributesSeconds: number
}

/** What a name stands for, and how long the kernel may rely on it. */
export interface EntryAnswer extends AttributesAnswer {
  /** 0: nothing, which may be relied on, too. */
  readonly nodeId: number
  readonly entrySeconds: number
}

export interface DirectoryEntry {
  readonly name: Uint8Array
  readonly inode: number
  readonly isDirectory: boolean
  /** Where reading goes on behind it. */
  readonly nextOffset: number
}

export const blockBytes = 4096

/** The largest write, and what a read may ask for: 256 pages. */
export const transferBytesMax: number = 1024 * 1024
const pagesMax = 256
const backgroundMax = 64

/** What this program wants of what the kernel offers in `flags`. */
export function encodeInit(readAheadBytesMax: number, flags: number): Uint8Array {
  const wanted =
    InitFlag.asyncRead |
    InitFlag.atomicTruncate |
    InitFlag.bigWrites |
    InitFlag.autoInvalidateData |
    InitFlag.readdirplus |
    InitFlag.parallelDirectoryOperations |
    InitFlag.maxPages
  const bytes = Buffer.alloc(Size.initAnswer)
  bytes.writeUInt32LE(protocolMajor, 0)
  bytes.writeUInt32LE(protocolMinor, 4)
  bytes.writeUInt32LE(readAheadBytesMax, 8)
  bytes.writeUInt32LE((flags & wanted) >>> 0, 12)
  bytes.writeUInt16LE(backgroundMax, 16)
  bytes.writeUInt16LE((backgroundMax * 3) / 4, 18)
  bytes.writeUInt32LE(transferBytesMax, 20)
  bytes.writeUInt32LE(1, 24)
  bytes.writeUInt16LE(pagesMax, 28)
  return bytes
}

export function encodeEntry(entry: EntryAnswer): Uint8Array {
  const bytes = Buffer.alloc(Size.entry)
  writeEntry(bytes, 0, entry)
  return bytes
}

export function encodeAttributes({ attributes, attributesSeconds }: AttributesAnswer): Uint8Array {
  const bytes = Buffer.alloc(16 + Size.attributes)
  writeNumber(bytes, 0, attributesSeconds)
  writeAttributes(bytes, 16, attributes)
  return bytes
}

export function encodeOpen(handle: number, flags: number): Uint8Array {
  const bytes = Buffer.alloc(16)
  writeNumber(bytes, 0, handle)
  bytes.writeUInt32LE(flags, 8)
  return bytes
}

export function encodeWritten(sizeBytes: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(sizeBytes, 0)
  return bytes
}

/** How large names may be, and that there is room: how much, only the server knows. */
export function encodeStatistics(): Uint8Array {
  // Programs that first ask for room must not be turned away: as much as a file may have.
  const blocks = 2 ** 40 / blockBytes
  const bytes = Buffer.alloc(80)
  for (const offset of [0, 8, 16]) writeNumber(bytes, offset, blocks)
  for (const offset of [24, 32]) writeNumber(bytes, offset, 2 ** 32)
  bytes.writeUInt32LE(blockBytes, 40)
  bytes.writeUInt32LE(1024, 44)
  bytes.writeUInt32LE(blockBytes, 48)
  return bytes
}

/** The bytes of directory entries, as many as a request has room for. */
export class EntriesWriter {
  readonly #bytes: Buffer
  #size = 0

  constructor(sizeMax: number) {
    this.#bytes = Buffer.alloc(sizeMax)
  }

  /** False when there is no room for it. */
  hasRoom(entry: DirectoryEntry, isPlus: boolean): boolean {
    return this.#size + entrySize(entry, isPlus) <= this.#bytes.length
  }

  /** Appends an entry that there is room for; `answer` as a look-up would give it. */
  add(entry: DirectoryEntry, answer?: EntryAnswer): void {
    const size = entrySize(entry, answer !== undefined)
    let offset = this.#size
    if (answer !== undefined) {
      writeEntry(this.#bytes, offset, answer)
      offset += Size.entry
    }
    writeNumber(this.#bytes, offset, entry.inode)
    writeNumber(this.#bytes, offset + 8, entry.nextOffset)
    this.#bytes.writeUInt32LE(entry.name.length, offset + 16)
    const type = entry.isDirectory ? EntryType.directory : EntryType.file
    this.#bytes.writeUInt32LE(type, offset + 20)
    this.#bytes.set(entry.name, offset + Size.entryHead)
    this.#size += size
  }

  take(): Uint8Array {
    return this.#bytes.subarray(0, this.#size)
  }
}

function entrySize({ name }: DirectoryEntry, isPlus: boolean): number {
  const size = (isPlus ? Size.entry : 0) + Size.entryHead + name.length
  return Math.ceil(size / 8) * 8
}

function writeEntry(bytes: Buffer, offset: number, entry: EntryAnswer): void {
  writeNumber(bytes, offset, entry.nodeId)
  writeNumber(bytes, offset + 16, entry.entrySeconds)
  writeNumber(bytes, offset + 24, entry.attributesSeconds)
  writeAttributes(bytes, offset + 40, entry.attributes)
}

function writeAttributes(bytes: Buffer, offset: number, attributes: Attributes): void {
  const { inode, sizeBytes, changedAt, isDirectory, permissions, uid, gid } = attributes
  writeNumber(bytes, offset, inode)
  writeNumber(bytes, offset + 8, sizeBytes)
  writeNumber(bytes, offset + 16, Math.ceil(sizeBytes / 512))
  for (const place of [24, 32, 40]) writeNumber(bytes, offset + place, changedAt)
  const type = isDirectory ? FileMode.directory : FileMode.file
  bytes.writeUInt32LE(type | permissions, offset + 60)
  // One link says of a directory that its subdirectories are not counted.
  bytes.writeUInt32LE(1, offset + 64)
  bytes.writeUInt32LE(uid, offset + 68)
  bytes.writeUInt32LE(gid, offset + 72)
  bytes.writeUInt32LE(blockBytes, offset + 80)
}

function writeNumber(bytes: Buffer, offset: number, value: number): void {
  bytes.writeUInt32LE(value % 2 ** 32, offset)
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), offset + 4)
}
