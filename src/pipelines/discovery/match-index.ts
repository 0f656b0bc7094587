import { inBatches } from '../../base/batched.ts'
import { compareBytes, concatBytes, utf8, utf8Text } from '../../base/bytes.ts'
import { DataLossError } from '../../base/errors.ts'
import type { RepoName } from '../../base/names.ts'
import { pathKey, pathOfKey, rootPath, type FilePath } from '../../base/paths.ts'
import type { FileTrees, PathDifference, TreeEdit, TreeEntry } from '../../storage/file-trees.ts'
import type { KeyRange, MapEdit, MapRoot, ProllyMaps } from '../../storage/prolly-map.ts'
import { decodeTreeEntry, encodeTreeEntry } from '../../storage/tree-entries.ts'
import type { AtomInput, GroupInput, Input, JoinInput } from '../inputs.ts'
import type { TreeChange } from './matches.ts'
import { parseMatchKeys } from './match-keys.ts'

/** Paths that are put into an index at a time; bounds the memory of building one. */
const batchPathCountMax = 20_000

const shortBytes = 2

/** What the index has at a place: a file or directory that matches, or those of a group in a tree. */
export interface IndexEntry {
  /** Of the join or group among those of the input, from 0. */
  readonly node: number
  readonly matchKey: string
  /** Of the member among those of the join or group, from 0. */
  readonly member: number
  /** Empty in a group. */
  readonly path: FilePath
  readonly entry: TreeEntry
}

export type IndexPlace = Omit<IndexEntry, 'entry'>

/** The joins and groups of an input, each before those below it; their index is their number. */
export function matchingInputs(input: Input): readonly (JoinInput | GroupInput)[] {
  switch (input.kind) {
    case 'atom':
      return []
    case 'join':
    case 'group':
      return [input]
    default:
      return input.members.flatMap(matchingInputs)
  }
}

/**
 * Keys of the index: join or group (16 bits), match key, 00, member (16 bits), path as in file
 * trees. So what has one match key stands together, whatever branch it is from. Layout:
 * `docs/formats/datums.md`.
 */
export function indexKey({ node, matchKey, member, path }: IndexPlace): Uint8Array {
  return concatBytes([keyStart(node, matchKey), short(member), pathKey(path)])
}

function keyStart(node: number, matchKey: string): Uint8Array {
  return concatBytes([short(node), utf8(matchKey), Uint8Array.of(0)])
}

/** The keys of a join or group; with `matchKey`, those of it; with `member`, of that member only. */
export function indexRange(place: {
  readonly node: number
  readonly matchKey?: string
  readonly member?: number
}): KeyRange {
  const { node, matchKey, member } = place
  if (matchKey === undefined) return { from: short(node), to: short(node + 1) }
  const start = keyStart(node, matchKey)
  if (member === undefined) return { from: start, to: start.with(start.length - 1, 1) }
  return {
    from: concatBytes([start, short(member)]),
    to: concatBytes([start, short(member + 1)]),
  }
}

/** @throws {DataLossError} */
export function parseIndexKey(key: Uint8Array): IndexPlace {
  const end = key.indexOf(0, shortBytes)
  if (end === -1 || end + 1 + shortBytes > key.length) {
    throw new DataLossError("a key of a job's matches is cut short")
  }
  return {
    node: shortAt(key, 0),
    matchKey: utf8Text(key.subarray(shortBytes, end)),
    member: shortAt(key, end + 1),
    path: pathOfKey(key.subarray(end + 1 + shortBytes)),
  }
}

function short(number: number): Uint8Array {
  return Uint8Array.of(number >> 8, number & 0xff)
}

function shortAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0)
}

/** Keeps, for the joins and groups of an input, what has which match key. */
export class MatchIndexes {
  readonly #maps: ProllyMaps
  readonly #trees: FileTrees

  constructor(ports: { readonly maps: ProllyMaps; readonly trees: FileTrees }) {
    this.#maps = ports.maps
    this.#trees = ports.trees
  }

  /**
   * The index after a change of the input's trees, from the one before it; undefined for an input
   * without joins and groups. Cost: the paths that changed.
   */
  async update(
    before: MapRoot | undefined,
    input: Input,
    changeOf: (repo: RepoName) => TreeChange,
  ): Promise<MapRoot | undefined> {
    const nodes = matchingInputs(input)
    if (nodes.length === 0) return undefined
    let root = before ?? (await this.#maps.empty())
    for (const [node, { kind, members }] of nodes.entries()) {
      for (const [member, atom] of members.entries()) {
        const change = changeOf(atom.repo)
        const place = { node, member, atom }
        root =
          kind === 'join'
            ? await this.#updateJoin(root, place, change)
            : await this.#updateGroup(root, place, change)
      }
    }
    return root
  }

  async #updateJoin(root: MapRoot, place: Member, change: TreeChange): Promise<MapRoot> {
    let edited = root
    for await (const batch of inBatches(this.#changes(place.atom, change), batchPathCountMax)) {
      const edits = batch.map(({ matchKey, path, after }): MapEdit => {
        const value = after === undefined ? undefined : encodeTreeEntry(after)
        return { key: indexKey({ ...place, matchKey, path }), value }
      })
      edited = await this.#maps.edit(edited, sorted(edits))
    }
    return edited
  }

  async #updateGroup(root: MapRoot, place: Member, change: TreeChange): Promise<MapRoot> {
    let edited = root
    for await (const batch of inBatches(this.#changes(place.atom, change), batchPathCountMax)) {
      const edits: MapEdit[] = []
      for (const [matchKey, changes] of Map.groupBy(batch, (one) => one.matchKey)) {
        const key = indexKey({ ...place, matchKey, path: rootPath })
        edits.push({ key, value: await this.#editedGroup(edited, key, changes) })
      }
      edited = await this.#maps.edit(edited, sorted(edits))
    }
    return edited
  }

  /** The group's tree with the changes, which are in tree order; undefined when nothing is left. */
  async #editedGroup(
    root: MapRoot,
    key: Uint8Array,
    changes: readonly PathDifference[],
  ): Promise<Uint8Array | undefined> {
    const empty = await this.#trees.emptyRoot()
    const value = await this.#maps.get(root, key)
    const before = value === undefined ? empty : decodeTreeEntry(value)
    if (before.kind === 'file') throw new DataLossError('a group of files is a file')
    // What changes its kind is taken away first.
    const edits = changes.flatMap(({ path, after }): readonly TreeEdit[] =>
      after === undefined
        ? [{ path, entry: undefined }]
        : [
            { path, entry: undefined },
            { path, entry: after },
          ],
    )
    const after = await this.#trees.edit(before, edits, { emptied: 'remove' })
    return after.root === empty.root ? undefined : encodeTreeEntry(after)
  }

  async *#changes(atom: AtomInput, { before, after }: TreeChange): AsyncGenerator<KeyedDifference> {
    const keys = parseMatchKeys(atom.glob, atom.matchOn ?? '')
    for await (const difference of this.#trees.globDiff(before, after, keys.glob)) {
      yield { ...difference, matchKey: keys.keyOf(difference.path) }
    }
  }
}

interface Member {
  readonly node: number
  readonly member: number
  readonly atom: AtomInput
}

interface KeyedDifference extends PathDifference {
  readonly matchKey: string
}

function sorted(edits: readonly MapEdit[]): readonly MapEdit[] {
  return edits.toSorted((left, right) => compareBytes(left.key, right.key))
}
