import { InvalidArgumentError } from '../../base/errors.ts'

/** A field of a message in protobuf's text form. */
export interface TextField {
  readonly name: string
  readonly value: TextValue
}

/** A text has the bytes that it stands for, anything else the word that is written. */
export type TextValue =
  | { readonly kind: 'text'; readonly bytes: Uint8Array }
  | { readonly kind: 'word'; readonly word: string }
  | { readonly kind: 'message'; readonly fields: readonly TextField[] }

/** Text that is no message. */
export class TextFormatError extends InvalidArgumentError {
  override readonly name = 'TextFormatError'
}

const depthMax = 60
const [quote, apostrophe, backslash] = ['"', "'", '\\']
const simpleEscapes: Readonly<Record<string, number>> = {
  n: 10,
  r: 13,
  t: 9,
  a: 7,
  b: 8,
  f: 12,
  v: 11,
  '"': 34,
  "'": 39,
  '\\': 92,
  '?': 63,
}

/**
 * Parses protobuf's text form, as 1.4 stored its records (compact, on one line) and a little more:
 * `<` or `{` for messages, optional separators, comments, several literals in a row.
 *
 * @throws {TextFormatError}
 */
export function parseTextMessage(bytes: Uint8Array): readonly TextField[] {
  const scanner = new Scanner(Buffer.from(bytes).toString('latin1'))
  return scanner.message('', 0)
}

/** Whether bytes look like text, as opposed to the binary form, which begins with a tag below 0x80. */
export function isTextMessage(bytes: Uint8Array): boolean {
  const head = Buffer.from(bytes.subarray(0, 100)).toString('latin1')
  return /^\s*[A-Za-z_][A-Za-z0-9_]*\s*[:<{]/.test(head)
}

/** `#text` has one character for each byte. */
class Scanner {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  message(end: string, depth: number): readonly TextField[] {
    if (depth > depthMax) throw this.#wrong('messages are nested too deep')
    const fields: TextField[] = []
    for (;;) {
      this.#blank()
      const next = this.#text[this.#at]
      if (next === undefined) {
        if (end === '') return fields
        throw this.#wrong(`it ends before a ${end}`)
      }
      if (next === end) {
        this.#at += 1
        return fields
      }
      if (next === ',' || next === ';') this.#at += 1
      else fields.push(this.#field(depth))
    }
  }

  #field(depth: number): TextField {
    const name = this.#take(/[A-Za-z_[][A-Za-z0-9_.\]]*/y) ?? this.#take(/\d+/y)
    if (name === undefined) throw this.#wrong('a field has no name')
    this.#blank()
    const hasColon = this.#text[this.#at] === ':'
    if (hasColon) this.#at += 1
    this.#blank()
    const next = this.#text[this.#at]
    if (next === '<' || next === '{') {
      this.#at += 1
      const fields = this.message(next === '<' ? '>' : '}', depth + 1)
      return { name, value: { kind: 'message', fields } }
    }
    if (!hasColon) throw this.#wrong(`field ${name} has no value`)
    if (next === quote || next === apostrophe) {
      return { name, value: { kind: 'text', bytes: this.#literals() } }
    }
    const word = this.#take(/[-+.A-Za-z0-9_]+/y)
    if (word === undefined) throw this.#wrong(`field ${name} has no value`)
    return { name, value: { kind: 'word', word } }
  }

  #literals(): Uint8Array {
    const bytes: number[] = []
    for (;;) {
      const mark = this.#text[this.#at]
      if (mark !== quote && mark !== apostrophe) return Uint8Array.from(bytes)
      this.#at += 1
      this.#literal(mark, bytes)
      this.#blank()
    }
  }

  #literal(mark: string, bytes: number[]): void {
    for (;;) {
      const next = this.#text[this.#at]
      if (next === undefined) throw this.#wrong('a text has no end')
      this.#at += 1
      if (next === mark) return
      bytes.push(next === backslash ? this.#escape() : next.charCodeAt(0))
    }
  }

  #escape(): number {
    const octal = this.#take(/[0-7]{1,3}/y)
    if (octal !== undefined) return Number.parseInt(octal, 8) & 0xff
    const hex = this.#take(/[xX][0-9a-fA-F]{1,2}/y)
    if (hex !== undefined) return Number.parseInt(hex.slice(1), 16)
    const letter = this.#text[this.#at] ?? ''
    const code = simpleEscapes[letter]
    if (code === undefined) throw this.#wrong(`\\${letter} stands for nothing`)
    this.#at += 1
    return code
  }

  #blank(): void {
    this.#take(/(?:\s|#[^\n]*)+/y)
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    this.#at += found?.length ?? 0
    return found
  }

  #wrong(detail: string): TextFormatError {
    return new TextFormatError(`text that is no message: ${detail} (at byte ${this.#at})`)
  }
}
