import { MalformedInputError } from '../errors.ts'
import { JsonScanner } from './json-scanner.ts'
import type { RecordFinder, RecordTarget, Slice } from './records.ts'

/** A record is the text of a JSON value; white space between them is left out. */
export class JsonFinder implements RecordFinder {
  readonly #path: string
  readonly #scanner = new JsonScanner()
  #isWithin = false
  /** Where the value began that the scanner is within. */
  #begun = { byte: 0, line: 0 }

  /** `path` is what errors are about. */
  constructor(path: string) {
    this.#path = path
  }

  get isWithin(): boolean {
    return this.#isWithin
  }

  advance({ bytes, start }: Slice, at: number, target: RecordTarget): number {
    const scanner = this.#scanner
    for (let index = at; ;) {
      if (!this.#isWithin) {
        index = scanner.skipSpace(bytes, index)
        if (index === bytes.length) return index
        this.#begun = { byte: start + index + 1, line: scanner.line }
        this.#isWithin = true
      }
      const from = index
      index = scanner.scan(bytes, index)
      if (scanner.problem !== undefined) throw this.#malformed(start + index + 1, scanner.problem)
      this.#isWithin = !scanner.isAtEnd
      if (this.#isWithin) {
        target.add(bytes.subarray(from, index), 0)
        return index
      }
      target.add(bytes.subarray(from, index), 1)
      if (target.recordsLeft > 0 && target.bytesLeft > 0) continue
      target.close()
      return index
    }
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
