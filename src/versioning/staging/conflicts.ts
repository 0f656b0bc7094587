import type { DomainError } from '../../base/errors.ts'
import { type FilePath, isWithin, rootPath } from '../../base/paths.ts'
import type { TreeEntry } from '../../storage/file-trees.ts'
import { FileDirectoryConflictError } from '../../storage/tree-errors.ts'
import { PathTakenError, PieceNumberError, SplitOntoFileError } from '../errors.ts'

/** A put or copy that is not applied, because of what was there when its turn came. */
export interface StagedConflict {
  readonly path: FilePath
  /** `path` itself when what is there is in the way, else a file above it. */
  readonly obstacle: FilePath
  /** Of a copy or move that may not replace anything: what was at `path`. */
  readonly taken?: TreeEntry['kind']
  /** Of a split: what was at `path`, of which its pieces cannot be numbered on. */
  readonly split?:
    | { readonly onto: 'file' }
    | { readonly onto: 'directory'; readonly lastName: string }
}

/** What to tell whoever runs into a conflict: with the write itself, or when it was staged before. */
export function conflictError(
  { path, obstacle, taken, split }: StagedConflict,
  call: 'put' | 'finish' = 'put',
): DomainError {
  if (taken !== undefined) return new PathTakenError(path, taken)
  if (split?.onto === 'file') return new SplitOntoFileError(path)
  if (split !== undefined) return new PieceNumberError(path, split.lastName)
  const advice = call === 'put' ? putAdvice(obstacle) : finishAdvice(path, obstacle)
  return new FileDirectoryConflictError(path, obstacle, { advice })
}

function putAdvice(obstacle: FilePath): string {
  return `put it at another path, or take "${obstacle}" away first with delete-file`
}

/** The put was not applied, and a delete at its path takes the conflict away. */
function finishAdvice(path: FilePath, obstacle: FilePath): string {
  return path === obstacle
    ? `take the directory away with delete-file, put what should be there again, then finish`
    : `take away one of the two with delete-file: "${path}" to go on without it, or "${obstacle}", after which it is to be put again; then finish`
}

/** Conflicts that are told apart; more of them can only be repaired by deleting everything. */
export const conflictsMax = 10_000

/** Conflicts that no later delete has repaired, in the order in which they came up. */
export class Conflicts {
  #unresolved: readonly StagedConflict[]
  #added: StagedConflict[] = []
  #firstAdded: StagedConflict | undefined

  constructor(unresolved: readonly StagedConflict[]) {
    this.#unresolved = unresolved
  }

  get list(): readonly StagedConflict[] {
    if (this.#added.length > 0) this.#unresolved = [...this.#unresolved, ...this.#added]
    this.#added = []
    return this.#unresolved
  }

  /** The first that was added here, repaired since or not. */
  get firstAdded(): StagedConflict | undefined {
    return this.#firstAdded
  }

  add(conflict: StagedConflict): void {
    this.#firstAdded ??= conflict
    const count = this.#unresolved.length + this.#added.length
    if (count < conflictsMax) this.#added.push(conflict)
    else if (count === conflictsMax) this.#added.push({ ...conflict, path: rootPath })
  }

  /** A delete of `path` takes away what conflicts there and below. */
  repair(path: FilePath): void {
    const { list } = this
    if (list.length > 0) {
      this.#unresolved = list.filter((conflict) => !isWithin(conflict.path, path))
    }
  }
}
