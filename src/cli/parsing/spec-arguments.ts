import { InvalidArgumentError } from '../../base/errors.ts'
import { UsageError } from '../errors.ts'
import type { Substitute } from './pipeline-specs.ts'
import { suggestion } from './suggestion.ts'

const placeholder = /\{\{ *([A-Za-z_][A-Za-z0-9_]*) *\}\}/g

/** Arguments of spec templates by name, from `name=text` and `name:=json`. */
export function parseSpecArguments(words: readonly string[]): ReadonlyMap<string, unknown> {
  const given = new Map<string, unknown>()
  for (const word of words) {
    const match = /^([A-Za-z_][A-Za-z0-9_]*)(:?=)(.*)$/s.exec(word)
    if (match === null) {
      throw new UsageError(
        `--arg ${JSON.stringify(word)} makes no sense: write name=text, or name:=json for a number, true, false, a list or an object`,
      )
    }
    const [, name = '', sign, text = ''] = match
    if (given.has(name)) throw new UsageError(`--arg ${name} is given twice`)
    given.set(name, sign === '=' ? text : jsonValue(name, text))
  }
  return given
}

function jsonValue(name: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new UsageError(`--arg ${name}:=${text} is not JSON; for a text, write ${name}=${text}`, {
      cause,
    })
  }
}

/**
 * A template with its arguments put in: a text that is one `{{name}}` becomes the argument, whatever
 * it is; within a longer text, and in names of fields, an argument is put in as text. Nothing is
 * parsed again, so that no argument can break out of its place.
 */
export class SpecTemplate {
  readonly #given: ReadonlyMap<string, unknown>
  readonly #used = new Set<string>()

  constructor(given: ReadonlyMap<string, unknown>) {
    this.#given = given
  }

  /** @throws {InvalidArgumentError} for an argument that is not given, or does not fit. */
  readonly substitute: Substitute = (value) => this.#substitute(value)

  #substitute(value: unknown): unknown {
    if (typeof value === 'string') return this.#inText(value)
    if (Array.isArray(value)) return value.map((item) => this.#substitute(item))
    if (typeof value !== 'object' || value === null) return value
    const entries = Object.entries(value).map(
      ([name, item]) => [this.#asText(name), this.#substitute(item)] as const,
    )
    const names = entries.map(([name]) => name)
    const twice = names.find((name, index) => names.indexOf(name) !== index)
    if (twice !== undefined) {
      throw new InvalidArgumentError(`two fields of one object are named ${JSON.stringify(twice)}`)
    }
    return Object.fromEntries(entries)
  }

  #inText(text: string): unknown {
    const whole = /^\{\{ *([A-Za-z_][A-Za-z0-9_]*) *\}\}$/.exec(text)?.[1]
    return whole === undefined ? this.#asText(text) : this.#argument(whole)
  }

  #asText(text: string): string {
    return text.replaceAll(placeholder, (_, name: string) => {
      const value = this.#argument(name)
      if (typeof value === 'string') return value
      if (typeof value !== 'object') return JSON.stringify(value)
      throw new InvalidArgumentError(
        `argument ${name} is ${JSON.stringify(value)}, which cannot stand within a text: ${JSON.stringify(text)}`,
      )
    })
  }

  #argument(name: string): unknown {
    this.#used.add(name)
    if (this.#given.has(name)) return this.#given.get(name)
    const near = suggestion(name, [...this.#given.keys()])
    const help = near === undefined ? '' : `; did you mean ${near} where you gave --arg?`
    throw new InvalidArgumentError(`the template needs --arg ${name}=…${help}`)
  }

  /** After the last substitution. @throws {UsageError} for an argument that nothing used. */
  requireAllUsed(): void {
    for (const name of this.#given.keys()) {
      if (this.#used.has(name)) continue
      throw new UsageError(`the template has no {{${name}}}, and --arg ${name} was given`)
    }
  }
}
