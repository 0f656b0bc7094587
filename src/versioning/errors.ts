import {
  AlreadyExistsError,
  DomainError,
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
} from '../base/errors.ts'
import { parseBranchName } from '../base/names.ts'

// Clients of the 1.5 API match on parts of these texts: `not found`, `already exists`,
// `has already finished`; and the texts of missing records look like the keys of its store, before
// they go on with what to do.

export class RepoNotFoundError extends NotFoundError {
  override readonly name = 'RepoNotFoundError'
  readonly repo: string

  constructor(repo: string, options?: ErrorOptions) {
    super(
      `pachyderm_pfs/repos/ ${repo} not found; see list-repo, or create it with create-repo`,
      options,
    )
    this.repo = repo
  }
}

export class RepoExistsError extends AlreadyExistsError {
  override readonly name = 'RepoExistsError'
  readonly repo: string

  constructor(repo: string, options?: ErrorOptions) {
    super(
      `repo ${repo} already exists (pachyderm_pfs/repoRefCounts/ ${repo} already exists)`,
      options,
    )
    this.repo = repo
  }
}

/** The repo cannot be deleted while others are made from it. */
export class RepoInUseError extends FailedPreconditionError {
  override readonly name = 'RepoInUseError'
  readonly repo: string
  readonly dependents: readonly string[]

  constructor(repo: string, dependents: readonly string[], options?: ErrorOptions) {
    super(
      `cannot delete the provenance of other repos: ${repo} is the provenance of ${dependents.join(', ')}; delete those first, or use --force`,
      options,
    )
    this.repo = repo
    this.dependents = dependents
  }
}

/** The repo cannot be deleted while a pipeline writes it. */
export class RepoWrittenError extends FailedPreconditionError {
  override readonly name = 'RepoWrittenError'
  readonly repo: string
  readonly pipeline: string

  constructor(repo: string, pipeline: string, options?: ErrorOptions) {
    super(
      `cannot delete repo ${repo}: pipeline ${pipeline} writes it and could not go on; delete both with delete-pipeline ${pipeline} --delete-repo, or the repo alone with --force`,
      options,
    )
    this.repo = repo
    this.pipeline = pipeline
  }
}

/** Tags protect the commits of a repo, and so the repo. */
export class RepoTaggedError extends FailedPreconditionError {
  override readonly name = 'RepoTaggedError'
  readonly repo: string
  /** Some of them, by name. */
  readonly tags: readonly string[]

  constructor(
    { repo, tags, count }: { repo: string; tags: readonly string[]; count: number },
    options?: ErrorOptions,
  ) {
    const others = count > tags.length ? ` and ${count - tags.length} more` : ''
    super(
      `cannot delete repo ${repo}: it has commits that are tagged ${tags.join(', ')}${others}; delete the tags first, as in pachctl delete-commit-tag ${repo} ${tags[0] ?? ''}, or the repo with them: pachctl delete-repo ${repo} --force`,
      options,
    )
    this.repo = repo
    this.tags = tags
  }
}

/** Provenance must not lead back to where it started. */
export class ProvenanceCycleError extends InvalidArgumentError {
  override readonly name = 'ProvenanceCycleError'
  readonly repo: string
  readonly ancestor: string

  constructor(repo: string, ancestor: string, options?: ErrorOptions) {
    const reason =
      repo === ancestor ? 'no repo is made from itself' : `${ancestor} is itself made from ${repo}`
    super(`repo ${repo} cannot have ${ancestor} as provenance: ${reason}`, options)
    this.repo = repo
    this.ancestor = ancestor
  }
}

export class CommitNotFoundError extends NotFoundError {
  override readonly name = 'CommitNotFoundError'
  readonly repo: string
  readonly commit: string

