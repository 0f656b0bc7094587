import { NotFoundError } from '../base/errors.ts'
import type { Database } from '../database/database.ts'
import type { TreeRoot } from '../storage/file-trees.ts'
import type { Leases } from '../storage/leases.ts'
import type { CommitTree } from './commit-records.ts'

type TreeRow = {
  readonly root: TreeRoot
  readonly size_bytes: number
  readonly file_count: number
}

/** Trees by the name that `CommitInfo.tree` gives them. */
export class StoredTrees {
  readonly #database: Database
  readonly #leases: Leases

  constructor(ports: { readonly database: Database; readonly leases: Leases }) {
    this.#database = ports.database
    this.#leases = ports.leases
  }

  /**
   * Runs `use` with the tree that has `root`: one of a commit here, so that everything it refers to
   * is stored, and stays so until `use` has ended, whatever becomes of that commit.
   *
   * @throws {NotFoundError}
   */
  async with<Result>(root: string, use: (tree: CommitTree) => Promise<Result>): Promise<Result> {
    using lease = this.#leases.beginReading()
    const tree = await lease.acquire(async () => {
      const found = await this.#find(root)
      lease.hold({ kind: 'tree', root: found.root })
      return found
    })
    return await use(tree)
  }

  async #find(root: string): Promise<CommitTree> {
    const row = await this.#database.read((tx) =>
      tx.get<TreeRow>(
        'SELECT root, size_bytes, file_count FROM commits WHERE root = ? LIMIT 1',
        root,
      ),
    )
    if (row === undefined) {
      throw new NotFoundError(
        `tree ${root} not found: give the tree of a finished commit of this server, as inspect-commit says it`,
      )
    }
    return { root: row.root, sizeBytes: row.size_bytes, fileCount: row.file_count }
  }
}
