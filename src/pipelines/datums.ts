import type { Brand } from '../base/brand.ts'
import { concatBytes, utf8 } from '../base/bytes.ts'
import type { FilePath } from '../base/paths.ts'
import { hash } from 'node:crypto'

/**
 * The identity of a datum, as 64 lower-case hex digits: equal keys are the same work. See
 * `docs/formats/datums.md`.
 */
export type DatumKey = Brand<string, 'DatumKey'>

/** One input file or directory of a datum. */
export interface DatumMember {
  /** The input's name. */
  readonly input: string
  readonly path: FilePath
  /** The file's or directory's content hash, 32 bytes. */
  readonly hash: Uint8Array
}

/** A datum and its place among the datums of a job. */
export interface Datum {
  /** Sorts datums; says the input position and path of each member. See `order-keys.ts`. */
  readonly orderKey: Uint8Array
  readonly members: readonly DatumMember[]
}

/** What distinguishes a pipeline's results from those of its namesakes and former selves. */
export interface Lineage {
  /** Made with the pipeline; kept by updates, and shared with its trials. */
  readonly lineageId: string
  /** Changed by `update-pipeline --reprocess`. */
  readonly salt: string
}

/** A datum for people: what `get-logs` and `list-datum` know it by, and its files. */
export function datumText(key: DatumKey, members: readonly DatumMember[]): string {
  return `${key} (${members.map(({ input, path }) => `${input}:${path || '/'}`).join(', ')})`
}

const keyVersion = 'pachyderm-ts datum 1'

/**
 * The datum key: SHA-256 over version, lineage, salt and each member's name, path and hash, every
 * field preceded by its length. Neither code nor image is in it, as in 1.5.1 and later.
 */
export function datumKey(lineage: Lineage, members: readonly DatumMember[]): DatumKey {
  const parts: Uint8Array[] = []
  for (const text of [keyVersion, lineage.lineageId, lineage.salt]) pushField(parts, utf8(text))
  for (const member of members) {
    pushField(parts, utf8(member.input))
    pushField(parts, utf8(member.path))
    pushField(parts, member.hash)
  }
  return hash('sha256', concatBytes(parts)) as DatumKey
}

function pushField(parts: Uint8Array[], field: Uint8Array): void {
  const { length } = field
  parts.push(Uint8Array.of(length >>> 24, length >>> 16, length >>> 8, length), field)
}
