import { assert } from '../../base/errors.ts'
import { type FilePath, isWithin, joinPath, pathNames, rootPath } from '../../base/paths.ts'
import type { TreeEntry } from '../../storage/file-trees.ts'

/** The entry in the tree that is edited. */
type LookUp = (path: FilePath) => Promise<TreeEntry | undefined>

interface OpenDirectory {
  readonly path: FilePath
  /** The tree has this directory, so its names have to be looked up there. */
  readonly exists: boolean
}

/** Where in the tree a sorted walk is, so that nothing is looked up below what is not there. */
export class Position {
  readonly #lookUp: LookUp
  #open: OpenDirectory[] = [{ path: rootPath, exists: true }]
  /** The last file of the bulk write itself. */
  lastFile: FilePath | undefined

  constructor(lookUp: LookUp) {
    this.#lookUp = lookUp
  }

  /** Whether this is where the walk is, and the tree has no such directory: all that is put into it is new. */
  isNew(directory: FilePath): boolean {
    const last = this.#last()
    return !last.exists && last.path === directory
  }

  /** Moves to a directory that sorts after the last one. Returns a file that is in the way. */
  async enter(directory: FilePath): Promise<FilePath | undefined> {
    if (this.lastFile !== undefined && isWithin(directory, this.lastFile)) return this.lastFile
    let last = this.#last()
    while (!isWithin(directory, last.path)) {
      this.#open.pop()
      last = this.#last()
    }
    const names = pathNames(directory)
    for (let depth = this.#open.length - 1; depth < names.length; depth += 1) {
      const name = names[depth]
      assert(name !== undefined, 'the names reach down to the directory')
      const entry = await this.lookUp(name)
      const path = joinPath(this.#last().path, name)
      if (entry?.kind === 'file') return path
      this.#open.push({ path, exists: entry !== undefined })
    }
    return undefined
  }

  /** What the tree has under `name` in the current directory. */
  async lookUp(name: string): Promise<TreeEntry | undefined> {
    const directory = this.#last()
    return directory.exists ? this.#lookUp(joinPath(directory.path, name)) : undefined
  }

  #last(): OpenDirectory {
    const last = this.#open.at(-1)
    assert(last !== undefined, 'the root stays open')
    return last
  }
}
