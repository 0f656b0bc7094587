import { InvalidArgumentError } from './errors.ts'
import { type FilePath, pathNames } from './paths.ts'

/** One pattern between slashes. */
export interface GlobComponent {
  /** Whether the whole of `name` matches. Takes at most name length × pattern length steps. */
  matches(name: string): boolean
  /** The one name that matches, when there is only one. */
  readonly literal?: string
  /** What every matching name begins with. */
  readonly prefix: string
}

/** Longer than that of any path, since a pattern may say each character as a class. */
const globTextMax = 16 * 1024

/** A parsed glob. It matches paths of exactly as many names as it has components. */
export interface Glob {
  /** As it was given. */
  readonly text: string
  /** None for the glob that matches the root only. */
  readonly components: readonly GlobComponent[]
  matches(path: FilePath): boolean
}

/** A run of characters, one character of a set, or any run. */
type Token =
  | { readonly kind: 'literal'; readonly rune: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly RuneRange[] }
  | { readonly kind: 'star' }

interface RuneRange {
  readonly low: number
  readonly high: number
}

/**
 * Parses a glob with the rules of Go's `path.Match` on cleaned patterns: `*` is any run of
 * characters, `?` one character, `[a-z]` and `[^a-z]` one of a class, `\` makes the next character
 * literal; nothing matches a slash but a slash, and all else (`{`, `**` beyond `*`) means itself. The
 * empty glob and `/` match the root only.
 *
 * @throws {InvalidArgumentError} for a malformed class or a `\` at the end, wherever it stands.
 */
export function parseGlob(text: string): Glob {
  if (text.length > globTextMax) {
    throw new InvalidArgumentError(
      `glob of ${text.length} characters is too long: at most ${globTextMax} are allowed (${text.slice(0, 60)}…)`,
    )
  }
  const components = new GlobParser(text).parse()
  return {
    text,
    components,
    matches(path) {
      const names = pathNames(path)
      return (
        names.length === components.length &&
        components.every((component, index) => component.matches(names[index] ?? ''))
      )
    },
  }
}

/** Adds the leading slash; removes `.`, `..`, double and trailing slashes; empty for the root. */
function cleanPattern(text: string): string {
  const names: string[] = []
  for (const name of text.split('/')) {
    if (name === '' || name === '.') continue
    if (name === '..') names.pop()
    else names.push(name)
  }
  return names.length === 0 ? '' : `/${names.join('/')}`
}

class GlobParser {
  readonly #pattern: string
  readonly #runes: readonly string[]
  #index = 0

  constructor(text: string) {
    this.#pattern = cleanPattern(text)
    this.#runes = Array.from(this.#pattern)
  }

  parse(): readonly GlobComponent[] {
    const components: Token[][] = []
    for (;;) {
      const rune = this.#runes[this.#index]
      if (rune === undefined) break
      this.#index += 1
      if (rune === '/' || (rune === '\\' && this.#runes[this.#index] === '/')) {
        if (rune === '\\') this.#index += 1
        components.push([])
      } else {
        components.at(-1)?.push(this.#token(rune))
      }
    }
    return components.map(newComponent)
  }

  #token(rune: string): Token {
    switch (rune) {
      case '*':
        return { kind: 'star' }
      case '?':
        return { kind: 'any' }
      case '[':
        return this.#class()
      case '\\':
        return { kind: 'literal', rune: this.#next() }
      default:
        return { kind: 'literal', rune }
    }
  }

  #class(): Token {
    const negated = this.#runes[this.#index] === '^'
    if (negated) this.#index += 1
    const ranges: RuneRange[] = []
    while (ranges.length === 0 || this.#runes[this.#index] !== ']') {
      const low = this.#classRune()
      let high = low
      if (this.#runes[this.#index] === '-') {
        this.#index += 1
        high = this.#classRune()
      }
      ranges.push({ low, high })
    }
    this.#index += 1
    return { kind: 'class', negated, ranges }
  }

  /** One end of a range: `-` and `]` must be escaped. */
  #classRune(): number {
    let rune = this.#next()
    if (rune === '-' || rune === ']') throw this.#malformed()
    if (rune === '\\') rune = this.#next()
    return rune.codePointAt(0) ?? 0
  }

  #next(): string {
    const rune = this.#runes[this.#index]
    if (rune === undefined) throw this.#malformed()
    this.#index += 1
    return rune
  }

  #malformed(): InvalidArgumentError {
    return new InvalidArgumentError(
      `glob ${JSON.stringify(this.#pattern)} is malformed: close every "[" and escape "\\", "-" and "]" in classes with "\\"`,
    )
  }
}

function newComponent(tokens: readonly Token[]): GlobComponent {
  let prefix = ''
  let size = 0
  for (const token of tokens) {
    if (token.kind !== 'literal') break
    prefix += token.rune
    size += 1
  }
  const isLiteral = size === tokens.length
  return {
    matches: isLiteral
      ? (name) => name === prefix
      : (name) => name.startsWith(prefix) && matchTokens(tokens, Array.from(name)),
    prefix,
    ...(isLiteral ? { literal: prefix } : {}),
  }
}

/** Only the last star is ever retried: an earlier one could not do better. */
function matchTokens(tokens: readonly Token[], runes: readonly string[]): boolean {
  let token = 0
  let rune = 0
  let starToken = -1
  let starRune = 0
  while (rune < runes.length) {
    const current = tokens[token]
    if (current?.kind === 'star') {
      starToken = token
      starRune = rune
      token += 1
    } else if (current !== undefined && matchRune(current, runes[rune] ?? '')) {
      token += 1
      rune += 1
    } else if (starToken >= 0) {
      starRune += 1
      rune = starRune
      token = starToken + 1
    } else {
      return false
    }
  }
  while (tokens[token]?.kind === 'star') token += 1
  return token === tokens.length
}

function matchRune(token: Exclude<Token, { kind: 'star' }>, rune: string): boolean {
  switch (token.kind) {
    case 'literal':
      return token.rune === rune
    case 'any':
      return true
    case 'class': {
      const code = rune.codePointAt(0) ?? 0
      return token.negated !== token.ranges.some(({ low, high }) => low <= code && code <= high)
    }
  }
}
