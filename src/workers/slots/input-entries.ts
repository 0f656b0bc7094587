import { lstatSync } from 'node:fs'

import type { FilePath } from '../../base/paths.ts'
import { isWithin, rootPath } from '../../base/paths.ts'
import type { HeldTree } from '../../pipelines/held-directories.ts'
import type { FileTrees, TreeEntry } from '../../storage/file-trees.ts'
import { outputName } from './input-files.ts'
import type { OutputSource } from './output-source.ts'
import type { Pacer } from './pacer.ts'
import type { PfsNode } from './pfs-links.ts'

/** Of a directory of the datum, so many entries are listed, and put in order, at once, if it has many more. */
export const listedCount = 1000

interface InputEntriesPorts {
  readonly trees: FileTrees
  readonly pacer: Pacer
}

/**
 * The entry that a file or directory below `/pfs/<input>`, or a file in `/pfs/out`, was written from, unless user code has
 * touched it. When in doubt, as within one tick of the file system's clock, undefined: it is then
 * read, and storing it again finds the same content.
 */
export async function inputEntry(
  ports: InputEntriesPorts,
  source: OutputSource,
  tree: HeldTree,
  node: PfsNode,
): Promise<TreeEntry | undefined> {
  const [input, ...names] = node.names
  const path = names.map((name) => `/${name}`).join('') as FilePath
  const member =
    input === outputName
      ? source.formerOutput && { path: rootPath, entry: source.formerOutput }
      : source.members.find((each) => each.input === input && isWithin(path, each.path))
  if (member === undefined) return undefined
  // What comes out of a pipe is the server's, as long as it is one.
  const isPipe = 'isLazy' in member && member.isLazy && node.stats.isFIFO()
  const isSame = (source.isInputReadOnly && input !== outputName) || isPipe
  if (!isSame && !(await isUntouched(ports, source, tree, node))) return undefined
  const relative = path.slice(member.path.length) as FilePath
  if (relative === '') return member.entry
  return member.entry.kind === 'directory'
    ? await ports.trees.get(member.entry, relative)
    : undefined
}

/** Every change of a file or directory, even of its rights, moves its change time. */
async function isUntouched(
  ports: InputEntriesPorts,
  source: OutputSource,
  tree: HeldTree,
  { names, stats }: PfsNode,
): Promise<boolean> {
  if (source.writtenAt === undefined || stats.ctimeNs >= source.writtenAt) return false
  if (ports.pacer.isDue) await ports.pacer.rest()
  if (!stats.isDirectory()) return stats.isFile()
  for (const piece of tree.directory(names).pieces(listedCount)) {
    for (const entry of piece) {
      const below = [...names, entry.name.toString()]
      const node = { names: below, stats: lstatSync(tree.pathOf(below), { bigint: true }) }
      if (!(await isUntouched(ports, source, tree, node))) return false
    }
  }
  return true
}
