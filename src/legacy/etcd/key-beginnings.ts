/** A deployment chooses what is before them. */
const known = /^.+?\/(?:repos|commits|branches|pipelines|jobs)\//s
const other = /^[^/]*\/?[^/]*\/?/
/** Of each of the two sorts. */
const countMax = 1000

/**
 * What a key begins with, up to the part that says what of a cluster is there, as in `pachyderm_pfs/repos/`;
 * of another key, up to its second slash.
 */
export function beginningOf(key: string): string {
  return (known.exec(key) ?? other.exec(key))?.[0] ?? key
}

/** The beginnings of keys, each once: the first 1000 of clusters, and of other keys. */
export class KeyBeginnings {
  readonly #ofClusters = new Set<string>()
  readonly #others = new Set<string>()

  add(key: string): void {
    const beginning = beginningOf(key)
    const set = known.test(beginning) ? this.#ofClusters : this.#others
    if (set.size < countMax) set.add(beginning)
  }

  get all(): readonly string[] {
    return [...this.#ofClusters, ...this.#others]
  }
}
