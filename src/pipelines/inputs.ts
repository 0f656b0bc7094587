import type { Instant } from '../base/clock.ts'
import type { BranchName, CommitId, RepoName } from '../base/names.ts'
import type { TriggerConditions } from '../versioning/branch-triggers.ts'

/** What a pipeline reads, as its spec says it, checked and with defaults filled in. */
export type Input = AtomInput | CrossInput | UnionInput | JoinInput | GroupInput

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
  /** In a join or group: what a match has in common with others, as `parseMatchKeys` reads it. */
  readonly matchOn?: string
  /** In a join: its matches count also where another member has none of the same match key. */
  readonly outer?: true
  /** Set where `branch` is one of the pipeline's own, which follows another. */
  readonly trigger?: InputTrigger
  /** Set where a clock makes the branch's commits: a cron input of the spec. */
  readonly cron?: CronTicks
}

/** When the branch that a pipeline reads moves to the head of another. */
export interface InputTrigger extends TriggerConditions {
  readonly source: BranchName
}

/** What a clock writes to a repo, and when. */
export interface CronTicks {
  /** As `parseSchedule` reads it. */
  readonly schedule: string
  /** An IANA name; empty for UTC. */
  readonly timeZone: string
  /** The first tick is after this, where the repo has none yet. */
  readonly start: Instant
  readonly missed: MissedTicks
}

/**
 * What becomes of ticks whose time has passed, as while the pipeline was stopped: each is made, one
 * after the other; the latest is made; or none is.
 */
export type MissedTicks = 'all' | 'latest' | 'none'

export function isMissedTicks(text: string): text is MissedTicks {
  return text === 'all' || text === 'latest' || text === 'none'
}

/** Where a tick says its time: the only file of a cron input's repo. */
export const tickPath = '/time'

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

/** Every combination of matches of its members that have one match key. */
export interface JoinInput {
  readonly kind: 'join'
  readonly members: readonly AtomInput[]
}

/** All matches of its members that have one match key, as one datum. */
export interface GroupInput {
  readonly kind: 'group'
  readonly members: readonly AtomInput[]
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
  const { name, repo, branch, glob, matchOn, outer } = input
  const matching = matchOn === undefined ? [] : [matchOn, outer ?? false]
  return JSON.stringify([name, repo, branch, glob, ...matching])
}

/**
 * The repos that one input reads, each with the one that another reads in its place; undefined when
 * the two differ in more than their repos and branches, and so would not cut out the same datums.
 */
export function reposInPlace(
  input: Input,
  other: Input,
): ReadonlyMap<RepoName, RepoName> | undefined {
  const nowhere = (of: Input): string => shapeOf(mapAtoms(of, (atom) => ({ ...atom, ...noPlace })))
  if (nowhere(input) !== nowhere(other)) return undefined
  const others = atomsOf(other)
  const found = new Map<RepoName, RepoName>()
  for (const [index, { repo }] of atomsOf(input).entries()) {
    const inPlace = others[index]?.repo
    if (inPlace === undefined || (found.get(repo) ?? inPlace) !== inPlace) return undefined
    found.set(repo, inPlace)
  }
  return new Set(found.values()).size === found.size ? found : undefined
}

// The casts: these are compared with each other only.
const noPlace = { repo: '' as RepoName, branch: '' as BranchName }

/** An input of the same kind with other atoms. */
export function mapAtoms(input: Input, change: (atom: AtomInput) => AtomInput): Input {
  if (input.kind === 'atom') return change(input)
  const members = input.members.map((member) => mapAtoms(member, change))
  // The types of members follow from the kind, which stays.
  return { kind: input.kind, members } as Input
}

/**
 * Sorts the members of crosses, unions, joins and groups by the name of their first atom, keeping the order of
 * equals. The sorted order is the order of a datum's members and of datums in a job.
 */
export function sortInput(input: Input): Input {
  if (input.kind === 'atom') return input
  // The types of members follow from the kind, which stays.
  const members = input.members.map(sortInput)
  members.sort((left, right) => compareText(firstName(left), firstName(right)))
  return { kind: input.kind, members } as Input
}

function firstName(input: Input): string {
  const [first] = atomsOf(input)
  // As in 1.5, where crons have no name to sort by.
  return first === undefined || first.cron !== undefined ? '' : first.name
}

function compareText(left: string, right: string): number {
  if (left === right) return 0
  return left < right ? -1 : 1
}
