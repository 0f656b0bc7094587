import { lstatSync, readlinkSync, type BigIntStats } from 'node:fs'

import type { HeldTree } from '../../pipelines/held-directories.ts'
import { DatumFilesError, errorCode } from './datum-errors.ts'
import type { Pacer } from './pacer.ts'

/** Where user code sees the slot's directory, and where it is for us. */
export interface PfsPlace {
  readonly pfsDirectory: string
  /** Absolute, without a slash at its end. */
  readonly pfsPath: string
}

/** A file or directory below `/pfs`: its names from there, none of them a symbolic link. */
export interface PfsNode {
  readonly names: readonly string[]
  readonly stats: BigIntStats
}

const linkHopsMax = 40
/** Names on the way, those of links that it leads through included: as many as the longest path may have, and again. */
const stepsMax = 4096
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Follows the symbolic link at `names`, of which no other is one, in the tree of `pfsDirectory`, as it leads inside the sandbox, one name at a time: the
 * host's own resolution would leave the slot's directory.
 *
 * @throws {DatumFilesError} for a link that leads nowhere, in circles, by too many names, or out of `/pfs`.
 * @throws {CancelledError} when the pacer's work is.
 */
export async function followLink(
  place: PfsPlace,
  tree: HeldTree,
  names: readonly string[],
  pacer: Pacer,
): Promise<PfsNode> {
  const shown = shownPath(place, names)
  const pfsNames = place.pfsPath.split('/').slice(1)
  let reached = [...pfsNames, ...names.slice(0, -1)]
  const pending = names.slice(-1)
  let text = ''
  let hops = 0
  let steps = reached.length
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    // Even one step may be long: of a deep way up, little is held.
    if (pacer.isDue) await pacer.rest()
    steps += 1
    if (steps > stepsMax) {
      throw new DatumFilesError(
        `symbolic link ${shown} leads through more than ${stepsMax} names; copy the file instead`,
      )
    }
    if (name === '..') reached.pop()
    if (!isStep(name)) continue
    reached.push(name)
    if (!agree(reached, pfsNames)) throw outside(shown, place, text)
    if (reached.length <= pfsNames.length) continue
    const node = nodeAt(tree, reached.slice(pfsNames.length), shown)
    if (!node.stats.isSymbolicLink()) {
      if (pending.length > 0 && !node.stats.isDirectory()) throw dangling(shown)
      continue
    }
    hops += 1
    if (hops > linkHopsMax) throw new DatumFilesError(`symbolic link ${shown} leads in circles`)
    text = linkText(tree, node.names, shown)
    reached = text.startsWith('/') ? [] : reached.slice(0, -1)
    pending.push(...text.split('/').toReversed())
  }
  if (reached.length < pfsNames.length) throw outside(shown, place, text)
  return nodeAt(tree, reached.slice(pfsNames.length), shown)
}

function isStep(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..'
}

/** True when one is the beginning of the other. */
function agree(left: readonly string[], right: readonly string[]): boolean {
  const shared = Math.min(left.length, right.length)
  return left.slice(0, shared).every((name, index) => name === right[index])
}

function nodeAt(tree: HeldTree, names: readonly string[], shown: string): PfsNode {
  return { names, stats: lookUp(tree, names, shown) }
}

function lookUp(tree: HeldTree, names: readonly string[], shown: string): BigIntStats {
  try {
    return lstatSync(tree.pathOf(names), { bigint: true })
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') throw dangling(shown, error)
    if (code === 'ENAMETOOLONG') {
      throw new DatumFilesError(`${shown} has a path that is too long`, { cause: error })
    }
    throw error
  }
}

function linkText(tree: HeldTree, names: readonly string[], shown: string): string {
  const bytes = readlinkSync(tree.pathOf(names), { encoding: 'buffer' })
  try {
    return strictDecoder.decode(bytes)
  } catch (error) {
    throw new DatumFilesError(`symbolic link ${shown} leads to a name that is not UTF-8`, {
      cause: error,
    })
  }
}

function dangling(shown: string, cause?: unknown): DatumFilesError {
  return new DatumFilesError(`symbolic link ${shown} leads to nothing`, { cause })
}

function outside(shown: string, place: PfsPlace, text: string): DatumFilesError {
  return new DatumFilesError(
    `symbolic link ${shown} leads out of ${place.pfsPath} (to ${text}); copy the file instead`,
  )
}

/** The path as user code knows it. */
export function shownPath(place: PfsPlace, names: readonly string[]): string {
  return [place.pfsPath, ...names].join('/')
}
