import { OldDamageError, type Damage, type DamageKind } from '../legacy/damage.ts'
import { OldObjectNotFoundError } from '../legacy/old-objects.ts'
import { FileDirectoryConflictError } from '../storage/tree-errors.ts'
import { type DomainError, InvalidArgumentError } from '../base/errors.ts'
import type { Finding } from './events.ts'

/** Collects what is to be told, each damage once. */
export class Findings {
  readonly #events: Finding[] = []
  readonly #all: Finding[] = []
  readonly #told = new Set<string>()

  get damageCount(): number {
    return this.#told.size
  }

  readonly onDamage = (damage: Damage): void => {
    const { kind, what, reason } = damage
    // Trees and objects are met by several owners, each of whom says so.
    const isOneOfMany = kind === 'tree' || kind === 'object'
    const key = JSON.stringify(isOneOfMany ? [kind, what] : [kind, what, reason])
    if (this.#told.has(key)) return
    this.#told.add(key)
    this.#add({ kind: 'damage', damage })
  }

  damage(kind: DamageKind, what: string, reason: string): void {
    this.onDamage({ kind, what, reason })
  }

  notice(text: string): void {
    this.#add({ kind: 'notice', text })
  }

  /** Everything, also what has been taken. */
  get all(): readonly Finding[] {
    return this.#all
  }

  /** What has come since the last call. */
  take(): readonly Finding[] {
    return this.#events.splice(0)
  }

  #add(finding: Finding): void {
    this.#events.push(finding)
    this.#all.push(finding)
  }
}

/** Whether an error says that something of the old cluster is damaged, and not of this server. */
export function isDamage(error: unknown): error is DomainError {
  if (error instanceof OldDamageError || error instanceof OldObjectNotFoundError) return true
  if (error instanceof FileDirectoryConflictError) return true
  return error instanceof InvalidArgumentError
}
