import { emptyBytes } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import { chunkBytesMax } from '../chunks.ts'
import { gearTable, maskEasy, maskHard, splitBytesMin, splitBytesNormal } from './gear.ts'
import { splitterWasm } from './wasm.ts'

/** The gear table lies before it. */
const dataStart = 1024
/** What a cut depends on, besides how long the chunk is: so many bytes before it. */
const windowBytes = 32
/** So many are looked at in one go. */
const partBytes = 255 * 1024
const pageBytes = 64 * 1024
const pageCount = Math.ceil((dataStart + windowBytes + partBytes) / pageBytes)

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

/** Finds where chunks end, of any number of streams. Rule and test vectors: `docs/formats/chunks.md`. */
export class CutFinder {
  readonly #cut: Cut
  /** The memory of the WebAssembly instance behind the gear table. */
  readonly #bytes: Uint8Array

  constructor() {
    const memory = new WebAssembly.Memory({ initial: pageCount, maximum: pageCount })
    const module = new WebAssembly.Module(Buffer.from(splitterWasm, 'base64'))
    const cut = new WebAssembly.Instance(module, { env: { memory } }).exports['cut']
    assert(typeof cut === 'function', 'the splitter module exports its function')
    this.#cut = cut as Cut // what cut.assembly declares
    this.#bytes = new Uint8Array(memory.buffer, dataStart)
    new Uint32Array(memory.buffer, 0, 256).set(gearTable())
  }

  /**
   * How many of `bytes` are the rest of the chunk that begins with `begun`, in which no cut was
   * found; undefined when the chunk may go on behind them.
   */
  find(begun: Uint8Array, bytes: Uint8Array): number | undefined {
    // Before the least size nothing is looked at, but for the window of what comes after it.
    const skipped = Math.max(0, splitBytesMin - windowBytes - begun.length)
    const window = skipped > 0 ? emptyBytes : begun.subarray(-windowBytes)
    this.#bytes.set(window)
    let windowLength = window.length
    for (let at = skipped; at < bytes.length; at += partBytes) {
      const part = bytes.subarray(at, at + partBytes)
      this.#bytes.set(part, windowLength)
      const end = windowLength + part.length
      const cut = this.#cutOf(begun.length + at - windowLength, end)
      if (cut !== undefined) return at + cut - windowLength
      const kept = Math.min(end, windowBytes)
      this.#bytes.copyWithin(0, end - kept, end)
      windowLength = kept
    }
    return undefined
  }

  /** Where the chunk ends among the first `count` bytes of the memory, before which there are `before` of it. */
  #cutOf(before: number, count: number): number | undefined {
    const bytesMin = Math.max(splitBytesMin - before, windowBytes)
    const end = this.#cut(
      dataStart,
      dataStart + count,
      bytesMin,
      Math.max(splitBytesNormal - before, bytesMin),
      chunkBytesMax - before,
      maskHard,
      maskEasy,
    )
    return end === 0 ? undefined : end - dataStart
  }
}
