import type { Glob } from '../base/globs.ts'
import type { OldObjects } from '../legacy/old-objects.ts'
import { readOldTree } from '../legacy/old-trees.ts'
import { verified } from './content-import.ts'

/** Trees whose hashes are kept: those of the input commits of a job, and of the one before. */
const treeCountMax = 8

/** The hashes that files and directories had in old trees: tags of datums are made of them. */
export class OldHashes {
  readonly #objects: OldObjects
  readonly #known = new Map<string, ReadonlyMap<string, Uint8Array>>()

  constructor(objects: OldObjects) {
    this.#objects = objects
  }

  /** By path; of what one of `globs` matches only. */
  async of(tree: string, globs: readonly Glob[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const key = JSON.stringify([tree, ...globs.map(({ text }) => text)])
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const hashes = new Map<string, Uint8Array>()
    for await (const node of readOldTree(verified(tree, this.#objects.read(tree)))) {
      if (globs.some((glob) => glob.matches(node.path))) hashes.set(node.path, node.hash)
    }
    this.#known.set(key, hashes)
    const [oldest] = this.#known.keys()
    if (this.#known.size > treeCountMax && oldest !== undefined) this.#known.delete(oldest)
    return hashes
  }
}