  /** `isForPut`: something was to be put there, for which a branch can be made. */
  constructor(
    repo: string,
    commit: string,
    options?: ErrorOptions & { readonly isForPut?: boolean },
  ) {
    const advice =
      options?.isForPut === true && isBranchName(commit)
        ? `start-commit ${repo} ${commit} opens a commit on a new branch, as put-file -c does for one put; list-branch ${repo} shows the branches that there are`
        : commitAdvice(repo, commit)
    super(`pachyderm_pfs/commits/${repo}/ ${commit} not found; ${advice}`, options)
    this.repo = repo
    this.commit = commit
  }
}

function isBranchName(text: string): boolean {
  try {
    parseBranchName(text)
    return true
  } catch {
    return false
  }
}

function commitAdvice(repo: string, commit: string): string {
  const [, other, name] = /^([\w-]+)@(.+)$/s.exec(commit) ?? []
  if (other !== undefined && name !== undefined) {
    return `it is looked for in repo ${repo}: where commit ${name} of repo ${other} is meant, write ${commit} in place of both`
  }
  return `see list-commit ${repo}, or list-branch ${repo} for its branches`
}

/** A name such as `master~9` goes back further than the line of commits. */
export class AncestorNotFoundError extends NotFoundError {
  override readonly name = 'AncestorNotFoundError'
  readonly repo: string
  readonly commit: string
  /** How many commits there are before the one that the name starts from. */
  readonly ancestorCount: number

  constructor({ repo, name, start, ancestorCount }: AncestorFacts, options?: ErrorOptions) {
    const count =
      ancestorCount === 0
        ? 'no ancestors: it is the first of its line'
        : `only ${ancestorCount} ancestor${ancestorCount === 1 ? '' : 's'}`
    super(`pachyderm_pfs/commits/${repo}/ ${name} not found: commit ${start} has ${count}`, options)
    this.repo = repo
    this.commit = name
    this.ancestorCount = ancestorCount
  }
}

interface AncestorFacts {
  readonly repo: string
  /** As it was asked for. */
  readonly name: string
  /** The commit that the name starts from. */
  readonly start: string
  readonly ancestorCount: number
}

export class CommitTagNotFoundError extends NotFoundError {
  override readonly name = 'CommitTagNotFoundError'
  readonly repo: string
  readonly tag: string

  constructor(repo: string, tag: string, options?: ErrorOptions) {
    super(`commit tag ${tag} of repo ${repo} not found`, options)
    this.repo = repo
    this.tag = tag
  }
}

/** Commit tags stay where they are unless they are moved on purpose. */
export class CommitTagExistsError extends AlreadyExistsError {
  override readonly name = 'CommitTagExistsError'
  readonly repo: string
  readonly tag: string
  readonly commit: string

  constructor(repo: string, tag: string, commit: string, options?: ErrorOptions) {
    super(
      `commit tag ${tag} of repo ${repo} already exists, at commit ${commit}; to point it elsewhere, ask for it to be moved (pachctl tag-commit --move)`,
      options,
    )
    this.repo = repo
    this.tag = tag
    this.commit = commit
  }
}

/** A branch and a commit tag of one repo may not share a name: it would mean two commits. */
export class NameInUseError extends AlreadyExistsError {
  override readonly name = 'NameInUseError'
  readonly repo: string
  readonly ref: string

  constructor(repo: string, ref: string, usedBy: 'branch' | 'tag', options?: ErrorOptions) {
    const what = usedBy === 'branch' ? 'a branch' : 'a commit tag'
    super(
      `${what} called ${ref} already exists in repo ${repo}, and branches and commit tags cannot share a name; choose another, or delete that first`,
      options,
    )
    this.repo = repo
    this.ref = ref
  }
}

/** A commit tag protects its commit. */
export class CommitTaggedError extends FailedPreconditionError {
  override readonly name = 'CommitTaggedError'
  readonly repo: string
  readonly commit: string
  readonly tags: readonly string[]

  constructor(
    { repo, commit, tags }: { repo: string; commit: string; tags: readonly string[] },
    options?: ErrorOptions,
  ) {
    const first = tags[0] ?? ''
    super(
      `cannot delete commit ${repo}/${commit}: it is tagged ${tags.join(', ')}; delete its tags first, as in pachctl delete-commit-tag ${repo} ${first}`,
      options,
    )
    this.repo = repo
    this.commit = commit
    this.tags = tags
  }
}

