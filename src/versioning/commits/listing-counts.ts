import { parseGlob } from '../../base/globs.ts'
import { type FilePath, joinPath, parseFilePath, rootPath } from '../../base/paths.ts'
import type { DirectoryEntry, TreeEntry } from '../../storage/file-trees.ts'
import { entryTotals } from '../../storage/tree-entries.ts'
import type { DiffOptions, Files, GlobOptions, FileName } from '../files.ts'
import type { VersioningPorts } from '../ports.ts'

/**
 * How many entries a list will have at least, said by the nodes at its top: a list that is too long
 * is refused before it is read. What is missing or malformed counts as nothing; the list says so.
 */
export class ListingCounts {
  readonly #ports: VersioningPorts
  readonly #files: Files

  constructor(ports: VersioningPorts, files: Files) {
    this.#ports = ports
    this.#files = files
  }

  /** Of `Files.list`: exactly as many. */
  async list(file: FileName, signal?: AbortSignal): Promise<number> {
    using lease = this.#ports.leases.beginReading()
    const { tree } = await this.#files.snapshot({ ...file, lease, signal })
    return await this.#namesAt(tree, parseFilePath(file.path))
  }

  /** Of `Files.glob`: where it takes all that is in one directory. */
  async glob({ repo, commit, pattern }: GlobOptions, signal?: AbortSignal): Promise<number> {
    const { components } = parseGlob(pattern)
    if (components.at(-1)?.matchesAll !== true) return 0
    let path = rootPath
    for (const { literal } of components.slice(0, -1)) {
      if (literal === undefined) return 0
      path = joinPath(path, literal)
    }
    using lease = this.#ports.leases.beginReading()
    const { tree } = await this.#files.snapshot({ repo, commit, lease, signal })
    return await this.#namesAt(tree, path)
  }

  /** Of `Files.diff`: by how many one side has more. */
  async diff({ after, before, shallow }: DiffOptions, signal?: AbortSignal): Promise<number> {
    using lease = this.#ports.leases.beginReading()
    const sides = await this.#files.sides({ after, before }, lease, signal)
    const count = async (entry: TreeEntry | undefined): Promise<number> => {
      if (entry === undefined) return 0
      return shallow ? await this.#nameCount(entry) : entryTotals(entry).fileCount
    }
    return Math.abs((await count(sides.after.entry)) - (await count(sides.before?.entry)))
  }

  async #namesAt(tree: DirectoryEntry, path: FilePath): Promise<number> {
    return await this.#nameCount(await this.#ports.trees.get(tree, path))
  }

  async #nameCount(entry: TreeEntry | undefined): Promise<number> {
    return entry?.kind === 'directory' ? await this.#ports.trees.nameCount(entry) : 0
  }
}
