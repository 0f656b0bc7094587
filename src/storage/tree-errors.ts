import { DomainError } from '../base/errors.ts'
import type { FilePath } from '../base/paths.ts'

/** A file cannot be put where a directory is, nor below a file. */
export class FileDirectoryConflictError extends DomainError {
  override readonly name = 'FileDirectoryConflictError'
  readonly kind = 'failed-precondition'
  /** Where the put should have gone. */
  readonly path: FilePath
  /** What is in its way: `path` itself when that is a directory, else a file above it. */
  readonly obstacle: FilePath

  /** `advice` ends the text: what to do where it came up. */
  constructor(
    path: FilePath,
    obstacle: FilePath,
    { advice, ...options }: ErrorOptions & { readonly advice?: string } = {},
  ) {
    const what =
      path === obstacle
        ? `could not put file at "${path}"; a node of type directory is already there`
        : `could not put file at "${path}": attempted to visit "${obstacle}", which is not a directory`
    super(advice === undefined ? what : `${what}: ${advice}`, options)
    this.path = path
    this.obstacle = obstacle
  }
}

/** Nothing is at the path that was to be listed. */
export class NoNodeError extends DomainError {
  override readonly name = 'NoNodeError'
  readonly kind = 'not-found'
  readonly path: FilePath

  constructor(path: FilePath, options?: ErrorOptions) {
    super(`no node at "${path}": nothing is there; list a directory above it`, options)
    this.path = path
  }
}

/** A file is at the path that was to be listed. */
export class NotADirectoryError extends DomainError {
  override readonly name = 'NotADirectoryError'
  readonly kind = 'failed-precondition'
  readonly path: FilePath

  constructor(path: FilePath, options?: ErrorOptions) {
    super(
      `the file at "${path}" is not a directory; inspect-file shows it, and get-file its content`,
      options,
    )
    this.path = path
  }
}
