import type { MessageInitShape } from '@bufbuild/protobuf'
import { utf8 } from '../../base/bytes.ts'
import { InvalidArgumentError, unreachable } from '../../base/errors.ts'
import type {
  CopyFileRequest,
  MergeBranchRequest,
  MoveFileRequest,
  Operation as OperationMessage,
  OperationSchema,
  RevertCommitRequest,
} from '../../gen/pachyderm_pb.ts'
import type { DeleteRepoRequest } from '../../gen/pfs_pb.ts'
import type { CopyOperation, Operation, StoredOperation } from '../../versioning/operations.ts'
import { preferenceMessage, preferenceOf, requireInto } from '../commits/branch-change.ts'
import { requireTag } from '../commits/commit-tags.ts'
import { modeOf } from '../files/copies.ts'
import { requireBranch } from '../pfs/branch-handlers.ts'
import { newCommit } from '../pfs/commit-handlers.ts'
import { commitMessage } from '../pfs/messages.ts'
import { requireCommit, requireFile, requireRepo } from '../pfs/names.ts'

/** A member of the `oneof`: a case and the request of the call that has its name. */
export type OperationCase = OperationMessage['operation']
type StoredCase = Exclude<OperationCase, { readonly case: 'putFile' | undefined }>

/** The calls of pfs.API, pachyderm.Commits and pachyderm.Files that can be recorded, which are the cases of the same name. */
export const recordedCases: ReadonlySet<string> = new Set<StoredCase['case']>([
  'createRepo',
  'deleteRepo',
  'startCommit',
  'finishCommit',
  'deleteCommit',
  'setBranch',
  'deleteBranch',
  'deleteFile',
  'copyFile',
  'moveFile',
  'mergeBranch',
  'revertCommit',
  'tagCommit',
  'deleteCommitTag',
])

/** @throws {InvalidArgumentError} when something is missing. */
export function operationOf(message: OperationCase): Operation {
  if (message.case !== 'putFile') return storedOperationOf(message)
  const { file, content, overwrite } = message.value
  const bytes = content.case === 'text' ? utf8(content.value) : (content.value ?? utf8(''))
  return { kind: 'put-file', ...requireFile(file), bytes, overwrite }
}

/** As `operationOf`, for what a stored transaction takes. */
export function storedOperationOf(
  message: Exclude<OperationCase, { readonly case: 'putFile' }>,
): StoredOperation {
  switch (message.case) {
    case 'createRepo': {
      const { repo, provenance, description, update } = message.value
      const names = provenance.map((source) => requireRepo(source, 'provenance'))
      return {
        kind: 'create-repo',
        name: requireRepo(repo),
        provenance: names,
        description,
        update,
      }
    }
    case 'deleteRepo':
      return deleteRepoOf(message.value)
    case 'startCommit':
      return { kind: 'start-commit', ...newCommit(message.value) }
    case 'finishCommit': {
      const { commit, message: said } = message.value
      return { kind: 'finish-commit', ...requireCommit(commit), message: said }
    }
    case 'deleteCommit':
      return { kind: 'delete-commit', ...requireCommit(message.value.commit) }
    case 'setBranch': {
      const { commit, branch } = message.value
      return { kind: 'set-branch', ...requireCommit(commit), branch: requireBranch(branch) }
    }
    case 'deleteBranch': {
      const { repo, branch } = message.value
      return { kind: 'delete-branch', repo: requireRepo(repo), branch: requireBranch(branch) }
    }
    case 'deleteFile':
      return { kind: 'delete-file', ...requireFile(message.value.file) }
    case 'copyFile': {
      const { overwrite, append } = message.value
      return { kind: 'copy-file', ...copyOf(message.value), mode: modeOf(overwrite, append) }
    }
    case 'moveFile': {
      const mode = modeOf(message.value.overwrite, false)
      return { kind: 'move-file', ...copyOf(message.value), mode }
    }
    case 'mergeBranch':
      return mergeOf(message.value)
    case 'revertCommit':
      return revertOf(message.value)
    case 'tagCommit': {
      const { commit, tag, move } = message.value
      return { kind: 'tag-commit', ...requireCommit(commit), tag: requireTag(tag), move }
    }
    case 'deleteCommitTag': {
      const { repo, tag } = message.value
      return { kind: 'delete-commit-tag', repo: requireRepo(repo), tag: requireTag(tag) }
    }
    case undefined:
      throw new InvalidArgumentError(
        'an operation is needed, such as finish_commit, but the message has none',
      )
    default:
      return unreachable(message)
  }
}

function copyOf({
  source,
  destination,
}: CopyFileRequest | MoveFileRequest): Omit<CopyOperation, 'kind' | 'mode'> {
  return { ...requireFile(source, 'source'), to: requireFile(destination, 'destination') }
}

