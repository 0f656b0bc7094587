import type { Glob } from '../../base/globs.ts'
import { NameTable } from '../../legacy/name-table.ts'
import type { OldObjects } from '../../legacy/old-objects.ts'
import { readOldTree } from '../../legacy/old-trees.ts'
import { verified } from './content-import.ts'

const hashBytes = 32
/** Trees whose hashes are kept: those of the input commits of a job, and of the one before. */
const treeCountMax = 8
/** Fewer, where they are large: of one that comes beside these, a job holds as much again. */
const keptBytesMax = 32 * 1024 * 1024

/** The hashes that files and directories had in old trees: tags of datums are made of them. */
export class OldHashes {
  readonly #objects: OldObjects
  readonly #known = new Map<string, NameTable>()

  constructor(objects: OldObjects) {
    this.#objects = objects
  }

  /** By path; of what `glob` matches only. */
  async of(tree: string, glob: Glob): Promise<Pick<NameTable, 'get'>> {
    const key = JSON.stringify([tree, glob.text])
    const known = this.#known.get(key)
    if (known !== undefined) return known
    this.#makeRoom()
    const hashes = new NameTable(hashBytes)
    for await (const node of readOldTree(verified(tree, this.#objects.read(tree)))) {
      if (glob.matches(node.path)) hashes.add(node.path, node.hash)
    }
    this.#known.set(key, hashes)
    return hashes
  }

  #makeRoom(): void {
    let bytes = 0
    for (const { memoryBytes } of this.#known.values()) bytes += memoryBytes
    for (const [key, { memoryBytes }] of this.#known) {
      if (this.#known.size < treeCountMax && bytes <= keptBytesMax) return
      bytes -= memoryBytes
      this.#known.delete(key)
    }
  }
}
