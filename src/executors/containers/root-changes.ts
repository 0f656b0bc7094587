import { type BigIntStats, lstatSync } from 'node:fs'

import { HeldDirectory } from '../../pipelines/held-directories.ts'

/** More paths than this are as good as too many to look at. */
const entriesMax = 2000
/** Each level takes a descriptor. */
const depthMax = 100

type Status = Pick<BigIntStats, 'ctimeNs' | 'ino' | 'mode' | 'uid' | 'gid'>

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
  const note = (path: string, status: Status, isOutermost: boolean): boolean => {
    const { ctimeNs, ino, mode, uid, gid } = status
    // What comes and goes in the outermost directory moves the times of that one.
    lines.push(`${path} ${ino} ${isOutermost ? `${mode}:${uid}:${gid}` : ctimeNs}`)
    return lines.length <= entriesMax
  }
  // Code of others may hold what is here, and change it: it is gone down by held directories. Names as they are,
  // whatever their encoding: a character for each byte.
  const lookIn = (directory: HeldDirectory, path: string, depth: number): boolean =>
    depth <= depthMax &&
    directory.entries().every(({ name }) => {
      const status = lstatSync(directory.bytesPathOf(name), { bigint: true })
      if (status.dev !== directory.stats.dev) return true
      const below = `${path}/${name.toString('latin1')}`
      if (!note(below, status, false)) return false
      if (!status.isDirectory()) return true
      using inner = directory.open(name)
      return lookIn(inner, below, depth + 1)
    })
  const look = (path: string): boolean => {
    const status = lstatSync(path, { bigint: true })
    const text = Buffer.from(path).toString('latin1')
    if (!note(text, status, status.isDirectory())) return false
    if (!status.isDirectory()) return true
    using directory = HeldDirectory.open(path, 'as they are')
    return lookIn(directory, text, 0)
  }
  try {
    return paths.every(look) ? lines.toSorted().join('\n') : undefined
  } catch {
    // Another user's, another machine's, or changing right now.
    return undefined
  }
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
