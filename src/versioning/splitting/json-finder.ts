import { MalformedInputError } from '../errors.ts'
import { JsonScanner } from './json-scanner.ts'
import type { RecordFinder, RecordTarget, Slice } from './records.ts'

/** A record is the text of a JSON value; white space between them is left out. */
export class JsonFinder implements RecordFinder {
  readonly #path: string
  readonly #scanner = new JsonScanner()
  #isWithin = false
  #slice: Slice | undefined
  #joined = new Uint8Array(0)
  /** Where the value began that the scanner is within. */
  #begun = { byte: 0, line: 0 }

  /** `path` is what errors are about. */
  constructor(path: string) {
    this.#path = path
  }

  get isWithin(): boolean {
    return this.#isWithin
  }

  advance(slice: Slice, at: number, target: RecordTarget): number {
    const { bytes, start } = slice
    const scanner = this.#scanner
    const joined = this.#joinedOf(slice)
    let [end, ended] = [at, 0]
    const addJoined = (): void => {
      if (end > at) target.add(joined.subarray(at, end), ended)
    }
    for (let index = at; ;) {
      if (!this.#isWithin) {
        index = scanner.skipSpace(bytes, index)
        if (index === bytes.length) {
          addJoined()
          return index
        }
        this.#begun = { byte: start + index + 1, line: scanner.line }
        this.#isWithin = true
      }
      const from = index
      index = scanner.scan(bytes, index)
      if (scanner.problem !== undefined) throw this.#malformed(start + index + 1, scanner.problem)
      if (end < from) joined.copyWithin(end, from, index)
      end += index - from
      this.#isWithin = !scanner.isAtEnd
      if (this.#isWithin) {
        addJoined()
        return index
      }
      ended += 1
      if (ended < target.recordsLeft && end - at < target.bytesLeft) continue
      addJoined()
      target.close()
      return index
    }
  }

  /** A copy of the slice, in which records move together: adding each by itself costs more. */
  #joinedOf(slice: Slice): Uint8Array {
    if (this.#slice === slice) return this.#joined
    this.#slice = slice
    const { bytes } = slice
    if (this.#joined.length < bytes.length) this.#joined = new Uint8Array(bytes.length)
    this.#joined.set(bytes)
    return this.#joined
  }

  finish(): void {
    if (!this.#isWithin || this.#scanner.mayEnd) return
    const { byte, line } = this.#begun
    throw new MalformedInputError({
      path: this.#path,
      byte,
      line,
      problem: 'the JSON value that begins here is cut off',
    })
  }

  #malformed(byte: number, problem: string): MalformedInputError {
    const { line } = this.#scanner
    return new MalformedInputError({ path: this.#path, byte, line, problem })
  }
}