/** Two sides of a merge or a revert changed the same paths differently, and neither is preferred. */
export class MergeConflictError extends FailedPreconditionError {
  override readonly name = 'MergeConflictError'
  /** Some of them, in tree order. */
  readonly paths: readonly string[]

  constructor(paths: readonly string[], count: number, options?: ErrorOptions) {
    const shown = paths.slice(0, 5).map((path) => JSON.stringify(path))
    const others = count > shown.length ? ` and ${count - shown.length} more` : ''
    super(
      `both sides changed ${shown.join(', ')}${others} differently: change one of them, or prefer ours or theirs (--prefer)`,
      options,
    )
    this.paths = paths
  }
}

/** A transaction makes a commit of each revert, so one that would change nothing has no place in it. */
export class NothingToRevertError extends FailedPreconditionError {
  override readonly name = 'NothingToRevertError'
  readonly commit: string

  constructor(repo: string, commit: string, options?: ErrorOptions) {
    super(
      `the branch has nothing left of what commit ${repo}/${commit} changed: leave the revert out`,
      options,
    )
    this.commit = commit
  }
}

export class BranchNotFoundError extends NotFoundError {
  override readonly name = 'BranchNotFoundError'
  readonly repo: string
  readonly branch: string

  constructor(repo: string, branch: string, options?: ErrorOptions) {
    super(`pachyderm_pfs/branches/${repo}/ ${branch} not found; see list-branch ${repo}`, options)
    this.repo = repo
    this.branch = branch
  }
}

/** A finished commit never changes. Clients know the texts of both calls. */
export class CommitFinishedError extends FailedPreconditionError {
  override readonly name = 'CommitFinishedError'
  readonly repo: string
  readonly commit: string

  constructor(repo: string, commit: string, call: 'finish' | 'change', options?: ErrorOptions) {
    const finished = call === 'finish' ? 'already been finished' : 'already finished'
    super(
      `commit ${repo}/${commit} has ${finished}; start-commit ${repo} BRANCH begins another`,
      options,
    )
    this.repo = repo
    this.commit = commit
  }
}

/** A put to a commit that is finished. */
export class CommitNotOpenError extends FailedPreconditionError {
  override readonly name = 'CommitNotOpenError'
  readonly repo: string
  readonly commit: string

  constructor(repo: string, commit: string, options?: ErrorOptions) {
    super(
      `commit ${commit} is not open: it has already finished; start a new commit in ${repo} to write`,
      options,
    )
    this.repo = repo
    this.commit = commit
  }
}

export class ParentNotFinishedError extends FailedPreconditionError {
  override readonly name = 'ParentNotFinishedError'
  readonly repo: string
  readonly commit: string

  constructor(repo: string, commit: string, options?: ErrorOptions) {
    super(
      `parent commit ${commit} has not been finished; finish it (finish-commit ${repo} ${commit}), or drop it (delete-commit ${repo} ${commit})`,
      options,
    )
    this.repo = repo
    this.commit = commit
  }
}

export class FileNotFoundError extends NotFoundError {
  override readonly name = 'FileNotFoundError'
  readonly path: string

  constructor(file: FileFacts, options?: ErrorOptions) {
    super(
      `file ${file.path} not found in repo ${file.repo} at commit ${file.commit} (no node at "${file.path}"); see list-file or glob-file`,
      options,
    )
    this.path = file.path
  }
}

interface FileFacts {
  readonly repo: string
  readonly commit: string
  readonly path: string
}

export class IsADirectoryError extends FailedPreconditionError {
  override readonly name = 'IsADirectoryError'
  readonly path: string

  constructor(path: string, options?: ErrorOptions) {
    super(
      `${path === '' ? '/' : path} is a directory; list-file shows what is in it, and get-file -r -o DIR stores it`,
      options,
    )
    this.path = path
  }
}

