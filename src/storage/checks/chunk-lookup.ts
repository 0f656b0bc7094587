import type { CheckRun } from '../../base/check-run.ts'
import { DataLossError, NotFoundError } from '../../base/errors.ts'
import { ChunkBits } from '../collecting/chunk-bits.ts'
import type { PackStore } from '../chunk-store.ts'
import type { ChunkId } from '../chunks.ts'
import type { ObjectStore } from '../object-store.ts'
import { checkedChunk } from '../packs/checked-chunk.ts'
import type { LocatedChunk, SealedPack, SealedPacks } from '../packs/sealed-packs.ts'
import { storageFinding } from '../storage-findings.ts'
import { damagedCopy } from './damaged-copy.ts'
import type { CauseKey, DamageLedger } from './ledger.ts'

export interface LookupPorts {
  readonly objects: ObjectStore
  readonly chunks: PackStore
  /** Packs whose rows are wrong or missing. */
  readonly aside: SealedPacks
  readonly ledger: DamageLedger
  readonly run: CheckRun
}

/** What is known of a chunk when it is looked for again. */
export interface Traced {
  /** Why it cannot be read, or its pack is not found by others; none: nothing is known against it. */
  readonly causes: readonly CauseKey[]
  /** Where it can be read; undefined also when it is gone meanwhile. */
  readonly chunk: LocatedChunk | undefined
}

type Located =
  | { readonly kind: 'found'; readonly chunk: LocatedChunk; readonly isAside: boolean }
  | { readonly kind: 'absent'; readonly candidates: readonly SealedPack[] }

const chunkIdPattern = /^[0-9a-f]{64}$/

/** Finds and reads chunks for a check; what is missing or damaged goes to the ledger. */
export class ChunkLookup {
  readonly #ports: LookupPorts
  /** What something refers to. */
  readonly referenced: ChunkBits = new ChunkBits()

  constructor(ports: LookupPorts) {
    this.#ports = ports
  }

  /** Where the chunk is, once it is noted that something refers to it. */
  async find(id: ChunkId): Promise<LocatedChunk | undefined> {
    const located = await this.#locate(id)
    if (located.kind === 'found') {
      const { chunk } = located
      if (this.referenced.add(chunk.pack, chunk.index)) this.#ports.run.counts.chunks += 1
      return chunk
    }
    if (this.#damagedPacks(located.candidates).length === 0) this.#addMissing(id)
    return undefined
  }

  /** The chunk's bytes, from its pack and not from memory. */
  async read(id: ChunkId, chunk: LocatedChunk): Promise<Uint8Array | undefined> {
    const { chunks, objects, ledger, run } = this.#ports
    const { key, pack, entry } = chunk
    const attempt = async (): Promise<Uint8Array> => {
      const stored = await objects.get(key, entry.offset, entry.storedBytes)
      return await checkedChunk(id, stored, entry, `pack ${pack.name}`)
    }
    try {
      return await attempt().catch(async (error: unknown) => {
        if (!(error instanceof DataLossError)) throw error
        // Somebody may have put the pack back since it was opened.
        await objects.refresh(key)
        return await attempt()
      })
    } catch (error) {
      if (error instanceof NotFoundError) {
        const now = await this.#locate(id)
        // A collection has moved it to another pack.
        const isMoved = now.kind === 'found' && now.chunk.pack.name !== pack.name
        if (isMoved) return await this.read(id, now.chunk)
        this.#addMissing(id)
      } else if (error instanceof DataLossError) {
        await chunks.noteDamaged(pack, chunk.index)
        const whole = await chunks.findWhole(id, chunk)
        if (whole !== undefined) {
          const copy = { id, pack: pack.name, reason: error.message }
          await run.report(damagedCopy(copy, whole.pack))
          return await this.read(id, whole)
        }
        const kind = storageFinding('chunk-damaged')
        const subject = { pack: pack.name, chunk: id }
        ledger.add(`chunk ${id}`, { kind, subject, what: error.message })
      } else throw error
      return undefined
    }
  }

  /** Looks again: every reason why the chunk cannot be read, and where it is. */
  async trace(id: ChunkId): Promise<Traced> {
    const { ledger } = this.#ports
    const located = await this.#locate(id)
    if (located.kind === 'absent') {
      const packs = this.#damagedPacks(located.candidates)
      return {
        causes: packs.length > 0 ? packs : known(ledger, `missing ${id}`),
        chunk: undefined,
      }
    }
    const { chunk, isAside } = located
    const pack = isAside ? known(ledger, `pack ${chunk.pack.name}`) : []
    const own = known(ledger, `chunk ${id}`)
    return { causes: [...pack, ...own], chunk: own.length > 0 ? undefined : chunk }
  }

  async #locate(id: ChunkId): Promise<Located> {
    const { aside, chunks, ledger } = this.#ports
    // A damaged row may say anything.
    if (!chunkIdPattern.test(id)) return { kind: 'absent', candidates: [] }
    const place = await chunks.locate(id, ({ name }) => ledger.isLost(`pack ${name}`))
    if (place.kind === 'found') return { kind: 'found', chunk: place, isAside: false }
    const lost = await aside.locate(id)
    if (lost.kind === 'found') return { kind: 'found', chunk: lost, isAside: true }
    return place
  }

  #damagedPacks(candidates: readonly SealedPack[]): readonly CauseKey[] {
    return candidates.flatMap(({ name }) => known(this.#ports.ledger, `pack ${name}`))
  }

  #addMissing(id: ChunkId): void {
    const found = {
      kind: storageFinding('chunk-missing'),
      subject: { chunk: id },
      what: `chunk ${id} is in no pack that is listed and whole`,
    }
    this.#ports.ledger.add(`missing ${id}`, found, { ifNeeded: true })
  }
}

function known(ledger: DamageLedger, key: CauseKey): readonly CauseKey[] {
  return ledger.has(key) ? [key] : []
}
