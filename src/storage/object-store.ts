import type { Brand } from '../base/brand.ts'
import { InvalidArgumentError } from '../base/errors.ts'

/** The name of an object: parts of letters, digits, `.`, `_` and `-`, joined by `/`. */
export type ObjectKey = Brand<string, 'ObjectKey'>

export interface ObjectInfo {
  readonly key: ObjectKey
  readonly sizeBytes: number
}

/** Objects: bytes under a name that are written once, whole, and never change. */
export interface ObjectStore {
  /**
   * Stores the bytes of `parts`, joined, unless there is an object of that name. Durable when it
   * resolves; until then nothing of it can be seen. Of several at once exactly one wins.
   *
   * @returns true when it was stored, false when the object was there already (then it is durable).
   * @throws {ResourceExhaustedError} when there is no room; nothing is left behind.
   */
  putIfAbsent(
    key: ObjectKey,
    parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<boolean>

  /** As `putIfAbsent`, of the bytes of a local file; takes the file over and removes it. */
  putFileIfAbsent(key: ObjectKey, path: string): Promise<boolean>

  /**
   * The bytes from `offset`, `length` of them or as many as there are. The caller bounds `length`.
   * @throws {NotFoundError} when there is no such object.
   */
  get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array>

  /**
   * Fills `into` with the bytes from `offset`, as far as there are any; resolves to how many.
   * @throws {NotFoundError} when there is no such object.
   */
  getInto(key: ObjectKey, offset: number, into: Uint8Array): Promise<number>

  /** @throws {NotFoundError} when there is no such object. */
  sizeBytes(key: ObjectKey): Promise<number>

  /** The objects whose keys start with `prefix`, in byte order of their keys. */
  list(prefix: string): AsyncIterable<ObjectInfo>

  /**
   * Names of what is kept among the objects and is none, since no key is like that: put there by
   * somebody else.
   */
  foreignNames(): AsyncIterable<string>

  /**
   * What is read next of the object is what is under its name then, even if something else was
   * when it was read last: objects do not change, but people put them back.
   */
  refresh(key: ObjectKey): Promise<void>

  /** Removes the object; nothing happens when there is none. */
  delete(key: ObjectKey): Promise<void>
}

const keyLengthMax = 512
const keyPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/

/** @throws {InvalidArgumentError} for a name that is empty, too long or could leave the store. */
export function parseObjectKey(text: string): ObjectKey {
  if (text.length > keyLengthMax || !keyPattern.test(text)) {
    throw new InvalidArgumentError(
      `not an object key: ${JSON.stringify(text.slice(0, keyLengthMax))}; needed are parts of ` +
        `letters, digits, "-", "_" and "." (not first), joined by "/", at most ${keyLengthMax} in all`,
    )
  }
  return text as ObjectKey
}

/** Undefined for a name that no object can have. */
export function objectKeyOf(name: string): ObjectKey | undefined {
  try {
    return parseObjectKey(name)
  } catch (error) {
    if (error instanceof InvalidArgumentError) return undefined
    throw error
  }
}
