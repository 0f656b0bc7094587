import { lstatSync, readdirSync } from 'node:fs'

/** More changed paths than this are as good as too many to look at. */
const entriesMax = 2000

/**
 * What a container has changed of its image, as a text that stays the same as long as nothing more
 * is changed: from the directory in which its file system keeps that. Undefined when it cannot be
 * read, or is too much.
 *
 * A file that is changed, removed, or given other rights for the first time gets an entry there. One
 * that is there already gets another change time.
 */
export function upperState(upperDirectory: string): string | undefined {
  const lines: string[] = []
  const options = { withFileTypes: true, encoding: 'buffer' } as const
  // Names as they are, whatever their encoding: a character for each byte.
  const walk = (directory: string): boolean => {
    for (const entry of readdirSync(Buffer.from(directory, 'latin1'), options)) {
      const path = `${directory}/${entry.name.toString('latin1')}`
      const { ctimeNs, ino } = lstatSync(Buffer.from(path, 'latin1'), { bigint: true })
      lines.push(`${path} ${ino} ${ctimeNs}`)
      if (lines.length > entriesMax) return false
      if (entry.isDirectory() && !walk(path)) return false
    }
    return true
  }
  try {
    return walk(Buffer.from(upperDirectory).toString('latin1'))
      ? lines.toSorted().join('\n')
      : undefined
  } catch {
    // Another user's, another machine's, or changing right now.
    return undefined
  }
}

/** A path that is in the second text and not in the first, below the directory; for people. */
export function changedPath(
  before: string,
  after: string,
  upperDirectory: string,
): string | undefined {
  const known = new Set(before.split('\n'))
  const changed = after.split('\n').filter((line) => !known.has(line))
  // The longest says most: the directories on the way to it have changed, too.
  const [line] = changed.toSorted((left, right) => right.length - left.length)
  const path = line?.split(' ').slice(0, -2).join(' ')
  return path?.startsWith(upperDirectory) === true ? path.slice(upperDirectory.length) : path
}
