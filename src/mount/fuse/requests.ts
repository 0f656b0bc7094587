import { AccessMode, AttributeFlag, Opcode, RenameFlag, Size } from './constants.ts'

/** What every request says. */
export interface RequestHeader {
  readonly opcode: number
  /** Names the request in its answer. */
  readonly unique: number
  readonly nodeId: number
}

/** One name in a directory; undefined when it is not UTF-8, as no name here can be. */
export type EntryName = string | undefined

/** A request of the kernel, without what this program has no use for. */
export type RequestBody =
  | {
      readonly kind: 'init'
      readonly major: number
      readonly minor: number
      readonly readAheadBytesMax: number
      readonly flags: number
    }
  | { readonly kind: 'lookup'; readonly name: EntryName }
  | { readonly kind: 'forget'; readonly forgets: readonly Forget[] }
  | { readonly kind: 'getattr' }
  | { readonly kind: 'setattr'; readonly change: AttributeChange }
  | { readonly kind: 'make-directory'; readonly name: EntryName }
  | { readonly kind: 'unlink'; readonly name: EntryName }
  | { readonly kind: 'remove-directory'; readonly name: EntryName }
  | {
      readonly kind: 'rename'
      readonly name: EntryName
      readonly newParentId: number
      readonly newName: EntryName
      readonly replaces: boolean
      /** Flags that are not understood: the request must be refused. */
      readonly otherFlags: number
    }
  | { readonly kind: 'open'; readonly access: Access }
  | { readonly kind: 'create'; readonly name: EntryName; readonly access: Access }
  | { readonly kind: 'read'; readonly handle: number; readonly range: Range }
  | {
      readonly kind: 'write'
      readonly handle: number
      readonly offset: number
      /** A copy. */
      readonly bytes: Uint8Array
    }
  | { readonly kind: 'flush'; readonly handle: number }
  | { readonly kind: 'release'; readonly handle: number }
  | { readonly kind: 'open-directory' }
  | {
      readonly kind: 'read-directory'
      readonly handle: number
      readonly range: Range
      /** Each entry with what a look-up of it would answer. */
      readonly isPlus: boolean
    }
  | { readonly kind: 'release-directory'; readonly handle: number }
  | { readonly kind: 'statistics' }
  | { readonly kind: 'interrupt'; readonly interrupted: number }
  | { readonly kind: 'destroy' }
  | { readonly kind: 'unknown' }

export type Request = RequestHeader & RequestBody

export interface Forget {
  readonly nodeId: number
  readonly count: number
}

export interface Range {
  readonly offset: number
  readonly size: number
}

export interface Access {
  readonly reads: boolean
  readonly writes: boolean
  readonly truncates: boolean
}