function mergeOf({ from, into, message, dryRun, prefer }: MergeBranchRequest): StoredOperation {
  refuseDryRun(dryRun)
  const { repo, commit } = requireCommit(from, 'from')
  return {
    kind: 'merge-branch',
    repo,
    from: commit,
    into: requireInto(into),
    message,
    prefer: preferenceOf(prefer),
  }
}

function revertOf(request: RevertCommitRequest): StoredOperation {
  const { commit, branch, message, dryRun, prefer } = request
  refuseDryRun(dryRun)
  return {
    kind: 'revert-commit',
    ...requireCommit(commit),
    ...(branch !== '' && { branch }),
    message,
    prefer: preferenceOf(prefer),
  }
}

function refuseDryRun(dryRun: boolean): void {
  if (!dryRun) return
  throw new InvalidArgumentError(
    'a dry run cannot be part of a transaction: make it without one, or leave dry_run unset',
  )
}

function deleteRepoOf({ repo, force, all }: DeleteRepoRequest): StoredOperation {
  if (all) {
    throw new InvalidArgumentError(
      'deleting all repos cannot be part of a transaction: name the repos, or do it without one',
    )
  }
  return { kind: 'delete-repo', name: requireRepo(repo), force }
}

/** The message that was the operation. */
export function operationMessage(
  operation: StoredOperation,
): MessageInitShape<typeof OperationSchema> {
  switch (operation.kind) {
    case 'create-repo': {
      const { name, provenance, description, update } = operation
      const sources = provenance.map((source) => ({ name: source }))
      const value = { repo: { name }, provenance: sources, description, update }
      return { operation: { case: 'createRepo', value } }
    }
    case 'delete-repo': {
      const { name, force } = operation
      return { operation: { case: 'deleteRepo', value: { repo: { name }, force } } }
    }
    case 'start-commit': {
      const { repo, parent = '', branch = '', message = '', provenance = [] } = operation
      const sources = provenance.map((source) => commitMessage(source.repo, source.id))
      const value = { parent: commitMessage(repo, parent), branch, message, provenance: sources }
      return { operation: { case: 'startCommit', value } }
    }
    case 'finish-commit': {
      const value = { commit: commitIn(operation), message: operation.message ?? '' }
      return { operation: { case: 'finishCommit', value } }
    }
    case 'delete-commit':
      return { operation: { case: 'deleteCommit', value: { commit: commitIn(operation) } } }
    case 'set-branch': {
      const value = { commit: commitIn(operation), branch: operation.branch }
      return { operation: { case: 'setBranch', value } }
    }
    case 'delete-branch': {
      const { repo, branch } = operation
      return { operation: { case: 'deleteBranch', value: { repo: { name: repo }, branch } } }
    }
    case 'delete-file':
      return { operation: { case: 'deleteFile', value: { file: fileIn(operation) } } }
    case 'copy-file': {
      const append = operation.mode === 'append'
      return { operation: { case: 'copyFile', value: { ...copyFields(operation), append } } }
    }
    case 'move-file':
      return { operation: { case: 'moveFile', value: copyFields(operation) } }
    case 'merge-branch': {
      const { repo, from, into, message } = operation
      const prefer = preferenceMessage(operation.prefer)
      const value = { from: commitMessage(repo, from), into, message, prefer }
      return { operation: { case: 'mergeBranch', value } }
    }
    case 'revert-commit': {
      const { branch = '', message } = operation
      const prefer = preferenceMessage(operation.prefer)
      const value = { commit: commitIn(operation), branch, message, prefer }
      return { operation: { case: 'revertCommit', value } }
    }
    case 'tag-commit': {
      const { tag, move } = operation
      return { operation: { case: 'tagCommit', value: { commit: commitIn(operation), tag, move } } }
    }
    case 'delete-commit-tag': {
      const { repo, tag } = operation
      return { operation: { case: 'deleteCommitTag', value: { repo: { name: repo }, tag } } }
    }
    default:
      return unreachable(operation)
  }
}

function copyFields(operation: CopyOperation): {
  readonly source: ReturnType<typeof fileIn>
  readonly destination: ReturnType<typeof fileIn>
  readonly overwrite: boolean
} {
  const { to, mode } = operation
  return { source: fileIn(operation), destination: fileIn(to), overwrite: mode === 'overwrite' }
}

function fileIn(file: CopyOperation['to']): {
  readonly commit: ReturnType<typeof commitMessage>
  readonly path: string
} {
  return { commit: commitIn(file), path: file.path }
}

function commitIn(operation: {
  readonly repo: string
  readonly commit: string
}): ReturnType<typeof commitMessage> {
  return commitMessage(operation.repo, operation.commit)
}
