import { DataLossError } from '../base/errors.ts'

/** Something of an old cluster is missing, or is not what it should be; nothing of ours. */
export class OldDamageError extends DataLossError {
  override readonly name = 'OldDamageError'
}

/** Something of an old cluster that cannot be read as what it should be. */
export interface Damage {
  /** What of: `metadata`, `repo`, `commit`, `branch`, `pipeline`, `job`, `tree`, `object`, `datum`, `access`. */
  readonly kind: DamageKind
  /** Which: a key, a name, a hash. */
  readonly what: string
  /** A sentence without a full stop. */
  readonly reason: string
}

export type DamageKind =
  | 'metadata'
  | 'repo'
  | 'commit'
  | 'branch'
  | 'pipeline'
  | 'job'
  | 'file'
  | 'tree'
  | 'object'
  | 'datum'
  | 'access'

export type OnDamage = (damage: Damage) => void
