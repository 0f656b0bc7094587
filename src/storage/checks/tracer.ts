import { DataLossError } from '../../base/errors.ts'
import { ChunkBits } from '../collecting/chunk-bits.ts'
import type { ChunkId } from '../chunks.ts'
import type { Content } from '../contents.ts'
import type { LocatedChunk } from '../packs/sealed-packs.ts'
import { Node } from '../prolly/node.ts'
import { decodeTreeEntry, type TreeEntry } from '../tree-entries.ts'
import { nameOfKey } from '../trees/directories.ts'
import type { CauseKey } from './ledger.ts'
import { ListCauses } from './list-causes.ts'
import { type MapCheckPorts, type Where, whereText } from './map-check.ts'

/**
 * Walks from what exists to the damage that is known, to say by name what cannot be read. What leads
 * to no damage is walked once, whoever shares it.
 */
export class Tracer {
  readonly #ports: MapCheckPorts
  readonly #sound = new ChunkBits()
  readonly #lists: ListCauses

  constructor(ports: MapCheckPorts) {
    this.#ports = ports
    this.#lists = new ListCauses(ports)
  }

  /** True when nothing below is damaged; `fileCount` is what stands and falls with the root. */
  async directory(root: ChunkId, where: Where, fileCount: number): Promise<boolean> {
    return await this.map(root, where, fileCount, this.#sound, async (key, value) => {
      const below = { ...where, path: `${where.path}/${nameOfKey(key)}` }
      return await this.entry(decodeTreeEntry(value), below)
    })
  }

  async entry(entry: TreeEntry, where: Where): Promise<boolean> {
    if (entry.kind === 'file') return await this.content(entry.content, where)
    if (entry.inlineNode === undefined) {
      return await this.directory(entry.root, where, Math.max(1, entry.fileCount))
    }
    let isSound = true
    const node = new Node(entry.inlineNode)
    for (let index = 0; index < node.count; index += 1) {
      const path = `${where.path}/${nameOfKey(node.keyAt(index))}`
      const below = decodeTreeEntry(node.valueAt(index))
      isSound = (await this.entry(below, { ...where, path })) && isSound
    }
    return isSound
  }

  async content(content: Content, where: Where): Promise<boolean> {
    if (content.kind === 'inline') return true
    if (content.kind === 'chunk') return await this.chunk(content.chunk, where)
    return this.#note(await this.#lists.of(content.root), where, 1)
  }

  async chunk(id: ChunkId, where: Where, count = 1): Promise<boolean> {
    const { causes } = await this.#ports.lookup.trace(id)
    return this.#note(causes, where, count)
  }

  /** The nodes of a map, and what its values refer to. */
  async map(
    id: ChunkId,
    where: Where,
    count: number,
    sound: ChunkBits,
    value: (key: Uint8Array, value: Uint8Array) => Promise<boolean>,
  ): Promise<boolean> {
    this.#ports.run.throwIfCancelled()
    const { lookup } = this.#ports
    const { causes, chunk } = await lookup.trace(id)
    let isSound = this.#note(causes, where, count)
    if (chunk === undefined) return isSound
    if (isSound && sound.has(chunk.pack, chunk.index)) return true
    const node = await this.#read(id, chunk)
    if (node === undefined) return isSound
    for (let index = 0; index < node.count; index += 1) {
      const below =
        node.level === 0
          ? await this.#valueIsSound(() => value(node.keyAt(index), node.valueAt(index)))
          : await this.map(node.childIdAt(index), where, node.entryCountAt(index), sound, value)
      isSound = below && isSound
    }
    if (isSound) sound.add(chunk.pack, chunk.index)
    return isSound
  }

  /** What makes no sense has been told when it was checked. */
  async #valueIsSound(walk: () => Promise<boolean>): Promise<boolean> {
    try {
      return await walk()
    } catch (error) {
      if (error instanceof DataLossError) return false
      throw error
    }
  }

  async #read(id: ChunkId, found: LocatedChunk): Promise<Node | undefined> {
    const bytes = await this.#ports.lookup.read(id, found)
    try {
      return bytes === undefined ? undefined : new Node(bytes)
    } catch (error) {
      if (error instanceof DataLossError) return undefined
      throw error
    }
  }

  /** True when there are none. */
  #note(causes: Iterable<CauseKey>, where: Where, count: number): boolean {
    let isSound = true
    for (const cause of causes) {
      isSound = false
      this.#ports.ledger.note(cause, whereText(where), count)
    }
    return isSound
  }
}
