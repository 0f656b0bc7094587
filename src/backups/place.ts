/** An object of a backup. */
export interface PlacedObject {
  readonly key: string
  readonly sizeBytes: number
}

/** Objects on their way to a place at once, of up to 40 MiB each. */
export const writesMax = 3

/**
 * Where a backup is kept: objects of some MiB under names, that are written once. All throw domain errors in
 * words that name the place, and never a secret.
 */
export interface BackupPlace extends AsyncDisposable {
  /** For people. */
  readonly name: string
  /** How many may be on their way to it now: fewer while it does not keep up. Missing: as many as usual. */
  readonly writesMax?: number
  /** The objects whose keys begin with `prefix`, in any order. */
  list(prefix: string): AsyncIterable<PlacedObject>
  /** All of an object. @throws {NotFoundError} */
  read(key: string): Promise<Uint8Array>
  /** Durable when it resolves; before that, nothing of it can be seen. One that is there stays. */
  write(key: string, bytes: Uint8Array): Promise<void>
  /** As `write`; false when one is there, which stays. Of several at once one wins. */
  create(key: string, bytes: Uint8Array): Promise<boolean>
  /** As `write`, but in the place of one that is there, which is damaged. */
  replace(key: string, bytes: Uint8Array): Promise<void>
  /** Nothing happens when there is none. */
  remove(key: string): Promise<void>
}
