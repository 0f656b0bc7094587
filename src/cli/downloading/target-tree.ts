import { closeSync, lstatSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { localError, PlaceTakenError, reasonNotStored } from './local-errors.ts'
import { checkLocalName, NameClaims, type NameForms } from './local-names.ts'
import { Staging, stagingName } from './staging.ts'
import { makeTargetDirectory } from './target-directory.ts'
import { UnfinishedFile, writeWhole } from './unfinished-file.ts'

/** What is told of things that could not be stored: so many, and how many others there are. */
const toldMax = 10

interface Level {
  readonly name: string
  readonly local: string
}

/** Something that could not be stored where others could. */
export interface NotStored {
  readonly path: string
  readonly reason: string
}

/**
 * A local directory in which a tree is stored, from paths that a server sends: `a/b`, or empty for the
 * directory itself. Files get their names when they are whole, and nothing is written outside,
 * whatever the paths are and whatever links are in the directory already.
 *
 * What cannot be stored, for its name or for what is in its place, is noted and passed over.
 */
export class TargetTree implements Disposable {
  readonly directory: string
  readonly staging: Staging
  readonly #claims: NameClaims
  readonly #notStored: NotStored[] = []
  #notStoredCount = 0
  /** The directories that lead to the last path. */
  #levels: Level[] = []
  /** A directory that could not be made, with a slash at its end. */
  #refused: string | undefined

  private constructor(directory: string, staging: Staging, forms: NameForms) {
    this.directory = directory
    this.staging = staging
    this.#claims = new NameClaims(forms)
  }

  /**
   * Makes the directory, and those above it, where they are not there. `forms` is found out when it is
   * not given.
   */
  static open(directory: string, forms?: NameForms): TargetTree {
    try {
      makeTargetDirectory(directory)
      const staging = new Staging(directory)
      return new TargetTree(directory, staging, forms ?? staging.nameForms())
    } catch (error) {
      throw localError(error, directory)
    }
  }

  /** The first few of what could not be stored. */
  get notStored(): readonly NotStored[] {
    return this.#notStored
  }

  get notStoredCount(): number {
    return this.#notStoredCount
  }

  /** Takes the name of a path that the commit has. False when it can have no place here. */
  claim(path: string): boolean {
    return this.#attempt(path, () => {
      const names = namesOf(path)
      // Before a directory is made for it.
      for (const name of names) checkLocalName(name)
      if (names[0] === stagingName) {
        throw new PlaceTakenError('pachctl keeps unfinished files under this name')
      }
      this.#claims.claim(names)
    })
  }

  /** Makes a directory. False when it cannot be made. */
  makeDirectory(path: string): boolean {
    return this.#attempt(path, () => this.#enter(namesOf(path)))
  }

  /** Stores a whole file. False when it cannot be stored. */
  store(path: string, content: readonly Uint8Array[]): boolean {
    return this.#attempt(path, () => {
      const target = this.#place(path)
      const unfinished = this.staging.newPath()
      const descriptor = openSync(unfinished, 'wx')
      try {
        writeWhole(descriptor, content)
      } catch (error) {
        rmSync(unfinished, { force: true })
        throw error
      } finally {
        closeSync(descriptor)
      }
      try {
        renameSync(unfinished, target)
      } catch (error) {
        rmSync(unfinished, { force: true })
        throw error
      }
    })
  }

  /** Begins a file that comes in pieces. Undefined when it cannot be stored. */
  begin(path: string, hash?: string): UnfinishedFile | undefined {
    return this.#beginWith(path, (target) => {
      const { staging } = this
      return UnfinishedFile.create(
        hash === undefined ? staging.newPath() : staging.pathOf(hash),
        target,
      )
    })
  }

  /** Goes on with an unfinished file of which the first `sizeBytes` are known to be right. */
  resume(path: string, unfinished: string, sizeBytes: number): UnfinishedFile | undefined {
    return this.#beginWith(path, (target) => UnfinishedFile.resume(unfinished, target, sizeBytes))
  }

  /** Adds to an unfinished file. */
  append(path: string, file: UnfinishedFile, content: readonly Uint8Array[]): void {
    this.#attempt(path, () => file.write(content))
  }

  /** Gives a file its name. False when it cannot be stored. */
  finish(path: string, file: UnfinishedFile): boolean {
    return this.#attempt(path, () => file.finish())
  }

  /**
   * Where a file is, or would be; undefined when no file of the commit can be there. Makes the
   * directories that lead to it.
   */
  placeOf(path: string): string | undefined {
    let place: string | undefined
    this.#attempt(path, () => {
      place = this.#place(path)
    })
    return place
  }

  [Symbol.dispose](): void {
    this.staging.close()
  }

  #beginWith(path: string, open: (target: string) => UnfinishedFile): UnfinishedFile | undefined {
    let file: UnfinishedFile | undefined
    this.#attempt(path, () => {
      const target = this.#place(path)
      // Told now, rather than when all of it has come.
      if (lstatSync(target, { throwIfNoEntry: false })?.isDirectory() === true) {
        throw new PlaceTakenError('a directory is in its place')
      }
      file = open(target)
    })
    return file
  }

  #place(path: string): string {
    const names = namesOf(path)
    const name = names.pop()
    const parent = this.#enter(names)
    if (name === undefined) return parent
    checkLocalName(name)
    return join(parent, name)
  }

  /** The directory along `names`, each made, or found to be no link. */
  #enter(names: readonly string[]): string {
    let depth = 0
    while (depth < names.length && this.#levels[depth]?.name === names[depth]) depth += 1
    this.#levels.length = Math.min(this.#levels.length, depth)
    for (; depth < names.length; depth += 1) {
      const name = names[depth] ?? ''
      checkLocalName(name)
      const local = join(this.#levels[depth - 1]?.local ?? this.directory, name)
      requireDirectory(local)
      this.#levels.push({ name, local })
    }
    return this.#levels.at(-1)?.local ?? this.directory
  }

  /** @throws whatever is wrong with more than this one path. */
  #attempt(path: string, work: () => void): boolean {
    if (this.#refused !== undefined && path.startsWith(this.#refused)) {
      this.#notStoredCount += 1
      return false
    }
    try {
      work()
      return true
    } catch (error) {
      const reason = reasonNotStored(error)
      if (reason === undefined) throw localError(error, this.directory)
      this.#note(path, reason)
      return false
    }
  }

  #note(path: string, reason: string): void {
    this.#notStoredCount += 1
    if (this.#notStored.length < toldMax) this.#notStored.push({ path, reason })
    this.#refused = `${path}/`
  }
}

function namesOf(path: string): string[] {
  return path === '' ? [] : path.split('/')
}

/** @throws {PlaceTakenError} for what is there and is no directory, a link to one included. */
function requireDirectory(local: string): void {
  try {
    mkdirSync(local)
  } catch (error) {
    const there = lstatSync(local, { throwIfNoEntry: false })
    if (there === undefined) throw error
    if (there.isSymbolicLink()) {
      throw new PlaceTakenError('a link is in the place of the directory, and may lead elsewhere', {
        cause: error,
      })
    }
    if (!there.isDirectory()) {
      throw new PlaceTakenError('a file is in the place of the directory', { cause: error })
    }
  }
}
