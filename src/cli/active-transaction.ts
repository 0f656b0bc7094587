import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { FailedPreconditionError, InvalidArgumentError } from '../base/errors.ts'

type Active = Readonly<Record<string, string>>

/**
 * The transaction that commands become part of, for each address of a pachd.
 *
 * Remembered in `~/.pachyderm/transactions.json`: pachctl of 1.5, which may be used beside this
 * one, refuses a `config.json` with fields that it does not know.
 */
export class ActiveTransaction {
  readonly #home: string
  readonly #address: string

  constructor(environment: Readonly<Record<string, string | undefined>>, address: string) {
    this.#home = environment['HOME'] ?? ''
    this.#address = address
  }

  /** Undefined when none is active. @throws {InvalidArgumentError} when the file makes no sense. */
  get id(): string | undefined {
    return this.#home === '' ? undefined : this.#read()[this.#address]
  }

  /** @throws {FailedPreconditionError} without a home to remember it in. */
  set(id: string): void {
    if (this.#home === '') {
      throw new FailedPreconditionError(
        'the active transaction is remembered below HOME, which is not set; set it, or use --no-activate',
      )
    }
    this.#write({ ...this.#read(), [this.#address]: id })
  }

  /** `id` is not active any more, if it was. */
  clear(id: string): void {
    if (this.id !== id) return
    const { [this.#address]: _, ...others } = this.#read()
    this.#write(others)
  }

  get #path(): string {
    return join(this.#home, '.pachyderm', 'transactions.json')
  }

  #read(): Active {
    const path = this.#path
    try {
      const { active } = JSON.parse(readFileSync(path, 'utf8')) as { readonly active?: unknown }
      if (typeof active !== 'object' || active === null) throw new Error('it has no "active"')
      return Object.fromEntries(
        Object.entries(active).filter((entry): entry is [string, string] => {
          return typeof entry[1] === 'string'
        }),
      )
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
      throw new InvalidArgumentError(
        `cannot read which transaction is active from ${path} (${String(error)}); correct or remove it`,
        { cause: error },
      )
    }
  }

  /** Whole or not at all, should the process end midway. */
  #write(active: Active): void {
    const path = this.#path
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const draft = `${path}.${process.pid}`
    try {
      writeFileSync(draft, `${JSON.stringify({ active }, undefined, 2)}\n`, { mode: 0o600 })
      renameSync(draft, path)
    } catch (error) {
      rmSync(draft, { force: true })
      throw error
    }
  }
}
