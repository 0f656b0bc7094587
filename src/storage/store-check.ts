import type { CheckRun } from '../base/check-run.ts'
import { DataLossError } from '../base/errors.ts'
import type { FindingSubject } from '../base/findings.ts'
import type { Database } from '../database/database.ts'
import { ChunkBits } from './collecting/chunk-bits.ts'
import type { PackStore } from './chunk-store.ts'
import { ChunkLookup } from './checks/chunk-lookup.ts'
import { ContentCheck } from './checks/content-check.ts'
import { DamageLedger } from './checks/ledger.ts'
import { MapCheck, noTotals, type Totals } from './checks/map-check.ts'
import { checkStoredPacks, PackCheck } from './checks/pack-check.ts'
import { Tracer } from './checks/tracer.ts'
import { TreeCheck } from './checks/tree-check.ts'
import type { ChunkId } from './chunks.ts'
import type { Content } from './contents.ts'
import type { ObjectStore } from './object-store.ts'
import { isPackName } from './packs/format.ts'
import { listPacks } from './packs/stored-packs.ts'
import { decodeTreeEntry, type TreeRoot } from './tree-entries.ts'

/** Whose chunks they are, for what is told of them. */
export interface ChunkOwner {
  readonly subject: FindingSubject
  /** Such as `repo@commit`; a path follows it. */
  readonly name: string
}

/** What the values of a map are: names, and what makes no sense. */
export interface MapKind {
  /** Maps of one kind share what is known of their nodes. */
  readonly name: string
  /** True when values are encoded tree entries, whose contents are looked for, too. */
  readonly holdsEntries: boolean
  /** True when a directory among these stands on its own, however small: its root is a chunk. */
  readonly holdsRoots?: true
  /** @throws {DataLossError} for a key or value that makes no sense. */
  readonly checkEntry: (key: Uint8Array, value: Uint8Array) => void
}

/** Sizes and counts that a tree or a map really has. */
export interface TreeTotals {
  readonly sizeBytes: number
  readonly fileCount: number
}

/** What is done with everything that rows refer to: it is checked, or walked to known damage. */
export interface RootVisitor {
  /** Undefined when something of it cannot be read. */
  tree(root: TreeRoot, owner: ChunkOwner, fileCount: number): Promise<TreeTotals | undefined>
  content(content: Content, owner: ChunkOwner): Promise<void>
  /** The chunk's bytes; undefined when they cannot be read. */
  chunk(id: ChunkId, owner: ChunkOwner): Promise<Uint8Array | undefined>
  /** The count of its entries; undefined when something of it cannot be read. */
  map(root: ChunkId, kind: MapKind, owner: ChunkOwner): Promise<number | undefined>
}

/** Names what rows refer to. Called again to find out what known damage makes unreadable. */
export type RootWalk = (visitor: RootVisitor) => Promise<void>

export interface StoreCheckPorts {
  readonly objects: ObjectStore
  readonly database: Database
  readonly chunks: PackStore
  readonly run: CheckRun
}

/**
 * Checks packs, then everything that is reached from the rows' roots, then says what cannot be read
 * because of what was found. Memory: a few bits for each chunk, 50 MiB for what is known of nodes,
 * and 1,000 causes of damage.
 */
export class StoreCheck {
  readonly #ports: StoreCheckPorts
  readonly #ledger = new DamageLedger()

  constructor(ports: StoreCheckPorts) {
    this.#ports = ports
  }

