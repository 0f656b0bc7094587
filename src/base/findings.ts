/**
 * What a check of the store found. `error`: something is lost, or says what is not so. `warning`:
 * nothing is lost; something should be tidied up or looked at.
 */
export type Severity = 'error' | 'warning'

/** What can be said of all damage of one kind. */
export interface FindingFacts {
  readonly severity: Severity
  /** What it means for whoever keeps data here: one sentence. */
  readonly meaning: string
  /** How to put it right, when the check cannot do it. */
  readonly advice: string
}

export interface FindingKind extends FindingFacts {
  /** Names it for programs and in `docs/storage.md`: `pack-missing`. */
  readonly name: string
}

/** What a finding is about; only what applies is there. */
export interface FindingSubject {
  readonly repo?: string
  readonly branch?: string
  readonly commit?: string
  readonly path?: string
  readonly pipeline?: string
  readonly job?: string
  readonly datum?: string
  readonly pack?: string
  readonly chunk?: string
  readonly object?: string
  readonly tag?: string
}

/** What cannot be read because of it: the first few by name, such as `repo@commit:/path`. */
export interface Affected {
  readonly names: readonly string[]
  readonly count: number
}

/**
 * `none`: nobody can derive what is missing. `possible`: `--fix` would put it right. `done`: it has
 * been put right, durably.
 */
export type RepairState = 'none' | 'possible' | 'done'

export interface Finding {
  readonly kind: FindingKind
  readonly subject: FindingSubject
  /** What is wrong, with the facts: one sentence. */
  readonly what: string
  readonly affected: Affected
  readonly repair: RepairState
}

/** What a check has looked at, so far or in all. */
export interface CheckCounts {
  /** Rows of the metadata. */
  rows: number
  /** Nodes of trees and maps; one that is shared counts once. */
  nodes: number
  /** Chunks that something refers to, each once. */
  chunks: number
  packs: number
  /** Bytes of packs that were read and checked; a full check only. */
  bytes: number
  /** Bytes of all packs that are listed. */
  bytesTotal: number
  /** Chunks that nothing refers to; known at the end, if all that exists could be read. */
  unreferencedChunks: number
  /** Packs none of whose chunks anything refers to, and their bytes. */
  unreferencedPacks: number
  unreferencedBytes: number
  errors: number
  warnings: number
  /** Findings that were put right; they are not among the errors and warnings. */
  repaired: number
}

export function noCounts(): CheckCounts {
  return {
    rows: 0,
    nodes: 0,
    chunks: 0,
    packs: 0,
    bytes: 0,
    bytesTotal: 0,
    unreferencedChunks: 0,
    unreferencedPacks: 0,
    unreferencedBytes: 0,
    errors: 0,
    warnings: 0,
    repaired: 0,
  }
}

export const nothingAffected: Affected = { names: [], count: 0 }
