import { OperationError } from '../errors.ts'

const draftsMax = 10_000

/** Directories of open commits that were made here, and may have nothing in them yet. */
export class DraftDirectories {
  /** By commit id. */
  readonly #paths = new Map<string, Set<string>>()
  #count = 0

  has(commitId: string, path: string): boolean {
    return this.#paths.get(commitId)?.has(path) ?? false
  }

  /** @throws {OperationError} ENOSPC. */
  add(commitId: string, path: string): void {
    if (this.has(commitId, path)) return
    if (this.#count >= draftsMax) {
      throw new OperationError('ENOSPC', `at most ${draftsMax} directories may be empty`)
    }
    const paths = this.#paths.get(commitId) ?? new Set()
    this.#paths.set(commitId, paths.add(path))
    this.#count += 1
  }

  delete(commitId: string, path: string): void {
    const paths = this.#paths.get(commitId)
    if (paths?.delete(path) === true) this.#count -= 1
    if (paths?.size === 0) this.#paths.delete(commitId)
  }

  /** Names of those directly below `path`. */
  below(commitId: string, path: string): readonly string[] {
    const names: string[] = []
    for (const draft of this.#paths.get(commitId) ?? []) {
      const at = draft.lastIndexOf('/')
      if (draft.slice(0, at) === path) names.push(draft.slice(at + 1))
    }
    return names
  }

  /** A directory has another name now, and all below it. */
  move(
    commitId: string,
    from: string,
    to: { readonly commitId: string; readonly path: string },
  ): void {
    for (const draft of this.#paths.get(commitId) ?? []) {
      if (draft !== from && !draft.startsWith(`${from}/`)) continue
      this.delete(commitId, draft)
      this.add(to.commitId, to.path + draft.slice(from.length))
    }
  }

  /** The commit is finished: what was empty is not in it. */
  finished(commitId: string): void {
    this.#count -= this.#paths.get(commitId)?.size ?? 0
    this.#paths.delete(commitId)
  }
}
