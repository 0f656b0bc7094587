import type { CheckRun } from '../../base/check-run.ts'
import { DataLossError } from '../../base/errors.ts'
import { ChunkBits } from '../collecting/chunk-bits.ts'
import { decodeNode } from '../chunk-lists/node.ts'
import type { ChunkId } from '../chunks.ts'
import type { ChunkLookup } from './chunk-lookup.ts'
import type { CauseKey } from './ledger.ts'

export interface ListCausesPorts {
  readonly lookup: ChunkLookup
  readonly run: CheckRun
}

/** Damaged lists of which it is remembered what damages them. */
const rememberedMax = 1000

const none: ReadonlySet<CauseKey> = new Set()

/** Everything that keeps chunk lists from being read: a file may have lost parts in several packs. */
export class ListCauses {
  readonly #ports: ListCausesPorts
  readonly #sound = new ChunkBits()
  /** Files that many commits share are walked once. */
  readonly #known = new Map<ChunkId, ReadonlySet<CauseKey>>()

  constructor(ports: ListCausesPorts) {
    this.#ports = ports
  }

  /** Every cause of damage below the node `id`, and of its own; each once. */
  async of(id: ChunkId): Promise<ReadonlySet<CauseKey>> {
    this.#ports.run.throwIfCancelled()
    const { causes: own, chunk } = await this.#ports.lookup.trace(id)
    if (chunk === undefined) return new Set(own)
    if (own.length === 0 && this.#sound.has(chunk.pack, chunk.index)) return none
    const known = this.#known.get(id)
    if (known !== undefined) return known
    const bytes = await this.#ports.lookup.read(id, chunk)
    const causes = new Set(own)
    if (bytes !== undefined) await this.#addBelow(id, bytes, causes)
    if (causes.size === 0) this.#sound.add(chunk.pack, chunk.index)
    else if (this.#known.size < rememberedMax) this.#known.set(id, causes)
    return causes
  }

  async #addBelow(id: ChunkId, bytes: Uint8Array, causes: Set<CauseKey>): Promise<void> {
    try {
      const { level, entries } = decodeNode(id, bytes)
      for (const entry of entries) {
        const below =
          level === 0 ? (await this.#ports.lookup.trace(entry.id)).causes : await this.of(entry.id)
        for (const cause of below) causes.add(cause)
      }
    } catch (error) {
      // What makes no sense has been told when it was checked.
      if (!(error instanceof DataLossError)) throw error
    }
  }
}
