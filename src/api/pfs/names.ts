import { InvalidArgumentError } from '../../base/errors.ts'
import type { FileRef } from '../../base/file-refs.ts'
import type { Commit, File, Repo } from '../../gen/pfs_pb.ts'
import type { FileName } from '../../versioning/files.ts'

/** A commit as a request names it: `commit` is an id or a branch. */
export interface CommitInRequest {
  readonly repo: string
  readonly commit: string
}

// In requests, every message within a message may be missing, and every text empty. `what` is the
// field that should have said it, so that the caller finds the mistake.

/** @throws {InvalidArgumentError} when no repo is named. */
export function requireRepo(repo: Repo | undefined, what = 'repo'): string {
  return requireText(repo?.name, `${what}.name`, 'a repo name is needed')
}

/** @throws {InvalidArgumentError} when no commit is named. */
export function requireCommit(commit: Commit | undefined, what = 'commit'): CommitInRequest {
  return {
    repo: requireRepo(commit?.repo, `${what}.repo`),
    commit: requireText(commit?.id, `${what}.id`, 'a commit id or branch name is needed'),
  }
}

/** @throws {InvalidArgumentError} when no commit is named. The path may be empty: the root. */
export function requireFile(file: File | undefined, what = 'file'): FileName {
  return { ...requireCommit(file?.commit, `${what}.commit`), path: file?.path ?? '' }
}

/** As `requireFile`, for messages that are decoded by hand. */
export function requireFileRef(file: FileRef | undefined, what = 'file'): FileName {
  const { repo = '', id = '' } = file?.commit ?? {}
  return {
    repo: requireText(repo, `${what}.commit.repo.name`, 'a repo name is needed'),
    commit: requireText(id, `${what}.commit.id`, 'a commit id or branch name is needed'),
    path: file?.path ?? '',
  }
}

/** Longer than any name here, and short enough to be kept for as long as a call waits. */
const nameLengthMax = 4096

/** @throws {InvalidArgumentError} when `text` is missing, empty or too long for any name. */
export function requireText(text: string | undefined, field: string, need: string): string {
  if (text === undefined || text === '') {
    throw new InvalidArgumentError(`${need}, but the request has no ${field}`)
  }
  if (text.length <= nameLengthMax) return text
  throw new InvalidArgumentError(
    `${field} of ${text.length} characters is too long: at most ${nameLengthMax} are allowed`,
  )
}

/** @throws {InvalidArgumentError} for a number that no size or count can be. */
export function requireCount(value: bigint, what: string): number {
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new InvalidArgumentError(`${what} cannot be ${value}: give 0 to 2^53 - 1`)
  }
  return Number(value)
}