  /** What is known is told, also when a row or a page of the metadata ends the walk. */
  async check(walk: RootWalk): Promise<void> {
    const { run, objects, chunks } = this.#ports
    const ledger = this.#ledger
    const packs = new PackCheck({ ...this.#ports, ledger })
    try {
      await packs.checkAll()
    } catch (error) {
      // The list cannot be read: the packs by themselves can.
      if (error instanceof DataLossError) await checkStoredPacks(objects, run)
      throw error
    }
    const lookup = new ChunkLookup({ objects, chunks, aside: packs.aside, ledger, run })
    const parts = { lookup, ledger, run }
    let isWalked = false
    try {
      await walk(new CheckingVisitor(parts))
      if (!ledger.isEmpty) {
        run.stage = 'affected files'
        await walk(new TracingVisitor(parts))
      }
      isWalked = true
      // Below what cannot be read may be references that nobody knows.
      if (!ledger.hidesSomething) await this.#countUnreferenced(lookup.referenced)
    } finally {
      if (!run.signal.aborted) await ledger.reportAll(run, isWalked && run.counts.errors === 0)
    }
  }

  /** Of packs that are there: what a lost one held is not garbage. */
  async #countUnreferenced(referenced: ChunkBits): Promise<void> {
    const { database, run } = this.#ports
    for await (const { pack } of listPacks(database)) {
      run.throwIfCancelled()
      if (this.#ledger.isLost(`pack ${pack.name}`) || !isPackName(pack.name)) continue
      const count = referenced.countOf(pack)
      run.counts.unreferencedChunks += Math.max(0, pack.chunkCount - count)
      if (count > 0) continue
      run.counts.unreferencedPacks += 1
      run.counts.unreferencedBytes += pack.sizeBytes
    }
  }
}

/** Checks what can be told of packs when the metadata are lost: each against itself. */
export async function checkPacksAlone(objects: ObjectStore, run: CheckRun): Promise<void> {
  await checkStoredPacks(objects, run)
}

interface VisitorParts {
  readonly lookup: ChunkLookup
  readonly ledger: DamageLedger
  readonly run: CheckRun
}

function whereOf({ subject, name }: ChunkOwner): {
  readonly subject: FindingSubject
  readonly owner: string
  readonly path: string
} {
  return { subject, owner: name, path: '' }
}

class CheckingVisitor implements RootVisitor {
  readonly #parts: VisitorParts
  readonly #contents: ContentCheck
  readonly #trees: TreeCheck
  readonly #maps = new Map<string, MapCheck>()

  constructor(parts: VisitorParts) {
    this.#parts = parts
    this.#contents = new ContentCheck(parts)
    this.#trees = new TreeCheck(parts, this.#contents)
  }

  async tree(root: TreeRoot, owner: ChunkOwner): Promise<TreeTotals | undefined> {
    return await this.#trees.check(root, whereOf(owner))
  }

  async content(content: Content, owner: ChunkOwner): Promise<void> {
    await this.#contents.check(content, whereOf(owner))
  }

  async chunk(id: ChunkId): Promise<Uint8Array | undefined> {
    const found = await this.#parts.lookup.find(id)
    return found === undefined ? undefined : await this.#parts.lookup.read(id, found)
  }

  async map(root: ChunkId, kind: MapKind, owner: ChunkOwner): Promise<number | undefined> {
    let check = this.#maps.get(kind.name)
    if (check === undefined) {
      check = new MapCheck(this.#parts, async (key, value, where): Promise<Totals | undefined> => {
        kind.checkEntry(key, value)
        if (!kind.holdsEntries) return noTotals
        return await this.#trees.checkEntry(value, where, kind.holdsRoots)
      })
      this.#maps.set(kind.name, check)
    }
    const summary = await check.checkMap(root, whereOf(owner))
    return summary?.isWhole === true ? summary.entryCount : undefined
  }
}

class TracingVisitor implements RootVisitor {
  readonly #parts: VisitorParts
  readonly #tracer: Tracer
  readonly #soundMaps = new Map<string, ChunkBits>()

  constructor(parts: VisitorParts) {
    this.#parts = parts
    this.#tracer = new Tracer(parts)
  }

  async tree(root: TreeRoot, owner: ChunkOwner, fileCount: number): Promise<undefined> {
    await this.#tracer.directory(root, whereOf(owner), Math.max(1, fileCount))
    return undefined
  }

  async content(content: Content, owner: ChunkOwner): Promise<void> {
    await this.#tracer.content(content, whereOf(owner))
  }

  async chunk(id: ChunkId, owner: ChunkOwner): Promise<Uint8Array | undefined> {
    if (!(await this.#tracer.chunk(id, whereOf(owner)))) return undefined
    const found = await this.#parts.lookup.find(id)
    return found === undefined ? undefined : await this.#parts.lookup.read(id, found)
  }

  async map(root: ChunkId, kind: MapKind, owner: ChunkOwner): Promise<undefined> {
    const sound = this.#soundMaps.get(kind.name) ?? new ChunkBits()
    this.#soundMaps.set(kind.name, sound)
    const where = whereOf(owner)
    await this.#tracer.map(root, where, 1, sound, async (_key, value) => {
      return kind.holdsEntries ? await this.#tracer.entry(decodeTreeEntry(value), where) : true
    })
    return undefined
  }
}
