import { unreachable } from '../base/errors.ts'
import type { CommitId } from '../base/names.ts'
import type { Preference } from './commits/branch-sides.ts'
import type { NewCommit } from './commits.ts'
import type { CopyMode } from './copies.ts'

/** A change that can be part of a transaction. Names come as text, and are checked when it is applied. */
export type Operation =
  | {
      readonly kind: 'create-repo'
      readonly name: string
      readonly provenance: readonly string[]
      readonly description: string
      readonly update: boolean
    }
  | { readonly kind: 'delete-repo'; readonly name: string; readonly force: boolean }
  | ({ readonly kind: 'start-commit' } & NewCommit)
  | ({ readonly kind: 'finish-commit'; readonly message?: string | undefined } & CommitText)
  | ({ readonly kind: 'delete-commit' } & CommitText)
  | ({ readonly kind: 'set-branch'; readonly branch: string } & CommitText)
  | { readonly kind: 'delete-branch'; readonly repo: string; readonly branch: string }
  | ({ readonly kind: 'delete-file' } & FileText)
  | CopyOperation
  | ({
      readonly kind: 'merge-branch'
      readonly repo: string
      /** A branch, or a commit by id. */
      readonly from: string
      readonly into: string
    } & ChangeText)
  /** Without `branch`: as in `BranchChanges.revert`. */
  | ({ readonly kind: 'revert-commit'; readonly branch?: string | undefined } & CommitText &
      ChangeText)
  | ({ readonly kind: 'tag-commit'; readonly tag: string; readonly move: boolean } & CommitText)
  | { readonly kind: 'delete-commit-tag'; readonly repo: string; readonly tag: string }
  | PutOperation

/** What a stored transaction takes: bytes do not lie around for days. */
export type StoredOperation = Exclude<Operation, PutOperation>

/** The bytes are few, so that they ride in a row: at most 64 KiB. */
export interface PutOperation extends FileText {
  readonly kind: 'put-file'
  readonly bytes: Uint8Array
  readonly overwrite: boolean
}

/** As `Copies.copy` and `Copies.move`; a move appends to nothing. */
export interface CopyOperation extends FileText {
  readonly kind: 'copy-file' | 'move-file'
  readonly to: FileText
  readonly mode: CopyMode
}

/** A file or directory of a commit. */
interface FileText extends CommitText {
  readonly path: string
}

/** A commit by id or by branch. */
interface CommitText {
  readonly repo: string
  readonly commit: string
}

/** Of a commit that is made of others. */
interface ChangeText {
  readonly message: string
  /** Without one, a path that both sides changed differently ends the transaction. */
  readonly prefer?: Preference
}

/** An operation with the id that a commit which it starts or makes will have. */
export interface Step {
  readonly operation: Operation
  readonly id: CommitId | undefined
}

/** The commit that an operation started, finished or made; of a merge, the head that it left. */
export interface StepResult {
  readonly repo: string
  readonly id: CommitId
}

export const operationCountMax = 256
/** All contents that the puts of one transaction hold. */
export const putBytesTotalMax: number = 8 * 1024 * 1024

/** An operation that makes a commit, whose id is known before. */
export type MakingOperation = Extract<
  Operation,
  { readonly kind: 'start-commit' | 'merge-branch' | 'revert-commit' }
>

export function makesCommit(operation: Operation): operation is MakingOperation {
  const { kind } = operation
  return kind === 'start-commit' || kind === 'merge-branch' || kind === 'revert-commit'
}

/** The names of commits that an operation looks up. */
export function commitNames(operation: Operation): readonly string[] {
  if ('to' in operation) return [operation.commit, operation.to.commit]
  if ('commit' in operation) return [operation.commit]
  if (operation.kind === 'merge-branch') return [operation.from]
  return operation.kind === 'start-commit' ? [operation.parent ?? ''] : []
}

const textLengthMax = 200

/** An operation in the words of the command line: `finish-commit images/master`. */
export function operationText(operation: Operation): string {
  return `${operation.kind} ${subject(operation)}`
}

function subject(operation: Operation): string {
  switch (operation.kind) {
    case 'create-repo':
    case 'delete-repo':
      return shown(operation.name)
    case 'start-commit':
      return operation.branch === undefined
        ? shown(operation.repo)
        : shown(`${operation.repo}/${operation.branch}`)
    case 'finish-commit':
    case 'delete-commit':
    case 'revert-commit':
      return shown(`${operation.repo}/${operation.commit}`)
    case 'merge-branch':
      return shown(`${operation.repo}/${operation.from} into ${operation.into}`)
    case 'tag-commit':
    case 'delete-commit-tag':
      return shown(`${operation.repo}/${operation.tag}`)
    case 'set-branch':
    case 'delete-branch':
      return shown(`${operation.repo}/${operation.branch}`)
    case 'copy-file':
    case 'move-file': {
      const { to } = operation
      return `${fileShown(operation)} to ${fileShown(to)}`
    }
    case 'delete-file':
    case 'put-file':
      return fileShown(operation)
    default:
      return unreachable(operation)
  }
}

function fileShown({ repo, commit, path }: FileText): string {
  return shown(`${repo}/${commit}:${path}`)
}

/** Names are whatever a caller sent. */
function shown(name: string): string {
  const text = JSON.stringify(name).slice(1, -1)
  return text.length > textLengthMax ? `${text.slice(0, textLengthMax)}…` : text
}
