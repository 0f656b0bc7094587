import type { Mount } from '../../base/mount-table.ts'
import { readMounts } from '../mount-table.ts'

/** File systems that wait for others: a program, or another machine. */
const remoteTypes =
  /^(fuse(blk)?(\..+)?|nfs4?|cifs|smb3|9p|ceph|lustre|afs|gpfs|virtiofs|orangefs)$/
const namedMax = 5

/** What of the machine is mounted from where it may not be answered, for people, with its kind. */
export function remoteMounts(mounts: readonly Mount[] = readMounts()): readonly string[] {
  return mounts
    .filter(({ type }) => remoteTypes.test(type))
    .map(({ point, type }) => `${point} (${type})`)
}

/** Why it takes so long to make a sandbox, which has looked at all that is mounted. */
export function lateText(ms: number, mounts: readonly string[]): string {
  const text = `it was not ready after ${ms / 1000} seconds: the machine is overloaded, or a disk does not answer`
  if (mounts.length === 0) return text
  const more = mounts.length > namedMax ? ' and others' : ''
  return `${text} (see whether these do: ${mounts.slice(0, namedMax).join(', ')}${more}; mend or unmount them)`
}
