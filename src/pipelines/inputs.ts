import type { BranchName, CommitId, RepoName } from '../base/names.ts'

/** What a pipeline reads, as its spec says it, checked and with defaults filled in. */
export type Input = AtomInput | CrossInput | UnionInput

/** The files of one branch that match a glob: a datum member each. */
export interface AtomInput {
  readonly kind: 'atom'
  /** The directory below `/pfs` where user code finds the files. */
  readonly name: string
  readonly repo: RepoName
  readonly branch: BranchName
  readonly glob: string
  readonly lazy: boolean
  /** Commits up to and including this one start no job. */
  readonly fromCommit?: CommitId
}

/** Every combination of its members' datums. */
export interface CrossInput {
  readonly kind: 'cross'
  readonly members: readonly Input[]
}

/** The datums of each of its members, one after the other. */
export interface UnionInput {
  readonly kind: 'union'
  readonly members: readonly Input[]
}

/** The atoms of an input, in the order in which the spec (or the sorting of it) has them. */
export function atomsOf(input: Input): readonly AtomInput[] {
  return input.kind === 'atom' ? [input] : input.members.flatMap(atomsOf)
}

/** The distinct branches that an input reads: a repo is read through one branch only. */
export function branchesOf(input: Input): readonly AtomInput[] {
  const first = new Map<RepoName, AtomInput>()
  for (const atom of atomsOf(input)) {
    if (!first.has(atom.repo)) first.set(atom.repo, atom)
  }
  return [...first.values()]
}

/** What decides the datums of an input and their order keys, as text that can be compared. */
export function shapeOf(input: Input): string {
  if (input.kind !== 'atom') return `${input.kind}(${input.members.map(shapeOf).join(',')})`
  return JSON.stringify([input.name, input.repo, input.branch, input.glob])
}

/**
 * Sorts the members of crosses and unions by the name of their first atom, keeping the order of
 * equals. The sorted order is the order of a datum's members and of datums in a job.
 */
export function sortInput(input: Input): Input {
  if (input.kind === 'atom') return input
  const members = input.members.map(sortInput)
  members.sort((left, right) => compareText(firstName(left), firstName(right)))
  return { kind: input.kind, members }
}

function firstName(input: Input): string {
  return atomsOf(input)[0]?.name ?? ''
}

function compareText(left: string, right: string): number {
  if (left === right) return 0
  return left < right ? -1 : 1
}
