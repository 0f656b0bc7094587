import { concatBytes } from '../../base/bytes.ts'
import { unreachable } from '../../base/errors.ts'
import { type FilePath, pathKey, pathOfKey } from '../../base/paths.ts'
import type { Content } from '../../storage/contents.ts'
import type { TreeEntry } from '../../storage/file-trees.ts'
import { decodeTreeEntry, encodeTreeEntry } from '../../storage/tree-entries.ts'
import { type Run, decodeRuns, encodeRuns } from './runs.ts'
import { StagedBytesReader, StagedBytesWriter, damaged } from './staged-bytes.ts'

/** Contents up to this size ride in the row; larger ones go to the chunk store first. */
export const rowBytesMax: number = 64 * 1024

/** One acknowledged write to an open commit. */
export type StagedWrite =
  | {
      readonly kind: 'put'
      readonly path: FilePath
      readonly overwrite: boolean
      readonly value: StagedValue
    }
  | { readonly kind: 'delete'; readonly path: FilePath }
  | BatchWrite

/** A write that is applied on its own, not gathered with its neighbours. */
export type BatchWrite = RunsWrite | Placement

/** Many files, or the pieces of many splits: sorted runs of records. */
export interface RunsWrite {
  readonly kind: 'bulk' | 'splits'
  readonly runs: readonly Run[]
}

/** Puts a file or a whole directory at a path, by reference. */
export type Placement =
  /** An entry of any commit. Of a directory, the root node is a stored chunk. */
  | {
      readonly kind: 'graft'
      readonly path: FilePath
      readonly overwrite: boolean
      readonly entry: TreeEntry
    }
  /** What the commit itself has at `from` when the turn of this write comes; it then is there no more. */
  | {
      readonly kind: 'move'
      readonly path: FilePath
      readonly overwrite: boolean
      readonly from: FilePath
    }

/** What a put holds: bytes that are nowhere else yet, or a content that is stored. */
export type StagedValue =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'content'; readonly content: Content }

/** A staged write as the columns of its row. Layout: `docs/formats/staged-writes.md`. */
export type StagedColumns = {
  readonly kind: number
  readonly path_key: Uint8Array
  readonly payload: Uint8Array
}

const appendKind = 1
const overwriteKind = 2
const deleteKind = 3
const bulkKind = 4
const graftKind = 5
const moveKind = 6
const splitsKind = 7

const placementVersion = 1

const bytesTag = 0
const contentTag = 1

const nothing = new Uint8Array(0)

export function encodeStaged(write: StagedWrite): StagedColumns {
  switch (write.kind) {
    case 'put':
      return {
        kind: write.overwrite ? overwriteKind : appendKind,
        path_key: pathKey(write.path),
        payload: encodeValue(write.value),
      }
    case 'delete':
      return { kind: deleteKind, path_key: pathKey(write.path), payload: nothing }
    case 'bulk':
      return { kind: bulkKind, path_key: nothing, payload: encodeRuns(write.runs) }
    case 'splits':
      return { kind: splitsKind, path_key: nothing, payload: encodeRuns(write.runs) }
    case 'graft':
      return {
        kind: graftKind,
        path_key: pathKey(write.path),
        payload: encodePlacement(write.overwrite, encodeTreeEntry(write.entry)),
      }
    case 'move':
      return {
        kind: moveKind,
        path_key: pathKey(write.path),
        payload: encodePlacement(write.overwrite, pathKey(write.from)),
      }
    default:
      return unreachable(write)
  }
}

/** @throws {DataLossError} for columns that `encodeStaged` cannot have made. */
export function decodeStaged(columns: StagedColumns): StagedWrite {
  switch (columns.kind) {
    case appendKind:
    case overwriteKind:
      return {
        kind: 'put',
        path: pathOfKey(columns.path_key),
        overwrite: columns.kind === overwriteKind,
        value: decodeValue(columns.payload),
      }
    case deleteKind:
      return { kind: 'delete', path: pathOfKey(columns.path_key) }
    case bulkKind:
      return { kind: 'bulk', runs: decodeRuns(columns.payload) }
    case splitsKind:
      return { kind: 'splits', runs: decodeRuns(columns.payload) }
    case graftKind: {
      const { overwrite, rest } = decodePlacement(columns.payload)
      const path = pathOfKey(columns.path_key)
      // A copy: views would keep the whole row alive for a few bytes of it.
      return { kind: 'graft', path, overwrite, entry: decodeTreeEntry(rest.slice()) }
    }
    case moveKind: {
      const { overwrite, rest } = decodePlacement(columns.payload)
      return { kind: 'move', path: pathOfKey(columns.path_key), overwrite, from: pathOfKey(rest) }
    }
    default:
      throw damaged(`kind ${columns.kind} is unknown`)
  }
}

function encodePlacement(overwrite: boolean, rest: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(placementVersion, overwrite ? 1 : 0), rest])
}

function decodePlacement(payload: Uint8Array): {
  readonly overwrite: boolean
  readonly rest: Uint8Array
} {
  const [version, overwrite] = payload
  if (version !== placementVersion) throw damaged(`placement version ${version} is unknown`)
  if (overwrite !== 0 && overwrite !== 1) throw damaged(`overwrite flag ${overwrite} is unknown`)
  return { overwrite: overwrite === 1, rest: payload.subarray(2) }
}

function encodeValue(value: StagedValue): Uint8Array {
  if (value.kind === 'bytes') return concatBytes([Uint8Array.of(bytesTag), value.bytes])
  const writer = new StagedBytesWriter()
  writer.byte(contentTag)
  writer.content(value.content)
  return writer.take()
}

function decodeValue(payload: Uint8Array): StagedValue {
  const tag = payload[0]
  if (tag === bytesTag) return { kind: 'bytes', bytes: payload.subarray(1) }
  if (tag !== contentTag) throw damaged(`value tag ${tag} is unknown`)
  return { kind: 'content', content: new StagedBytesReader(payload.subarray(1)).content() }
}
