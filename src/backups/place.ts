/** An object of a backup. */
export interface PlacedObject {
  readonly key: string
  readonly sizeBytes: number
}

/**
 * Where a backup is kept: objects of some MiB under names, that are written once. All throw domain errors in
 * words that name the place, and never a secret.
 */
export interface BackupPlace extends AsyncDisposable {
  /** For people. */
  readonly name: string
  /** The objects whose keys begin with `prefix`, in any order. */
  list(prefix: string): AsyncIterable<PlacedObject>
  /** All of an object. @throws {NotFoundError} */
  read(key: string): Promise<Uint8Array>
  /** Durable when it resolves; before that, nothing of it can be seen. One that is there stays. */
  write(key: string, bytes: Uint8Array): Promise<void>
  /** Nothing happens when there is none. */
  remove(key: string): Promise<void>
}
