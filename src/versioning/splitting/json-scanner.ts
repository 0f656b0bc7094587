import { lineFeed } from './records.ts'

/** What the scanner expects next, as numbers, since it asks for each byte. */
const State = {
  value: 0,
  /** Right behind `[`. */
  firstElement: 1,
  /** Right behind `{`. */
  firstKey: 2,
  key: 3,
  colon: 4,
  /** A comma, or the end of the array or object. */
  next: 5,
  string: 6,
  escape: 7,
  hexDigits: 8,
  literal: 9,
  // Numbers. Those that may end where they are come last.
  minus: 10,
  point: 11,
  exponent: 12,
  exponentSign: 13,
  zero: 14,
  integer: 15,
  fraction: 16,
  exponentDigits: 17,
} as const
type State = (typeof State)[keyof typeof State]

const depthMax = 10_000
const inArray = 0
const inObject = 1

const code = {
  tab: 0x09,
  carriageReturn: 0x0d,
  space: 0x20,
  quote: 0x22,
  plus: 0x2b,
  comma: 0x2c,
  minus: 0x2d,
  point: 0x2e,
  zero: 0x30,
  one: 0x31,
  nine: 0x39,
  colon: 0x3a,
  upperE: 0x45,
  openBracket: 0x5b,
  backslash: 0x5c,
  closeBracket: 0x5d,
  lowerE: 0x65,
  lowerU: 0x75,
  openBrace: 0x7b,
  closeBrace: 0x7d,
} as const

const letters = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0))
/** What follows the first letter. */
const literals: ReadonlyMap<number, Uint8Array> = new Map(
  ['true', 'false', 'null'].map((text) => [text.charCodeAt(0), letters(text.slice(1))]),
)
/** May follow a backslash, besides `u`. */
const escaped: ReadonlySet<number> = new Set(letters('"\\/bfnrt'))

/**
 * Reads a run of JSON values as RFC 8259 has them, and says where each ends. Bytes within strings
 * need not be UTF-8, since they are only passed on.
 */
export class JsonScanner {
  #state: State = State.value
  /** What is open around here, outermost first. */
  #stack = new Uint8Array(64)
  #depth = 0
  /** The string that is being read is a key. */
  #isKey = false
  /** Digits still to come of `\u`. */
  #digitsLeft = 0
  #literal: Uint8Array = letters('')
  #literalAt = 0
  /** A number or a word has just ended at the top, so another one may not follow directly. */
  #needsSpace = false
  #line = 1
  #problem: string | undefined
  #isAtEnd = false

  /** The line that the scanner is in, from 1. */
  get line(): number {
    return this.#line
  }

  /** The last `scan` has reached the end of a value. */
  get isAtEnd(): boolean {
    return this.#isAtEnd
  }

  /** Should the stream end here, the value is whole. */
  get mayEnd(): boolean {
    return this.#depth === 0 && this.#state >= State.zero
  }

  /** What is wrong with the byte that the last `scan` stopped at. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** Passes over white space between values. */
  skipSpace(bytes: Uint8Array, from: number): number {
    for (let index = from; index < bytes.length; index += 1) {
      const byte = bytes[index]
      if (byte === lineFeed) this.#line += 1
      else if (byte !== code.space && byte !== code.carriageReturn && byte !== code.tab)
        return index
      this.#needsSpace = false
    }
    return bytes.length
  }

