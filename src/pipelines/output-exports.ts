import type { CommitTree } from '../versioning/commit-records.ts'

/** How far an export is, in files. */
export interface ExportProgress {
  /** Those that are there now. */
  readonly fileCount: number
  /** Of these, those that were there before. */
  readonly sameFileCount: number
}

/** Where an export goes, once it has been asked. */
export interface ReachedTarget {
  /** Another one for any other account, endpoint, bucket or key. */
  readonly place: string
  /** Not a single file is there. */
  readonly isEmpty: boolean
}

/** Where the outputs of pipelines with `egress` are written to, besides their repos. */
export interface OutputExports {
  /** @throws {DomainError} when nothing can be written there, as far as the URL says. */
  check(url: string): void
  /**
   * Writes every file of a tree, which a lease of the caller's keeps. What is there with the same
   * content is left as it is. `begin` is called before anything is written, and gives a tree all of
   * whose files are there, but for those that differ in the one which is exported: then nobody looks for
   * the others. `onProgress` is told of those at first.
   */
  exportTree(
    output: {
      readonly commit: string
      readonly tree: CommitTree
      readonly url: string
      /** In place of the server's own: named as variables such as `AWS_ACCESS_KEY_ID`. */
      readonly credentials?: Readonly<Record<string, string>>
      readonly begin: (target: ReachedTarget) => Promise<CommitTree | undefined>
    },
    options: {
      readonly signal: AbortSignal
      readonly onProgress: (progress: ExportProgress) => void
    },
  ): Promise<unknown>
}
