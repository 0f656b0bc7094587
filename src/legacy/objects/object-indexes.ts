import type { BlockRef, ObjectIndex } from '../../gen/pfs_pb.ts'
import { NameTable } from '../name-table.ts'
import { isObjectHash } from '../old-objects.ts'

/** Where the bytes of an object are. */
export interface ObjectPlace {
  readonly block: string
  readonly lower: number
  readonly upper: number
}

/** Of a place: its block, by number, and two numbers. */
const placeBytes = 20
const hashBytes = 64

/** What many indexes say, in little memory: all of them together tell of every object of a store. */
export class ObjectIndexes {
  readonly #places = new NameTable(placeBytes)
  readonly #tags = new NameTable(hashBytes)
  readonly #blocks: string[] = []
  readonly #numbers = new Map<string, number>()
  /** Tags of what is no name of an object. */
  readonly #odd = new Map<string, string>()

  add({ objects, tags }: ObjectIndex): void {
    for (const [hash, place] of Object.entries(objects)) this.#places.add(hash, this.#encode(place))
    for (const [name, { hash }] of Object.entries(tags)) {
      if (isObjectHash(hash)) this.#tags.add(name, Buffer.from(hash, 'hex'))
      else this.#odd.set(name, hash)
    }
  }

  placeOf(hash: string): ObjectPlace | undefined {
    const found = this.#places.get(hash)
    if (found === undefined) return undefined
    const view = new DataView(found.buffer, found.byteOffset, placeBytes)
    const block = this.#blocks[view.getUint32(0)] ?? ''
    return { block, lower: view.getFloat64(4), upper: view.getFloat64(12) }
  }

  objectOf(tag: string): string | undefined {
    const found = this.#tags.get(tag)
    return found === undefined ? this.#odd.get(tag) : Buffer.from(found).toString('hex')
  }

  #encode({ block, range }: BlockRef): Uint8Array {
    const view = new DataView(new ArrayBuffer(placeBytes))
    view.setUint32(0, this.#numberOf(block?.hash ?? ''))
    view.setFloat64(4, Number(range?.lower ?? 0n))
    view.setFloat64(12, Number(range?.upper ?? 0n))
    return new Uint8Array(view.buffer)
  }

  #numberOf(block: string): number {
    const known = this.#numbers.get(block)
    if (known !== undefined) return known
    const number = this.#blocks.push(block) - 1
    this.#numbers.set(block, number)
    return number
  }
}
