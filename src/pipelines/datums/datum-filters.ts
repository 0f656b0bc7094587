import { hexText } from '../../base/bytes.ts'
import type { DatumMember } from '../datums.ts'

/** Whether each of `wanted` is the path, or the hash in hex or base64, of some member. */
export function hasFiles(members: readonly DatumMember[], wanted: readonly string[]): boolean {
  return wanted.every((file) => members.some((member) => isFile(member, file)))
}

function isFile({ path, hash }: DatumMember, wanted: string): boolean {
  if (path === wanted || path === `/${wanted}`) return true
  // The whole of a branch: its path is empty.
  if (path === '' && wanted === '/') return true
  return hexText(hash) === wanted || Buffer.from(hash).toString('base64') === wanted
}
