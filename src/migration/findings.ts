import { OldDamageError, type Damage, type DamageKind } from '../legacy/damage.ts'
import { OldObjectNotFoundError } from '../legacy/old-objects.ts'
import { FileDirectoryConflictError } from '../storage/tree-errors.ts'
import { type DomainError, InvalidArgumentError } from '../base/errors.ts'
import type { Finding } from './events.ts'

/** Damage that is remembered as told; beyond that, the oldest may be told again. */
const toldCountMax = 10_000
/** Findings that are kept for whoever asks once more when all is done. */
const keptCountMax = 10_000
/** Findings that wait to be taken before whoever finds more waits, too. */
const waitingCountMax = 1000

/** Collects what is to be told, each damage once; all of it is handed on, and a bounded part of it kept. */
export class Findings {
  readonly #kept: Finding[] = []
  readonly #told = new Set<string>()
  #waiting: Finding[] = []
  #count = 0
  #damageCount = 0
  #isHeard = false
  #taken = Promise.withResolvers<void>()
  #onFull = (): void => undefined

  get damageCount(): number {
    return this.#damageCount
  }

  readonly onDamage = (damage: Damage): void => {
    const { kind, what, reason } = damage
    // Trees and objects are met by several owners, each of whom says so.
    const isOneOfMany = kind === 'tree' || kind === 'object'
    const key = JSON.stringify(isOneOfMany ? [kind, what] : [kind, what, reason])
    if (this.#told.has(key)) return
    const [oldest] = this.#told
    if (oldest !== undefined && this.#told.size >= toldCountMax) this.#told.delete(oldest)
    this.#told.add(key)
    this.#damageCount += 1
    this.#add({ kind: 'damage', damage })
  }

  damage(kind: DamageKind, what: string, reason: string): void {
    this.onDamage({ kind, what, reason })
  }

  notice(text: string): void {
    this.#add({ kind: 'notice', text })
  }

  /** What there was, also what has been taken: the first 10,000, and how many more there were. */
  get kept(): readonly Finding[] {
    const moreCount = this.#count - this.#kept.length
    if (moreCount === 0) return this.#kept
    const text = `${moreCount} more were told of when all this was migrated, and are not kept`
    return [...this.#kept, { kind: 'notice', text }]
  }

  /** What has come since the last call. */
  take(): readonly Finding[] {
    const waiting = this.#waiting
    this.#waiting = []
    this.#taken.resolve()
    this.#taken = Promise.withResolvers()
    return waiting
  }

  /** Until it is disposed, somebody calls `take` each time that `heed` has resolved. */
  hear(): Disposable {
    this.#isHeard = true
    return {
      [Symbol.dispose]: () => {
        this.#isHeard = false
        this.#taken.resolve()
      },
    }
  }

  /** True when `work` has settled; false before that, when it cannot go on until something is taken. */
  async heed(work: Promise<unknown>): Promise<boolean> {
    if (this.#isFull) return false
    return await new Promise<boolean>((resolve) => {
      const settle = (): void => resolve(true)
      this.#onFull = () => resolve(false)
      work.then(settle, settle)
    })
  }

  /** For whoever finds much: resolves when little waits to be taken, or nobody hears any more. */
  async room(): Promise<void> {
    while (this.#isHeard && this.#isFull) {
      this.#onFull()
      await this.#taken.promise
    }
  }

  get #isFull(): boolean {
    return this.#waiting.length >= waitingCountMax
  }

  #add(finding: Finding): void {
    this.#count += 1
    this.#waiting.push(finding)
    if (this.#kept.length < keptCountMax) this.#kept.push(finding)
  }
}

/** Whether an error says that something of the old cluster is damaged, and not of this server. */
export function isDamage(error: unknown): error is DomainError {
  if (error instanceof OldDamageError || error instanceof OldObjectNotFoundError) return true
  if (error instanceof FileDirectoryConflictError) return true
  return error instanceof InvalidArgumentError
}
