import type { Brand } from './brand.ts'
import { InvalidArgumentError } from './errors.ts'
import { shortened } from './shortened.ts'

export type RepoName = Brand<string, 'RepoName'>
export type BranchName = Brand<string, 'BranchName'>
export type CommitTag = Brand<string, 'CommitTag'>
export type CommitId = Brand<string, 'CommitId'>
export type PipelineName = Brand<string, 'PipelineName'>
export type JobId = Brand<string, 'JobId'>

const nameLengthMax = 255
/** Clients of 1.5 look for what stands before the colon. */
export const namingRule =
  'alphanumeric characters, underscores, and dashes are allowed: a-z, A-Z, 0-9, _ and -'
const commitIdLength = 32
const commitIdPattern = /^[0-9a-f]{32}$/

/** @throws {InvalidArgumentError} unless `text` is 1 to 255 ASCII letters, digits, `_` and `-`. */
export function parseRepoName(text: string): RepoName {
  if (text === '') throw new InvalidArgumentError('a repo name is needed, but none was given')
  if (text.length > nameLengthMax) {
    throw new InvalidArgumentError(
      `repo name of ${text.length} characters is too long: at most ${nameLengthMax} are allowed`,
    )
  }
  if (!/^[a-zA-Z0-9_-]+$/.test(text)) {
    throw new InvalidArgumentError(`repo name (${text}) invalid: only ${namingRule}`)
  }
  return text as RepoName
}

/** For a branch that is about to be made; look-ups take any text. */
export function parseBranchName(text: string): BranchName {
  requireRefName(text, 'branch')
  return text as BranchName
}

/**
 * For a branch that comes with its repo from elsewhere: servers of 1.4 and 1.5 took names that no new
 * branch may have here, such as `a/b`. @throws {InvalidArgumentError} for one that is empty, too long, or
 * holds a NUL.
 */
export function parseImportedBranchName(text: string): BranchName {
  if (text !== '' && text.length <= nameLengthMax && !text.includes('\0')) return text as BranchName
  throw new InvalidArgumentError(
    `${JSON.stringify(text.slice(0, nameLengthMax))} is a name that no branch can have here: 1 to ${nameLengthMax} characters are allowed, and no NUL`,
  )
}

/** For a commit tag that is about to be made: named as branches are. */
export function parseCommitTag(text: string): CommitTag {
  requireRefName(text, 'commit tag')
  return text as CommitTag
}

/** @throws {InvalidArgumentError} unless `text` may name a commit among branches, tags and ids. */
function requireRefName(text: string, what: 'branch' | 'commit tag'): void {
  if (text === '') throw new InvalidArgumentError(`a ${what} name is needed, but none was given`)
  if (text.length === commitIdLength) {
    throw new InvalidArgumentError(
      `${what} name ${text} cannot be of the same length as commit IDs (${commitIdLength} characters)`,
    )
  }
  if (text.length > nameLengthMax) {
    throw new InvalidArgumentError(
      `${what} name of ${text.length} characters is too long: at most ${nameLengthMax} are allowed`,
    )
  }
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[/\u0000-\u001f\u007f]/.test(text)) {
    throw new InvalidArgumentError(
      `${what} name (${JSON.stringify(text)}) invalid: slashes and control characters are not allowed`,
    )
  }
  // They mean something in `repo@branch:/path` and in `branch~2^`.
  const special = /[\^~@:]/.exec(text)?.[0]
  if (special !== undefined) {
    throw new InvalidArgumentError(
      `${what} name (${JSON.stringify(text)}) invalid: ${special} is not allowed in it, since it has a meaning where commits are named, as in master^, master~2 or repo@master:/path`,
    )
  }
}

export function isCommitId(text: string): text is CommitId {
  return commitIdPattern.test(text)
}

/** @throws {InvalidArgumentError} unless `text` is 32 lower-case hex digits. */
export function parseCommitId(text: string): CommitId {
  if (!isCommitId(text)) throw new InvalidArgumentError(`not a commit id: ${JSON.stringify(text)}`)
  return text
}

/** A pipeline is named like the repo that it writes. */
export function parsePipelineName(text: string): PipelineName {
  if (text === '') throw new InvalidArgumentError('a pipeline name is needed, but none was given')
  if (!/^[a-zA-Z0-9_-]+$/.test(text) || text.length > nameLengthMax) {
    throw new InvalidArgumentError(
      `pipeline name (${shortened(text, nameLengthMax)}) invalid: only 1 to ${nameLengthMax} ${namingRule}`,
    )
  }
  return text as PipelineName
}