/** What is to be split is not of the format that it was said to be. */
export class MalformedInputError extends InvalidArgumentError {
  override readonly name = 'MalformedInputError'
  /** Where, counted from 1. */
  readonly byte: number
  readonly line: number

  constructor({ path, byte, line, problem }: MalformedFacts, options?: ErrorOptions) {
    super(
      `cannot split what is put at "${shownPath(path)}": at byte ${byte}, line ${line}: ${problem}`,
      options,
    )
    this.byte = byte
    this.line = line
  }
}

interface MalformedFacts {
  /** Where it was to be put. */
  readonly path: string
  readonly byte: number
  readonly line: number
  readonly problem: string
}

/** Pieces go into a directory, and a file is there. */
export class SplitOntoFileError extends FailedPreconditionError {
  override readonly name = 'SplitOntoFileError'
  readonly path: string

  constructor(path: string, options?: ErrorOptions) {
    super(
      `the file at "${path}" is not a directory, into which pieces could go: split to another path, or replace the file with --overwrite`,
      options,
    )
    this.path = path
  }
}

/** Pieces are numbered on from the last name in their directory, and that is no number. */
export class PieceNumberError extends FailedPreconditionError {
  override readonly name = 'PieceNumberError'
  readonly path: string
  readonly lastName: string

  constructor(path: string, lastName: string, options?: ErrorOptions) {
    super(
      `error parsing filename ${lastName} as int: the pieces of a split are numbered on from the last name in "${shownPath(path)}", which is no hex number; split to another path, or replace what is there with --overwrite`,
      options,
    )
    this.path = path
    this.lastName = lastName
  }
}

function shownPath(path: string): string {
  return path === '' ? '/' : path
}

/** A copy or move without leave to replace what is at its destination. */
export class PathTakenError extends AlreadyExistsError {
  override readonly name = 'PathTakenError'
  readonly path: string

  constructor(path: string, taken: 'file' | 'directory', options?: ErrorOptions) {
    const shown = path === '' ? '/' : path
    super(
      `cannot write to "${shown}": a ${taken} already exists there; name the whole new path, or replace what is there with --overwrite`,
      options,
    )
    this.path = path
  }
}

/** Others kept changing what a call was about, as often as it tried. */
export class CommitBusyError extends DomainError {
  override readonly name = 'CommitBusyError'
  readonly kind = 'conflict'

  constructor(what: string, options?: ErrorOptions) {
    super(`${what} kept changing meanwhile, and nothing was done; try again`, options)
  }
}

/** A repo to which nothing will come that was made from given commits, and why. */
export interface FlushFailure {
  readonly repo: string
  readonly reason: string
}

/** Reasons that are told at once, and repos that are named with each. */
const toldReasonsMax = 10
const toldReposMax = 5

/** The commits that a flush waited for can no longer reach some repos. */
export class FlushFailedError extends FailedPreconditionError {
  override readonly name = 'FlushFailedError'
  readonly failures: readonly FlushFailure[]

  constructor(failures: readonly FlushFailure[], options?: ErrorOptions) {
    super(failuresText(failures), options)
    this.failures = failures
  }
}

/** A line for each reason: what fails upstream is told once, for all that is behind it. */
function failuresText(failures: readonly FlushFailure[]): string {
  const byReason = Map.groupBy(failures, ({ reason }) => reason)
  const lines = [...byReason].slice(0, toldReasonsMax).map(([reason, behind]) => {
    const names = behind.slice(0, toldReposMax).map(({ repo }) => repo)
    const moreCount = behind.length - names.length
    const list = names.join(', ') + (moreCount > 0 ? ` and ${moreCount} more` : '')
    const repos = behind.length === 1 ? `repo ${list}` : `repos ${list}`
    return `no commit will come to ${repos} from the flushed commits: ${reason}`
  })
  if (byReason.size > lines.length) {
    lines.push(`and for ${byReason.size - lines.length} more reasons to others`)
  }
  return lines.join('\n')
}
