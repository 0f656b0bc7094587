import { assert } from '../base/errors.ts'
import { UsageError } from './errors.ts'

/** The values of a command's flags; asking for one that the command does not have is a bug. */
export class Flags {
  readonly #values: ReadonlyMap<string, readonly string[] | boolean>

  /** By name: whether a flag without value is on, or a flag's values. */
  constructor(values: ReadonlyMap<string, readonly string[] | boolean>) {
    this.#values = values
  }

  isOn(name: string): boolean {
    const value = this.#values.get(name)
    assert(typeof value === 'boolean', `--${name} is a flag without value`)
    return value
  }

  /** The last value that was given, or the default, or the empty text. */
  text(name: string): string {
    return this.list(name).at(-1) ?? ''
  }

  /** All values that were given, or the default alone, or none. */
  list(name: string): readonly string[] {
    const values = this.#values.get(name)
    assert(typeof values === 'object', `--${name} is a flag with a value`)
    return values
  }

  /** A count of at least one. @throws {UsageError} */
  positive(name: string): number {
    const count = this.count(name)
    if (count > 0) return count
    throw new UsageError(`--${name} must be 1 or more, not ${count}`)
  }

  count(name: string): number {
    const text = this.text(name)
    return text === '' ? 0 : Number(text)
  }
}
