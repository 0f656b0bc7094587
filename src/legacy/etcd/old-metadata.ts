/** A record of an old cluster's metadata store, as it was at the revision that is read. */
export interface StoredRecord {
  readonly key: string
  readonly value: Uint8Array
  /** Orders writes: of the last one to this key. */
  readonly modRevision: number
}

/** The metadata store of an old cluster: read at one revision, and never written. */
export interface OldMetadata extends AsyncDisposable {
  /** For people. */
  readonly name: string
  readonly revision: number
  /** The records whose keys begin with `prefix`, in the order of their last writes. */
  list(prefix: string): Promise<readonly StoredRecord[]>
  /**
   * What keys begin with, for whoever looked for others: `pachyderm_pfs/repos/`, and two parts of keys that
   * no cluster has. Of very many some.
   */
  beginnings(): Promise<readonly string[]>
  /** They are not asked for again: what is held of them may go. */
  forget(prefixes: readonly string[]): void
  /** How many keys begin with each of `prefixes` now, and whether one was written since `revision`. */
  hasChanged(prefixes: readonly string[]): Promise<boolean>
}