/** Undefined: stays as it is. Times are left out. */
export interface AttributeChange {
  readonly mode: number | undefined
  readonly uid: number | undefined
  readonly gid: number | undefined
  readonly size: number | undefined
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads one request. Nothing of it is a view of `bytes`, which may be used again.
 *
 * @throws {RangeError} when it is shorter than its opcode says.
 */
export function decodeRequest(bytes: Buffer): Request {
  const header = {
    opcode: bytes.readUInt32LE(4),
    unique: readNumber(bytes, 8),
    nodeId: readNumber(bytes, 16),
  }
  return { ...header, ...decodeBody(header, bytes.subarray(Size.inHeader)) }
}

function decodeBody({ opcode, nodeId }: RequestHeader, body: Buffer): RequestBody {
  switch (opcode) {
    case Opcode.init:
      return {
        kind: 'init',
        major: body.readUInt32LE(0),
        minor: body.readUInt32LE(4),
        readAheadBytesMax: body.readUInt32LE(8),
        flags: body.readUInt32LE(12),
      }
    case Opcode.forget:
      return { kind: 'forget', forgets: [{ nodeId, count: readNumber(body, 0) }] }
    case Opcode.batchForget:
      return { kind: 'forget', forgets: decodeForgets(body) }
    case Opcode.interrupt:
      return { kind: 'interrupt', interrupted: readNumber(body, 0) }
    case Opcode.destroy:
      return { kind: 'destroy' }
    case Opcode.statfs:
      return { kind: 'statistics' }
    case Opcode.opendir:
      return { kind: 'open-directory' }
    case Opcode.readdir:
    case Opcode.readdirplus:
      return {
        kind: 'read-directory',
        handle: readNumber(body, 0),
        range: readRange(body),
        isPlus: opcode === Opcode.readdirplus,
      }
    case Opcode.releasedir:
      return { kind: 'release-directory', handle: readNumber(body, 0) }
    default:
      return decodeFileBody(opcode, body) ?? decodeNameBody(opcode, body) ?? { kind: 'unknown' }
  }
}

/** Requests about one file. */
function decodeFileBody(opcode: number, body: Buffer): RequestBody | undefined {
  switch (opcode) {
    case Opcode.getattr:
      return { kind: 'getattr' }
    case Opcode.setattr:
      return { kind: 'setattr', change: decodeChange(body) }
    case Opcode.open:
      return { kind: 'open', access: decodeAccess(body.readUInt32LE(0)) }
    case Opcode.read:
      return { kind: 'read', handle: readNumber(body, 0), range: readRange(body) }
    case Opcode.write: {
      const size = body.readUInt32LE(16)
      if (body.length < Size.writeRequest + size) throw new RangeError('a write without its bytes')
      return {
        kind: 'write',
        handle: readNumber(body, 0),
        offset: readNumber(body, 8),
        bytes: Uint8Array.from(body.subarray(Size.writeRequest, Size.writeRequest + size)),
      }
    }
    case Opcode.flush:
    case Opcode.fsync:
      return { kind: 'flush', handle: readNumber(body, 0) }
    case Opcode.release:
      return { kind: 'release', handle: readNumber(body, 0) }
    default:
      return undefined
  }
}

/** Requests about names in a directory. */
function decodeNameBody(opcode: number, body: Buffer): RequestBody | undefined {
  switch (opcode) {
    case Opcode.lookup:
      return { kind: 'lookup', name: readNames(body, 0)[0] }
    case Opcode.mkdir:
      return { kind: 'make-directory', name: readNames(body, 8)[0] }
    case Opcode.create:
      return {
        kind: 'create',
        access: decodeAccess(body.readUInt32LE(0)),
        name: readNames(body, 16)[0],
      }
    case Opcode.unlink:
      return { kind: 'unlink', name: readNames(body, 0)[0] }
    case Opcode.rmdir:
      return { kind: 'remove-directory', name: readNames(body, 0)[0] }
    case Opcode.rename:
    case Opcode.rename2: {
      const flags = opcode === Opcode.rename2 ? body.readUInt32LE(8) : 0
      const [name, newName] = readNames(body, opcode === Opcode.rename2 ? 16 : 8)
      return {
        kind: 'rename',
        name,
        newParentId: readNumber(body, 0),
        newName,
        replaces: (flags & RenameFlag.noReplace) === 0,
        otherFlags: flags & ~RenameFlag.noReplace,
      }
    }
    default:
      return undefined
  }
}

function decodeForgets(body: Buffer): readonly Forget[] {
  const count = body.readUInt32LE(0)
  return Array.from({ length: count }, (_, index) => ({
    nodeId: readNumber(body, 8 + index * 16),
    count: readNumber(body, 16 + index * 16),
  }))
}

function decodeAccess(flags: number): Access {
  const mode = flags & AccessMode.mask
  return {
    reads: mode !== 1,
    writes: mode !== AccessMode.read,
    truncates: (flags & AccessMode.truncate) !== 0,
  }
}

function decodeChange(body: Buffer): AttributeChange {
  const valid = body.readUInt32LE(0)
  const ifValid = (flag: number, value: number): number | undefined =>
    (valid & flag) === 0 ? undefined : value
  return {
    size: ifValid(AttributeFlag.size, readNumber(body, 16)),
    mode: ifValid(AttributeFlag.mode, body.readUInt32LE(68)),
    uid: ifValid(AttributeFlag.uid, body.readUInt32LE(76)),
    gid: ifValid(AttributeFlag.gid, body.readUInt32LE(80)),
  }
}

/** READ and READDIR: the handle goes before. */
function readRange(body: Buffer): Range {
  return { offset: readNumber(body, 8), size: body.readUInt32LE(16) }
}

/** The kernel's ids and offsets are below 2^53, as they are counted up, or come from here. */
function readNumber(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset) + bytes.readUInt32LE(offset + 4) * 2 ** 32
}

/** Names that each end with NUL. */
function readNames(body: Buffer, offset: number): readonly EntryName[] {
  const names: EntryName[] = []
  let start = offset
  while (start < body.length) {
    const end = body.indexOf(0, start)
    if (end === -1) throw new RangeError('a name without its end')
    names.push(readName(body.subarray(start, end)))
    start = end + 1
  }
  return names
}

function readName(bytes: Uint8Array): EntryName {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}
