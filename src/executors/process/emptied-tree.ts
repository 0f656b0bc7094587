import { type BigIntStats, lstatSync, unlinkSync } from 'node:fs'

import type { Instant } from '../../base/clock.ts'
import type { PlacedInputs } from '../../pipelines/executor.ts'
import { HeldDirectory } from '../../pipelines/held-directories.ts'
import { isUnchanged } from './emptied-directory.ts'
import { emptyAllBut, emptyDirectory } from './emptying.ts'
import { removeIn } from './removal.ts'
import type { SpareFiles } from './spare-files.ts'

/** Directories that are kept for the next datum: those on the way to its files are often the same. */
const keptMax = 16
/** More than so many files are removed in another way. */
const removedMax = 200

const owner = process.geteuid?.()
const ownersBits = 0o7700n
const ownersAll = 0o700n

/** What is known of a directory that had no files. */
interface Seen {
  readonly changedAt: bigint
  /** Of the directories in it. */
  readonly names: readonly string[]
}

interface Pass {
  readonly ranFrom: Instant
  readonly directories: Set<string>
  readonly seen: Map<string, Seen>
  removedCount: number
}

/**
 * A directory that is emptied after each datum, but for a few plain directories, in which no file is
 * left: making and removing them for each datum is slow while somebody waits for the same disk.
 */
export class EmptiedTree {
  readonly path: string
  readonly #mode: number
  readonly #kept: string | undefined
  readonly #spares: SpareFiles | undefined
  #directories: ReadonlySet<string>
  #seen: ReadonlyMap<string, Seen> = new Map()

  /**
   * It exists, and is empty but for one directory, called `kept`, if that is given, which is never
   * removed here: it may be mounted elsewhere. Of what was placed, `spares` gets what it may keep.
   */
  constructor(path: string, mode: number, kept?: string, spares?: SpareFiles) {
    this.path = path
    this.#mode = mode
    this.#kept = kept
    this.#spares = spares
    this.#directories = this.#leastDirectories()
  }

  /** Those that are left, each as a path below this one that begins with a slash. */
  get directories(): ReadonlySet<string> {
    return this.#directories
  }

  /** User code has run since `ranFrom`, and does not any more. */
  async empty(ranFrom: Instant): Promise<void> {
    const pass: Pass = { ranFrom, directories: new Set(), seen: new Map(), removedCount: 0 }
    const isDone = this.#tryEmpty(pass)
    this.#directories = isDone ? pass.directories : this.#leastDirectories()
    this.#seen = isDone ? pass.seen : new Map()
    if (isDone) return
    // What is left of many is many: a thread removes them, and nobody waits.
    const hereMax = pass.removedCount > removedMax ? 0 : undefined
    if (this.#kept === undefined) await emptyDirectory(this.path, this.#mode, hereMax)
    else await emptyAllBut(this.path, this.#kept, this.#mode, hereMax)
  }

  /**
   * The same, when user code could change nothing but what is in the kept directory, and besides that
   * there is what was placed. Only that is looked for.
   */
  async emptyPlaced(ranFrom: Instant, placed: PlacedInputs): Promise<void> {
    const pass: Pass = {
      ranFrom,
      directories: new Set(placed.directories),
      seen: new Map(),
      removedCount: 0,
    }
    if (!this.#tryEmptyPlaced(placed, pass)) return await this.empty(ranFrom)
    this.#directories = pass.directories
    this.#seen = pass.seen
  }

  /** Whether the kept directory was empty, and nothing has come since, as its change time tells. */
  isKeptUntouched(ranFrom: Instant): boolean {
    const below = `/${this.#kept}`
    const before = this.#seen.get(below)
    if (before === undefined || before.names.length > 0) return false
    const stats = lstatSync(this.path + below, { bigint: true, throwIfNoEntry: false })
    return stats !== undefined && isUnchanged(stats.ctimeNs, before.changedAt, ranFrom)
  }

  #tryEmptyPlaced({ copies, otherFiles }: PlacedInputs, pass: Pass): boolean {
    try {
      for (const file of copies) this.#spare(this.path + file)
      for (const file of otherFiles) unlinkSync(this.path + file)
      if (pass.directories.size > keptMax) return false
      const below = `/${this.#kept}`
      const stats = lstatSync(this.path + below, { bigint: true })
      return this.#emptyAt(stats, () => HeldDirectory.open(this.path + below), below, pass)
    } catch {
      // As above.
      return false
    }
  }

  #spare(file: string): void {
    if (this.#spares === undefined) unlinkSync(file)
    else this.#spares.keep(file)
  }

  #leastDirectories(): ReadonlySet<string> {
    return new Set(this.#kept === undefined ? [] : [`/${this.#kept}`])
  }

  #tryEmpty(pass: Pass): boolean {
    try {
      using root = HeldDirectory.open(this.path)
      root.restore(this.#mode)
      return this.#emptyHeld(root, '', pass)
    } catch {
      // Another way says what is wrong, if it still is.
      return false
    }
  }

  /** False when not everything may stay that is no file, or there is too much. */
  #emptyAt(stats: BigIntStats, open: () => HeldDirectory, below: string, pass: Pass): boolean {
    if (!isPlain(stats)) return false
    const before = this.#seen.get(below)
    if (before?.names.length === 0 && isUnchanged(stats.ctimeNs, before.changedAt, pass.ranFrom)) {
      pass.seen.set(below, before)
      return true
    }
    using directory = open()
    return this.#emptyHeld(directory, below, pass)
  }

  #emptyHeld(directory: HeldDirectory, below: string, pass: Pass): boolean {
    const { stats } = directory
    if (!isPlain(stats)) return false
    const before = this.#seen.get(below)
    const names = isUnchanged(stats.ctimeNs, before?.changedAt, pass.ranFrom)
      ? before?.names
      : this.#removeFiles(directory, below, pass)
    if (names === undefined) return false
    // With files removed, it changes next time, too.
    pass.seen.set(below, { changedAt: stats.ctimeNs, names })
    return names.every((name) => {
      const path = `${below}/${name}`
      pass.directories.add(path)
      if (pass.directories.size > keptMax) return false
      const found = lstatSync(directory.pathOf(name), { bigint: true })
      return this.#emptyAt(found, () => directory.open(name), path, pass)
    })
  }

  /** The names of the directories among what is there; undefined when there is too much. */
  #removeFiles(directory: HeldDirectory, below: string, pass: Pass): readonly string[] | undefined {
    // The server makes none there.
    if (below === `/${this.#kept}`) {
      const end = removeIn(directory, undefined, removedMax - pass.removedCount)
      if (end !== 'empty') pass.removedCount = removedMax + 1
      return end === 'empty' ? [] : undefined
    }
    const names: string[] = []
    for (const entry of directory.entries(removedMax + keptMax + 1)) {
      if (entry.isDirectory()) names.push(entry.name.toString())
      else {
        pass.removedCount += 1
        if (pass.removedCount > removedMax) return undefined
        unlinkSync(directory.bytesPathOf(entry.name))
      }
    }
    return names
  }
}

/** True for a directory as the server makes it. */
function isPlain(stats: BigIntStats): boolean {
  return (
    stats.isDirectory() && Number(stats.uid) === owner && (stats.mode & ownersBits) === ownersAll
  )
}
