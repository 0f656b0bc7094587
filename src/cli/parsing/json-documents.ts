import { InvalidArgumentError } from '../../base/errors.ts'
import { shortened } from '../../base/shortened.ts'

/** A JSON value of a stream, and where it begins. */
export interface JsonDocument {
  readonly value: unknown
  /** In the stream's text, counted from 0. */
  readonly offset: number
}

/** Text that is not JSON, with line and column. */
export class JsonSyntaxError extends InvalidArgumentError {
  override readonly name = 'JsonSyntaxError'
}

/**
 * The JSON values of `text`, one after another, with anything of white space or nothing between
 * them. Each is parsed when it is asked for, so that what comes before an error can be used.
 *
 * @throws {JsonSyntaxError}
 */
export function* jsonDocuments(text: string): Generator<JsonDocument> {
  for (let offset = skipBlanks(text, 0); offset < text.length;) {
    const end = endOfValue(text, offset)
    const value = parse(text, offset, end)
    refuseTwoOfOne(text, offset, end)
    yield { value, offset }
    offset = skipBlanks(text, end)
  }
}

function skipBlanks(text: string, from: number): number {
  let at = from
  while (at < text.length && ' \t\r\n\ufeff'.includes(text[at] ?? '')) at += 1
  return at
}

/** Where a value ends, if it is one: after its last bracket, or before the next blank. */
function endOfValue(text: string, from: number): number {
  let depth = 0
  for (let at = from; at < text.length; at += 1) {
    switch (text[at]) {
      case '"':
        at = endOfText(text, at)
        break
      case '{':
      case '[':
        depth += 1
        break
      case '}':
      case ']':
        depth -= 1
        if (depth <= 0) return at + 1
        break
      case ' ':
      case '\n':
      case '\r':
      case '\t':
        if (depth === 0) return at
        break
      default:
    }
  }
  return text.length
}

/** The index of the quote that ends the text that begins at `from`. */
function endOfText(text: string, from: number): number {
  let at = from + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}

function parse(text: string, offset: number, end: number): unknown {
  const source = text.slice(offset, end)
  try {
    return JSON.parse(source) as unknown
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    const position = /at position (\d+)/.exec(message)?.[1]
    const at = position === undefined ? guessedPosition(source, message) : Number(position)
    const reason = message
      .replace(/ (?:in JSON )?at position .*$/s, '')
      .replace(/, (?:\.\.\.)?".*$/s, '')
    throw new JsonSyntaxError(`${reason} at ${placeText(text, offset + at)}`, { cause })
  }
}

const colon = /\s*:/y

/** Where an object has a key twice, parsers take what comes last and say nothing. */
function refuseTwoOfOne(text: string, from: number, end: number): void {
  // Of what is open: the keys of an object, nothing of a list.
  const open: (Set<string> | undefined)[] = []
  for (let at = from; at < end; at += 1) {
    const character = text[at]
    if (character === '{') open.push(new Set())
    else if (character === '[') open.push(undefined)
    else if (character === '}' || character === ']') open.pop()
    else if (character === '"') {
      const last = endOfText(text, at)
      colon.lastIndex = last + 1
      const keys = open.at(-1)
      if (keys !== undefined && colon.test(text)) {
        const key = String(JSON.parse(text.slice(at, last + 1)))
        if (keys.has(key)) throw twiceError(key, text, at)
        keys.add(key)
      }
      at = last
    }
  }
}

/** Of a key that is found again at `offset`. */
export function twiceError(key: string, text: string, offset: number): JsonSyntaxError {
  return new JsonSyntaxError(
    `${shortened(JSON.stringify(key))} is there a second time in one object at ${placeText(text, offset)}: keep one of them`,
  )
}

/** Some of the parser's messages quote what they stumbled over instead of saying where it is. */
function guessedPosition(source: string, message: string): number {
  const token = /^Unexpected token '(.)'/su.exec(message)?.[1]
  if (token === undefined) return source.length
  for (let end = 1; end <= source.length; end += 1) {
    if (source[end - 1] !== token) continue
    try {
      JSON.parse(source.slice(0, end))
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('Unexpected token')) return end - 1
    }
  }
  return source.length
}

/** Both counted from 1, columns in characters. */
export function placeText(text: string, offset: number): string {
  const before = text.slice(0, offset).split('\n')
  return `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`
}
