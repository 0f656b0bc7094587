import type { ByteStream } from '../base/bytes.ts'
import { NotFoundError } from '../base/errors.ts'

/** An object, or a name for one, that an old cluster refers to and does not have. */
export class OldObjectNotFoundError extends NotFoundError {
  override readonly name = 'OldObjectNotFoundError'
}

/** The contents of an old cluster. Nobody has checked yet that they are what their names say. */
export interface OldObjects extends AsyncDisposable {
  /** For people. */
  readonly name: string
  /** The bytes of an object. @throws {OldObjectNotFoundError} at the latest at the first pull. */
  read(hash: string): ByteStream
  /** How many bytes it has. @throws {OldObjectNotFoundError} */
  sizeBytes(hash: string): Promise<number>
  /** The object that a tag names. */
  findTag(name: string): Promise<string | undefined>
  /** Tells the tags that begin with `prefix`, some perhaps twice; false where that cannot be asked for. */
  listTags(prefix: string, onTag: (name: string) => void): Promise<boolean>
}

const hashPattern = /^[0-9a-f]{128}$/

export function isObjectHash(text: string): boolean {
  return hashPattern.test(text)
}

/** @throws {OldObjectNotFoundError} for what names no object, and so may lead anywhere. */
export function requireObjectHash(hash: string): void {
  if (!isObjectHash(hash)) {
    throw new OldObjectNotFoundError(`${JSON.stringify(hash)} is no name of an object`)
  }
}

/** Tags that can be the name of a file. */
export function isPlainTag(name: string): boolean {
  return /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}$/.test(name)
}
