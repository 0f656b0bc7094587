import { renameSync, rmdirSync, unlinkSync } from 'node:fs'

import { FailedPreconditionError } from '../../base/errors.ts'
import type { HeldDirectory } from '../../pipelines/held-directories.ts'

/** Deeper ones are moved up first: each level takes a descriptor as long as one below it is emptied. */
const depthMax = 32
/** As many find something left of what others make meanwhile; those are to give up sooner. */
const passCountMax = 1000
/** As many move up what is deep, which is one for each so many levels: others may be making it deeper. */
const deepPassCountMax = 100_000
const movedName = '.moved'
/** Of a directory, so many are listed in a pass, and the others in the next. */
const listedUsually = 65_536
/** What is there has become something else, or has gone, or more has come. */
const changedCodes = new Set<unknown>([
  'ENOENT',
  'ENOTDIR',
  'EISDIR',
  'ELOOP',
  'EEXIST',
  'ENOTEMPTY',
])

/** `many`: more than should be removed in this way. `changing`: others make files as fast as they are removed. */
export type RemovalEnd = 'empty' | 'many' | 'changing'

/**
 * Removes what is in a directory, but for one directory that is called `kept`, whatever user code has put there, and
 * never anything elsewhere, though others may be changing the tree: it is gone down by held directories.
 *
 * @throws what the file system said, when something could not be removed.
 */
export function removeIn(
  directory: HeldDirectory,
  kept?: string,
  countMax: number = Number.POSITIVE_INFINITY,
  listedMax: number = listedUsually,
): RemovalEnd {
  const removal = new Removal(directory, { kept, countMax, listedMax })
  const counts = { again: 0, deeper: 0 }
  while (counts.again < passCountMax && counts.deeper < deepPassCountMax) {
    const end = removal.pass()
    if (end !== 'again' && end !== 'deeper') return end
    counts[end] += 1
  }
  return 'changing'
}

class Removal {
  readonly #root: HeldDirectory
  readonly #kept: Buffer | undefined
  readonly #listedMax: number
  /** So many more may be looked at. */
  #leftCount: number
  #removedCount = 0
  #remainingCount = 0
  #movedCount = 0
  #failures: unknown[] = []

  constructor(
    root: HeldDirectory,
    {
      kept,
      countMax,
      listedMax,
    }: {
      readonly kept: string | undefined
      readonly countMax: number
      readonly listedMax: number
    },
  ) {
    this.#root = root
    this.#listedMax = listedMax
    this.#kept = kept === undefined ? undefined : Buffer.from(kept)
    this.#leftCount = countMax
  }

  /** Goes through everything once, but for what is deeper, which it moves up. */
  pass(): RemovalEnd | 'again' | 'deeper' {
    const movedBefore = this.#movedCount
    this.#removedCount = 0
    this.#remainingCount = 0
    this.#failures = []
    if (!this.#removeIn(this.#root, 0)) return 'many'
    if (this.#remainingCount === 0) return 'empty'
    if (this.#removedCount === 0 && this.#failures.length > 0) throw this.#failures[0]
    return this.#movedCount > movedBefore ? 'deeper' : 'again'
  }

  /** False when there is too much, of which no more is listed than shows it. */
  #removeIn(directory: HeldDirectory, depth: number): boolean {
    const enough = this.#leftCount + (this.#kept === undefined ? 1 : 2)
    const entries = directory.entries(Math.min(enough, this.#listedMax))
    // There may be more.
    if (entries.length === this.#listedMax) this.#remainingCount += 1
    return entries.every((entry) => {
      const isDirectory = entry.isDirectory()
      if (isDirectory && depth === 0 && this.#kept?.equals(entry.name) === true) return true
      this.#leftCount -= 1
      if (this.#leftCount < 0) return false
      if (isDirectory) return this.#removeDirectory(directory, entry.name, depth + 1)
      this.#remove(() => unlinkSync(directory.bytesPathOf(entry.name)))
      return true
    })
  }

  #removeDirectory(parent: HeldDirectory, name: Buffer, depth: number): boolean {
    let isDone = true
    this.#remove(() => {
      using directory = parent.open(name)
      requireSameFileSystem(directory, this.#root, name)
      if (depth > depthMax) this.#moveUp(parent, name)
      else {
        isDone = this.#removeIn(directory, depth)
        if (isDone) rmdirSync(parent.bytesPathOf(name))
      }
    })
    return isDone
  }

  /** To where the next pass finds it. */
  #moveUp(parent: HeldDirectory, name: Buffer): void {
    this.#movedCount += 1
    renameSync(parent.bytesPathOf(name), this.#root.pathOf(`${movedName}-${this.#movedCount}`))
    this.#remainingCount += 1
  }

  #remove(call: () => void): void {
    try {
      call()
      this.#removedCount += 1
    } catch (error) {
      this.#remainingCount += 1
      if (!(error instanceof Error && 'code' in error && changedCodes.has(error.code))) {
        this.#failures.push(error)
      }
    }
  }
}

/** Whatever somebody has mounted there is nobody's to remove. */
function requireSameFileSystem(directory: HeldDirectory, root: HeldDirectory, name: Buffer): void {
  if (directory.stats.dev === root.stats.dev) return
  throw new FailedPreconditionError(
    `another file system is mounted at ${JSON.stringify(name.toString())} in a directory of user code's: unmount it`,
  )
}
