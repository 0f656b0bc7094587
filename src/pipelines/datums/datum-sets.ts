import { concatBytes, hexBytes, hexText, utf8, utf8Text } from '../../base/bytes.ts'
import { DataLossError } from '../../base/errors.ts'
import type { FilePath } from '../../base/paths.ts'
import type { DatumKey, DatumMember } from '../datums.ts'

/** A datum as the datum set of a job has it. */
export interface DatumRecord {
  readonly key: DatumKey
  readonly members: readonly DatumMember[]
}

const hashBytes = 32

/**
 * The value that a job's datum set (a prolly map from order key) holds for a datum: its datum key,
 * then each member's name, path and hash. Layout: `docs/formats/datums.md`.
 */
export function encodeDatum(datum: DatumRecord): Uint8Array {
  const parts: Uint8Array[] = [hexBytes(datum.key)]
  for (const member of datum.members) {
    pushText(parts, member.input)
    pushText(parts, member.path)
    parts.push(member.hash)
  }
  return concatBytes(parts)
}

/** @throws {DataLossError} when `value` is not what `encodeDatum` writes. */
export function decodeDatum(value: Uint8Array): DatumRecord {
  const members: DatumMember[] = []
  let at = hashBytes
  const take = (size: number): Uint8Array => {
    if (at + size > value.length) throw new DataLossError('a datum in a datum set is cut short')
    at += size
    return value.subarray(at - size, at)
  }
  const text = (): string => {
    const [high = 0, low = 0] = take(2)
    return utf8Text(take(high * 256 + low))
  }
  if (value.length < hashBytes) throw new DataLossError('a datum in a datum set is cut short')
  while (at < value.length) {
    members.push({ input: text(), path: text() as FilePath, hash: take(hashBytes) })
  }
  return { key: hexText(value.subarray(0, hashBytes)) as DatumKey, members }
}

function pushText(parts: Uint8Array[], text: string): void {
  const bytes = utf8(text)
  parts.push(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes)
}
