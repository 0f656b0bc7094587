import { concatBytes, utf8 } from '../../base/bytes.ts'
import type { FilePath } from '../../base/paths.ts'

/**
 * Order keys place a job's datums: comparing them as bytes gives the order in which outputs of one
 * path are joined. They depend on the datum alone, so a new datum renumbers nothing.
 *
 * | input | key                                                            |
 * |-------|----------------------------------------------------------------|
 * | atom  | path, escaped, then 0x00                                       |
 * | cross | the keys of its members, last member first (the first varies fastest) |
 * | union | position of the branch as two bytes, then the branch's key     |
 * | join  | match key, escaped, then 0x00; for each member 0x01 if it is there, else 0x00; the keys of those that are, as of a cross |
 * | group | match key, escaped, then 0x00                                  |
 *
 * Escaping: `/` is 0x01, so that a directory's paths stay together; 0x01 and 0x02 in a name are
 * preceded by 0x02.
 */
export function atomOrderKey(path: FilePath): Uint8Array {
  return escaped(path.slice(1))
}

const slashByte = 0x2f

function escaped(text: string): Uint8Array {
  const raw = utf8(text)
  let extra = 1
  for (const byte of raw) if (byte === 1 || byte === 2) extra += 1
  const key = new Uint8Array(raw.length + extra)
  let at = 0
  for (const byte of raw) {
    if (byte === 1 || byte === 2) {
      key[at] = 2
      at += 1
    }
    key[at] = byte === slashByte ? 1 : byte
    at += 1
  }
  return key
}

/** The key of a combination, given its members' keys in member order. */
export function crossOrderKey(memberKeys: readonly Uint8Array[]): Uint8Array {
  return concatBytes(memberKeys.toReversed())
}

/** The key of a datum of the union's branch at `index`. */
export function unionOrderKey(index: number, key: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(index >> 8, index & 0xff), key])
}

/** The key of a combination of those members of a join that `isThere` says; `key` is that of a cross. */
export function joinOrderKey(
  matchKey: string,
  isThere: readonly boolean[],
  key: Uint8Array,
): Uint8Array {
  return concatBytes([escaped(matchKey), Uint8Array.from(isThere, Number), key])
}

export function groupOrderKey(matchKey: string): Uint8Array {
  return escaped(matchKey)
}
