import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a local directory and those above it that are missing. Level by level, for Node's own
 * recursive `mkdir` never returns below a directory that takes none, as in `/proc`.
 */
export function makeTargetDirectory(path: string): void {
  try {
    mkdirSync(path)
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return
    const parent = dirname(path)
    const isOrphan = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!isOrphan || existsSync(parent)) throw error
    makeTargetDirectory(parent)
    mkdirSync(path)
  }
}
