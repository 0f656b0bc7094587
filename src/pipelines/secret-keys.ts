/** A key that secrets are sealed with. */
export interface SecretKey {
  /** Names it where it is not shown: 16 hex digits. */
  readonly id: string
  /** 32 bytes. */
  readonly bytes: Uint8Array
}

/** Where the keys are that open secrets: not in the database. */
export interface SecretKeys {
  /**
   * The key to seal with. With `mayMake` one is made, and durable, when there is none: where nothing
   * is sealed yet.
   *
   * @throws {FailedPreconditionError} when there is none, and none may be made.
   */
  current(options: { readonly mayMake: boolean }): Promise<SecretKey>
  /** Any that opens; undefined when it is not there. */
  find(id: string): Promise<SecretKey | undefined>
  /** Where a key that is missing should be, for people. */
  readonly place: string
}
