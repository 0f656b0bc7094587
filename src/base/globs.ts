import { InvalidArgumentError } from './errors.ts'
import { type FilePath, pathNames } from './paths.ts'

/** Finding captures takes memory for pattern length × name length. */
const capturingLengthMax = 4096

/** One pattern between slashes. */
export interface GlobComponent {
  /** Whether the whole of `name` matches. Takes at most name length × pattern length steps. */
  matches(name: string): boolean
  /** The one name that matches, when there is only one. */
  readonly literal?: string
  /** What every matching name begins with. */
  readonly prefix: string
  /** Whether every name matches, as for `*`. */
  readonly matchesAll: boolean
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

/** A glob whose parentheses capture what matches between them. */
export interface CapturingGlob extends Glob {
  readonly captureCount: number
  /**
   * What each pair of parentheses captures, in the order in which they open; undefined when `path`
   * does not match. An earlier `*` takes as much as it can.
   */
  capture(path: FilePath): readonly string[] | undefined
}

/** One character, one of a set, or any run. */
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
  requireShort(text, globTextMax)
  const components = new GlobParser(text, { captures: false })
    .parseComponents()
    .map(({ tokens }) => newComponent(tokens))
  return { text, components, matches: (path) => matchesPath(components, path) }
}

/**
 * Parses a glob in which `(` and `)`, unless escaped, capture what matches between them and match
 * nothing themselves; they may be nested, but hold no slash.
 *
 * @throws {InvalidArgumentError} as `parseGlob`, and for parentheses without their partner.
 */
export function parseCapturingGlob(text: string): CapturingGlob {
  requireShort(text, capturingLengthMax)
  const parser = new GlobParser(text, { captures: true })
  const components = parser.parseComponents()
  const parts = components.map(({ tokens }) => newComponent(tokens))
  const captureCount = components.reduce((count, { spans }) => count + spans.length, 0)
  return {
    text,
    components: parts,
    captureCount,
    matches: (path) => matchesPath(parts, path),
    capture(path) {
      if (!matchesPath(parts, path)) return undefined
      const names = pathNames(path)
      return components.flatMap((component, index) => capturesOf(component, names[index] ?? ''))
    },
  }
}

function requireShort(text: string, lengthMax: number): void {
  if (text.length <= lengthMax) return
  throw new InvalidArgumentError(
    `glob of ${text.length} characters is too long: at most ${lengthMax} are allowed (${text.slice(0, 60)}…)`,
  )
}

function matchesPath(components: readonly GlobComponent[], path: FilePath): boolean {
  const names = pathNames(path)
  return (
    names.length === components.length &&
    components.every((component, index) => component.matches(names[index] ?? ''))
  )
}

/**
 * A glob as it is read: with the leading slash; without `.`, `..`, double and trailing slashes; empty
 * for the root.
 */
export function cleanPattern(text: string): string {
  const names: string[] = []
  for (const name of text.split('/')) {
    if (name === '' || name === '.') continue
    if (name === '..') names.pop()
    else names.push(name)
  }
  return names.length === 0 ? '' : `/${names.join('/')}`
}

/** A pattern between slashes, as it was written. */
interface ParsedComponent {
  readonly tokens: Token[]
  /** Which tokens stand between parentheses, in the order in which these open. */
  readonly spans: Span[]
}

/** Tokens from `from` up to `to`. */
interface Span {
  readonly from: number
  to: number
}

class GlobParser {
  readonly #pattern: string
  readonly #runes: readonly string[]
  readonly #captures: boolean
  /** Of the component that is read: parentheses that are open. */
  #open: Span[] = []
  #index = 0

  constructor(text: string, { captures }: { readonly captures: boolean }) {
    this.#pattern = cleanPattern(text)
    this.#runes = Array.from(this.#pattern)
    this.#captures = captures
  }

  parseComponents(): readonly ParsedComponent[] {
    const components: ParsedComponent[] = []
    for (;;) {
      const rune = this.#runes[this.#index]
      if (rune === undefined) break
      this.#index += 1
      if (rune === '/' || (rune === '\\' && this.#runes[this.#index] === '/')) {
        if (rune === '\\') this.#index += 1
        this.#requireClosed()
        components.push({ tokens: [], spans: [] })
      } else {
        this.#add(rune, components.at(-1) ?? { tokens: [], spans: [] })
      }
    }
    this.#requireClosed()
    return components
  }

  #add(rune: string, { tokens, spans }: ParsedComponent): void {
    if (!this.#captures || (rune !== '(' && rune !== ')')) {
      tokens.push(this.#token(rune))
      return
    }
    if (rune === '(') {
      const span = { from: tokens.length, to: tokens.length }
      spans.push(span)
      this.#open.push(span)
      return
    }
    const span = this.#open.pop()
    if (span === undefined) throw this.#unbalanced()
    span.to = tokens.length
  }

  #requireClosed(): void {
    if (this.#open.length > 0) throw this.#unbalanced()
  }

  #unbalanced(): InvalidArgumentError {
    return new InvalidArgumentError(
      `glob ${JSON.stringify(this.#pattern)} is malformed: each "(" needs its ")" before the next slash; write "\\(" and "\\)" for parentheses in names`,
    )
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

/** Matches `name` and nothing else. */
export function literalComponent(name: string): GlobComponent {
  return { matches: (other) => other === name, literal: name, prefix: name, matchesAll: false }
}

function newComponent(tokens: readonly Token[]): GlobComponent {
  let prefix = ''
  let size = 0
  for (const token of tokens) {
    if (token.kind !== 'literal') break
    prefix += token.rune
    size += 1
  }
  if (size === tokens.length) {
    return literalComponent(prefix)
  }
  if (tokens.every(({ kind }) => kind === 'star')) {
    return { matches: () => true, prefix, matchesAll: true }
  }
  return {
    matches: (name) => name.startsWith(prefix) && matchTokens(tokens, Array.from(name)),
    prefix,
    matchesAll: false,
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

/** What stands between the parentheses of a component in a name that it matches. */
function capturesOf({ tokens, spans }: ParsedComponent, name: string): readonly string[] {
  if (spans.length === 0) return []
  const runes = Array.from(name)
  const places = placesOf(tokens, runes)
  return spans.map(({ from, to }) => runes.slice(places[from], places[to]).join(''))
}

/** Where each token begins, and the last one ends, when each star takes as much as it can. */
function placesOf(tokens: readonly Token[], runes: readonly string[]): readonly number[] {
  const width = runes.length + 1
  // Whether the tokens from `token` on match the runes from `rune` on.
  const can = new Uint8Array((tokens.length + 1) * width)
  can[tokens.length * width + runes.length] = 1
  for (let token = tokens.length - 1; token >= 0; token -= 1) {
    const current = tokens[token]
    for (let rune = runes.length; rune >= 0; rune -= 1) {
      const next = (token + 1) * width + rune
      const isMatch =
        current?.kind === 'star'
          ? can[next] === 1 || (rune < runes.length && can[token * width + rune + 1] === 1)
          : rune < runes.length &&
            current !== undefined &&
            matchRune(current, runes[rune] ?? '') &&
            can[next + 1] === 1
      if (isMatch) can[token * width + rune] = 1
    }
  }
  const places = [0]
  let at = 0
  for (const [token, current] of tokens.entries()) {
    if (current.kind !== 'star') at += 1
    else {
      let end = runes.length
      while (end > at && can[(token + 1) * width + end] !== 1) end -= 1
      at = end
    }
    places.push(at)
  }
  return places
}
