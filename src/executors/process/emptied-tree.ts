import { type BigIntStats, lstatSync, readdirSync, unlinkSync } from 'node:fs'

import type { Instant } from '../../base/clock.ts'
import type { PlacedInputs } from '../../pipelines/executor.ts'
import { isUnchanged } from './emptied-directory.ts'
import { emptyAllBut, emptyDirectory, restore } from './emptying.ts'
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
    restore(this.path, this.#mode)
    const pass: Pass = { ranFrom, directories: new Set(), seen: new Map(), removedCount: 0 }
    const isDone = this.#tryEmpty(pass)
    this.#directories = isDone ? pass.directories : this.#leastDirectories()
    this.#seen = isDone ? pass.seen : new Map()
    if (isDone) return
    // What is left of many is many: a program removes them, and nobody waits.
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
      return pass.directories.size <= keptMax && this.#emptyBelow(`/${this.#kept}`, pass)
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
      return this.#emptyBelow('', pass)
    } catch {
      // Another way says what is wrong, if it still is: a name that is not UTF-8 has no text.
      return false
    }
  }

  /** False when not everything may stay that is no file, or there is too much. */
  #emptyBelow(below: string, pass: Pass): boolean {
    const stats = lstatSync(this.path + below, { bigint: true })
    if (!isPlain(stats)) return false
    const before = this.#seen.get(below)
    const names = isUnchanged(stats.ctimeNs, before?.changedAt, pass.ranFrom)
      ? before?.names
      : this.#removeFiles(below, pass)
    if (names === undefined) return false
    // With files removed, it changes next time, too.
    pass.seen.set(below, { changedAt: stats.ctimeNs, names })
    return names.every((name) => {
      const path = `${below}/${name}`
      pass.directories.add(path)
      return pass.directories.size <= keptMax && this.#emptyBelow(path, pass)
    })
  }

  /** The names of the directories among what is there; undefined when there is too much. */
  #removeFiles(below: string, pass: Pass): readonly string[] | undefined {
    const directory = this.path + below
    const names: string[] = []
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (entry.isDirectory()) names.push(entry.name)
      else {
        pass.removedCount += 1
        if (pass.removedCount > removedMax) return undefined
        unlinkSync(`${directory}/${entry.name}`)
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
