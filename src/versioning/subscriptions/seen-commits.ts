import type { CommitId } from '../../base/names.ts'

const seenMax = 100_000

/**
 * The commits that a subscriber has been given, so that a branch that moves back gives none twice.
 * Remembers the last 100,000 of them.
 */
export class SeenCommits {
  readonly #ids = new Set<CommitId>()

  has(id: CommitId): boolean {
    return this.#ids.has(id)
  }

  add(id: CommitId): void {
    this.#ids.delete(id)
    this.#ids.add(id)
    for (const oldest of this.#ids) {
      if (this.#ids.size <= seenMax) break
      this.#ids.delete(oldest)
    }
  }
}
