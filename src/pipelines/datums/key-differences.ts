import { hexText } from '../../base/bytes.ts'
import type { DatumMember, Lineage } from '../datums.ts'

/** A field of a datum key that two datums have otherwise; empty where one has no such field. */
export interface KeyDifference {
  /** `pipeline id`, `salt`, `input[0].name`, `input[0].path` or `input[0].hash`. */
  readonly field: string
  readonly before: string
  readonly now: string
}

/** What a datum key is made of. */
export interface KeyFields {
  readonly lineage: Lineage
  readonly members: readonly DatumMember[]
}

/** More than these are not told: the first decides. */
const differenceCountMax = 16

/** The fields that differ, in the order in which they are in the key; at most 16. */
export function keyDifferences(before: KeyFields, now: KeyFields): readonly KeyDifference[] {
  const old = fieldsOf(before)
  const fields = fieldsOf(now)
  const names = [...new Set([...fields.keys(), ...old.keys()])]
  return names
    .map((field) => ({ field, before: old.get(field) ?? '', now: fields.get(field) ?? '' }))
    .filter((difference) => difference.before !== difference.now)
    .slice(0, differenceCountMax)
}

function fieldsOf({ lineage, members }: KeyFields): ReadonlyMap<string, string> {
  const fields = new Map([
    ['pipeline id', lineage.lineageId],
    ['salt', lineage.salt],
  ])
  for (const [index, { input, path, hash }] of members.entries()) {
    fields.set(`input[${index}].name`, input)
    fields.set(`input[${index}].path`, path || '/')
    fields.set(`input[${index}].hash`, hexText(hash))
  }
  return fields
}
