import { assert } from '../../base/errors.ts'
import { chunkBytesMax } from '../chunks.ts'
import { gearTable, maskEasy, maskHard, splitBytesMin, splitBytesNormal } from './gear.ts'
import { splitterWasm } from './wasm.ts'

const pageBytes = 64 * 1024
/** The gear table lies before it. */
const dataStart = 1024

/** The part of the standard that is used here; the compiler's own is in its browser library only. */
declare const WebAssembly: {
  readonly Memory: new (pages: { initial: number; maximum: number }) => { buffer: ArrayBuffer }
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, Readonly<Record<string, object>>>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> }
}

type Cut = (
  start: number,
  end: number,
  bytesMin: number,
  bytesNormal: number,
  bytesMax: number,
  maskHard: number,
  maskEasy: number,
) => number

/**
 * Cuts one stream at a time into chunks, where its content says so. Boundaries depend only on the
 * bytes since the one before. Rule and test vectors: `docs/formats/chunks.md`.
 */
export class Splitter {
  readonly #cut: Cut
  /** The memory of the WebAssembly instance. */
  readonly #bytes: Uint8Array
  #start = dataStart
  #end = dataStart

  /** @param capacityBytes how much it holds at once: more than `chunkBytesMax`. */
  constructor(capacityBytes: number = 2 * chunkBytesMax) {
    assert(capacityBytes > chunkBytesMax, 'a splitter holds more than one chunk')
    const initial = Math.ceil((dataStart + capacityBytes) / pageBytes)
    const memory = new WebAssembly.Memory({ initial, maximum: initial })
    const module = new WebAssembly.Module(Buffer.from(splitterWasm, 'base64'))
    const cut = new WebAssembly.Instance(module, { env: { memory } }).exports['cut']
    assert(typeof cut === 'function', 'the splitter module exports its function')
    this.#cut = cut as Cut // what cut.assembly declares
    this.#bytes = new Uint8Array(memory.buffer, 0, dataStart + capacityBytes)
    new Uint32Array(memory.buffer, 0, 256).set(gearTable())
  }

  /** How many bytes were pushed and not cut off yet. */
  get pendingBytes(): number {
    return this.#end - this.#start
  }

  /** Takes as much of `bytes` as there is room for: at least some once `next` has found nothing. */
  push(bytes: Uint8Array): number {
    if (this.#start > dataStart && this.#end + bytes.length > this.#bytes.length) {
      this.#bytes.copyWithin(dataStart, this.#start, this.#end)
      this.#end -= this.#start - dataStart
      this.#start = dataStart
    }
    const taken = Math.min(bytes.length, this.#bytes.length - this.#end)
    this.#bytes.set(taken === bytes.length ? bytes : bytes.subarray(0, taken), this.#end)
    this.#end += taken
    return taken
  }

  get isFull(): boolean {
    return this.#end === this.#bytes.length
  }

  /** The next whole chunk, valid until the next `push`; undefined when more bytes are needed. */
  next(): Uint8Array | undefined {
    const end = this.#cut(
      this.#start,
      this.#end,
      splitBytesMin,
      splitBytesNormal,
      chunkBytesMax,
      maskHard,
      maskEasy,
    )
    if (end === 0) return undefined
    const chunk = this.#bytes.subarray(this.#start, end)
    this.#start = end
    return chunk
  }

  /** What is left once `next` has found nothing and the stream has ended; starts a new stream. */
  rest(): Uint8Array {
    const rest = this.#bytes.subarray(this.#start, this.#end)
    this.reset()
    return rest
  }

  /** Forgets the stream. */
  reset(): void {
    this.#start = dataStart
    this.#end = dataStart
  }
}