  /**
   * Goes on with a value, or begins one at `from`. Stops behind its end, at what is wrong, or at the
   * end of `bytes`.
   */
  scan(bytes: Uint8Array, from: number): number {
    this.#isAtEnd = false
    let index = from
    while (index < bytes.length) {
      if (this.#state === State.string) index = this.#scanString(bytes, index)
      else if (this.#state <= State.next) index = this.#scanStructure(bytes[index] ?? 0, index)
      else if (this.#state >= State.minus) index = this.#scanNumber(bytes, index)
      else index = this.#scanWithin(bytes[index] ?? 0, index)
      if (this.#isAtEnd || this.#problem !== undefined) return index
    }
    return index
  }

  #scanString(bytes: Uint8Array, from: number): number {
    let index = from
    let byte = 0
    for (; index < bytes.length; index += 1) {
      byte = bytes[index] ?? 0
      if (byte === code.quote || byte === code.backslash || byte < code.space) break
    }
    if (index === bytes.length) return index
    if (byte === code.backslash) this.#state = State.escape
    else if (byte !== code.quote) return this.#fail(index, byte, 'a control character in a string')
    else if (this.#isKey) this.#state = State.colon
    else this.#endValue()
    return index + 1
  }

  #scanNumber(bytes: Uint8Array, from: number): number {
    for (let index = from; index < bytes.length; index += 1) {
      const byte = bytes[index] ?? 0
      const state = nextInNumber(this.#state, byte)
      if (state === undefined) {
        if (this.#state < State.zero) return this.#fail(index, byte, 'a digit is missing')
        this.#endValue()
        this.#needsSpace = this.#isAtEnd
        return index
      }
      this.#state = state
    }
    return bytes.length
  }

  /** Within an escape or a word. */
  #scanWithin(byte: number, index: number): number {
    switch (this.#state) {
      case State.escape:
        if (byte === code.lowerU) {
          this.#state = State.hexDigits
          this.#digitsLeft = 4
        } else if (escaped.has(byte)) this.#state = State.string
        else return this.#fail(index, byte, 'no such escape')
        return index + 1
      case State.hexDigits:
        if (!isHexDigit(byte)) return this.#fail(index, byte, 'a hex digit of \\u is missing')
        this.#digitsLeft -= 1
        if (this.#digitsLeft === 0) this.#state = State.string
        return index + 1
      default:
        return this.#scanLiteral(byte, index)
    }
  }

  #scanLiteral(byte: number, index: number): number {
    if (byte !== this.#literal[this.#literalAt]) return this.#fail(index, byte, 'no such word')
    this.#literalAt += 1
    if (this.#literalAt === this.#literal.length) {
      this.#endValue()
      this.#needsSpace = this.#isAtEnd
    }
    return index + 1
  }

  #scanStructure(byte: number, index: number): number {
    if (byte <= code.space) {
      if (byte === lineFeed) this.#line += 1
      else if (byte !== code.space && byte !== code.carriageReturn && byte !== code.tab) {
        return this.#fail(index, byte, 'a control character between values')
      }
      return index + 1
    }
    switch (this.#state) {
      case State.firstElement:
        if (byte === code.closeBracket) return this.#close(index)
        return this.#beginValue(byte, index)
      case State.firstKey:
        if (byte === code.closeBrace) return this.#close(index)
        return this.#beginKey(byte, index)
      case State.key:
        return this.#beginKey(byte, index)
      case State.colon:
        if (byte !== code.colon) return this.#fail(index, byte, 'a colon is missing')
        this.#state = State.value
        return index + 1
      case State.next:
        return this.#scanNext(byte, index)
      default:
        return this.#beginValue(byte, index)
    }
  }

  #scanNext(byte: number, index: number): number {
    const isObject = this.#stack[this.#depth - 1] === inObject
    if (byte === code.comma) {
      this.#state = isObject ? State.key : State.value
      return index + 1
    }
    if (byte === (isObject ? code.closeBrace : code.closeBracket)) return this.#close(index)
    return this.#fail(index, byte, isObject ? 'a comma or } is missing' : 'a comma or ] is missing')
  }

  #beginKey(byte: number, index: number): number {
    if (byte !== code.quote) return this.#fail(index, byte, 'a key is missing')
    this.#isKey = true
    this.#state = State.string
    return index + 1
  }

  #beginValue(byte: number, index: number): number {
    const literal = literals.get(byte)
    const number = literal === undefined ? firstInNumber(byte) : undefined
    if (this.#needsSpace && (literal !== undefined || number !== undefined)) {
      return this.#fail(index, byte, 'white space before the next value is missing')
    }
    this.#needsSpace = false
    if (byte === code.quote) {
      this.#isKey = false
      this.#state = State.string
    } else if (byte === code.openBrace) return this.#open(inObject, index)
    else if (byte === code.openBracket) return this.#open(inArray, index)
    else if (number !== undefined) this.#state = number
    else if (literal !== undefined) {
      this.#literal = literal
      this.#literalAt = 0
      this.#state = State.literal
    } else return this.#fail(index, byte, 'a JSON value is missing')
    return index + 1
  }

  #open(kind: typeof inArray | typeof inObject, index: number): number {
    if (this.#depth === depthMax) {
      this.#problem = `the value is nested more than ${depthMax} deep`
      return index
    }
    if (this.#depth === this.#stack.length) {
      const larger = new Uint8Array(2 * this.#stack.length)
      larger.set(this.#stack)
      this.#stack = larger
    }
    this.#stack[this.#depth] = kind
    this.#depth += 1
    this.#state = kind === inObject ? State.firstKey : State.firstElement
    return index + 1
  }

  #close(index: number): number {
    this.#depth -= 1
    this.#endValue()
    return index + 1
  }

  #endValue(): void {
    this.#isAtEnd = this.#depth === 0
    this.#state = this.#isAtEnd ? State.value : State.next
  }

  #fail(index: number, byte: number, problem: string): number {
    const isVisible = byte > code.space && byte < 0x7f
    const hex = `byte 0x${byte.toString(16).padStart(2, '0')}`
    this.#problem = `${problem}: found ${isVisible ? String.fromCharCode(byte) : hex}`
    return index
  }
}

function isDigit(byte: number): boolean {
  return byte >= code.zero && byte <= code.nine
}

function isHexDigit(byte: number): boolean {
  const lower = byte | 0x20
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66)
}

function firstInNumber(byte: number): State | undefined {
  if (byte === code.minus) return State.minus
  if (byte === code.zero) return State.zero
  return byte >= code.one && byte <= code.nine ? State.integer : undefined
}

/** Undefined where the number does not go on. */
function nextInNumber(state: State, byte: number): State | undefined {
  switch (state) {
    case State.minus:
      return byte === code.minus ? undefined : firstInNumber(byte)
    case State.zero:
    case State.integer:
      if (state === State.integer && isDigit(byte)) return state
      if (byte === code.point) return State.point
      return byte === code.lowerE || byte === code.upperE ? State.exponent : undefined
    case State.point:
      return isDigit(byte) ? State.fraction : undefined
    case State.fraction:
      if (isDigit(byte)) return state
      return byte === code.lowerE || byte === code.upperE ? State.exponent : undefined
    case State.exponent:
      if (byte === code.plus || byte === code.minus) return State.exponentSign
      return isDigit(byte) ? State.exponentDigits : undefined
    case State.exponentSign:
      return isDigit(byte) ? State.exponentDigits : undefined
    default:
      return isDigit(byte) ? State.exponentDigits : undefined
  }
}
