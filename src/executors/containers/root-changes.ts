import { lstatSync, readdirSync } from 'node:fs'

/** More paths than this are as good as too many to look at. */
const entriesMax = 2000

/**
 * What is at some paths of this machine, as a text that stays the same as long as nothing there is
 * changed; other file systems below them are left out. Undefined when it cannot be read, or is too much.
 *
 * Of the directory in which a container's file system keeps what it changes of its image it tells
 * those changes: a file that is changed, removed, or given other rights for the first time gets an
 * entry there, and one that is there already gets another change time.
 */
export function stateOf(paths: readonly string[]): string | undefined {
  const lines: string[] = []
  const options = { withFileTypes: true, encoding: 'buffer' } as const
  // Names as they are, whatever their encoding: a character for each byte.
  const look = (path: string, device?: bigint): boolean => {
    const file = Buffer.from(path, 'latin1')
    const { ctimeNs, ino, dev, mode, uid, gid, isDirectory } = statusOf(file)
    if (device !== undefined && device !== dev) return true
    // What comes and goes in the outermost directory moves the times of that one.
    const isOutermost = device === undefined && isDirectory
    lines.push(`${path} ${ino} ${isOutermost ? `${mode}:${uid}:${gid}` : ctimeNs}`)
    if (lines.length > entriesMax) return false
    if (!isDirectory) return true
    return readdirSync(file, options).every(({ name }) =>
      look(`${path}/${name.toString('latin1')}`, dev),
    )
  }
  try {
    const areFew = paths.every((path) => look(Buffer.from(path).toString('latin1')))
    return areFew ? lines.toSorted().join('\n') : undefined
  } catch {
    // Another user's, another machine's, or changing right now.
    return undefined
  }
}

function statusOf(file: Buffer): {
  readonly ctimeNs: bigint
  readonly ino: bigint
  readonly dev: bigint
  readonly mode: bigint
  readonly uid: bigint
  readonly gid: bigint
  readonly isDirectory: boolean
} {
  const stats = lstatSync(file, { bigint: true })
  const { ctimeNs, ino, dev, mode, uid, gid } = stats
  return { ctimeNs, ino, dev, mode, uid, gid, isDirectory: stats.isDirectory() }
}

/** A path below `above` that is in one of the texts alone; for people. */
export function changedPath(before: string, after: string, above: string): string | undefined {
  const [old, now] = [before.split('\n'), after.split('\n')]
  const [inOld, inNow] = [new Set(old), new Set(now)]
  const changed = [
    ...now.filter((line) => !inOld.has(line)),
    ...old.filter((line) => !inNow.has(line)),
  ]
  // The longest says most: the directories on the way to it have changed, too.
  const [line] = changed.toSorted((left, right) => right.length - left.length)
  const path = line?.split(' ').slice(0, -2).join(' ')
  return path?.startsWith(above) === true ? path.slice(above.length) : path
}
