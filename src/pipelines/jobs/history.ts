import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { findTrigger } from '../../versioning/branch-triggers.ts'
import { findBranch } from '../../versioning/branches.ts'
import { findCommit, type CommitInfo, type CommitState } from '../../versioning/commit-records.ts'
import {
  historyCursors,
  noteNewest,
  noteOlder,
  setHistoryCursors,
  type NewArrival,
} from './arrivals.ts'
import { branchesOf, type AtomInput } from '../inputs.ts'
import { CommitsBefore } from './from-commits.ts'
import { keepFollowed, takeKept } from './kept-arrivals.ts'
import type { PipelineRecord } from '../pipeline-records.ts'

interface FinishedCommit extends CommitInfo {
  readonly state: Extract<CommitState, { readonly kind: 'finished' }>
}

/** An input branch on the way from its head to its beginning. */
interface Line {
  readonly atom: AtomInput
  readonly position: number
  readonly commit: FinishedCommit
}

/**
 * Has the finished commits on the input branches of a pipeline noted, in place of what was noted
 * before: marks where the branches begin, from where `noteHistory` goes on. What only those notes say
 * becomes part of the history.
 */
export async function beginHistory(tx: Transaction, pipeline: PipelineRecord): Promise<void> {
  await keepFollowed(tx, pipeline)
  const heads = new Map<number, CommitId>()
  for (const [position, atom] of branchesOf(pipeline.spec.input).entries()) {
    const head = await headOf(tx, atom)
    if (head !== undefined) heads.set(position, head.id)
  }
  await setHistoryCursors(tx, pipeline.name, heads)
}

/** Notes the finished heads of the input branches of a pipeline, each by itself, and nothing before. */
export async function noteHeads(tx: Transaction, pipeline: PipelineRecord): Promise<void> {
  for (const [position, atom] of branchesOf(pipeline.spec.input).entries()) {
    const head = await headOf(tx, atom)
    if (head !== undefined) await noteNewest(tx, pipeline.name, [{ position, commit: head.id }])
  }
}

/**
 * Notes the next of them, at most `countMax`, from new to old, so that all of them stand in the
 * order in which they were finished, and before whatever has become a head since. Returns how many:
 * a few more than `countMax` where those that were finished in one transaction would be parted.
 */
export async function noteHistory(
  tx: Transaction,
  pipeline: PipelineRecord,
  countMax: number,
): Promise<number> {
  const cursors = await historyCursors(tx, pipeline.name)
  if (cursors.size === 0) return 0
  const before = new CommitsBefore(tx)
  const lines = await openLines(tx, pipeline, { cursors, before })
  const found: NewArrival[] = []
  let last: Line | undefined
  for (let line = newest(lines); line !== undefined; line = newest(lines)) {
    const { position, atom, commit } = line
    const isTogether = last !== undefined && areTogether(line, last)
    if (found.length >= countMax && !isTogether) break
    const hasPartners = isTogether || [...lines.values()].some((other) => areTogether(line, other))
    found.push({ position, commit: commit.id, together: hasPartners ? finishedAt(line) : null })
    last = line
    const earlier = await headBefore(tx, pipeline, line)
    const next = await firstFinished(tx, { atom, before }, earlier)
    if (next === undefined) lines.delete(position)
    else lines.set(position, { ...line, commit: next })
  }
  await noteOlder(tx, pipeline.name, found)
  const left = [...lines].map(([position, { commit }]) => [position, commit.id] as const)
  await setHistoryCursors(tx, pipeline.name, new Map(left))
  return found.length
}

async function openLines(
  tx: ReadTransaction,
  pipeline: PipelineRecord,
  {
    cursors,
    before,
  }: { readonly cursors: ReadonlyMap<number, CommitId>; readonly before: CommitsBefore },
): Promise<Map<number, Line>> {
  const lines = new Map<number, Line>()
  for (const [position, atom] of branchesOf(pipeline.spec.input).entries()) {
    const commit = await firstFinished(tx, { atom, before }, cursors.get(position))
    if (commit !== undefined) lines.set(position, { position, atom, commit })
  }
  return lines
}

/** The line whose next commit was finished last. */
function newest(lines: ReadonlyMap<number, Line>): Line | undefined {
  let found: Line | undefined
  for (const line of lines.values()) {
    if (found === undefined || finishedAt(line) >= finishedAt(found)) found = line
  }
  return found
}

/** Commits of two branches that have the same time of finish come from one transaction. */
function areTogether(line: Line, other: Line): boolean {
  return line.position !== other.position && finishedAt(line) === finishedAt(other)
}

function finishedAt({ commit }: Line): number {
  return commit.state.finishedAt
}

/** What was the head of the branch before a commit, or is taken to have been; undefined if none is known. */
async function headBefore(
  tx: Transaction,
  { name }: PipelineRecord,
  { atom, position, commit }: Line,
): Promise<CommitId | undefined> {
  // A branch that a trigger moves skips commits, and does not say which.
  if ((await findTrigger(tx, atom.repo, atom.branch)) !== undefined) {
    return await takeKept(tx, name, { position, commit: commit.id })
  }
  return (await leadsBack(tx, commit.id)) ? commit.parent : undefined
}

/** False where the rows are damaged: a line that goes in a circle would be noted for ever. */
async function leadsBack(tx: ReadTransaction, id: CommitId): Promise<boolean> {
  const later = await tx.get(
    `SELECT c.id FROM commits c JOIN commits p ON p.id = c.parent
      WHERE c.id = ? AND p.written >= c.written`,
    id,
  )
  return later === undefined
}

/** The finished head of an input branch, or the nearest before an open one, if it may start a job. */
async function headOf(tx: ReadTransaction, atom: AtomInput): Promise<FinishedCommit | undefined> {
  const branch = await findBranch(tx, atom.repo, atom.branch)
  return await firstFinished(tx, { atom, before: new CommitsBefore(tx) }, branch?.head)
}

/** `id` or, while that is open, the nearest before it; undefined where there is none that may start a job. */
async function firstFinished(
  tx: ReadTransaction,
  {
    atom,
    before,
  }: {
    readonly atom: { readonly repo: RepoName; readonly fromCommit?: CommitId }
    readonly before: CommitsBefore
  },
  id: CommitId | undefined,
): Promise<FinishedCommit | undefined> {
  const open = new Set<CommitId>()
  let next = id
  while (next !== undefined && !open.has(next)) {
    open.add(next)
    const commit = await findCommit(tx, atom.repo, next)
    // Beside the line that leads to the `fromCommit`, there may be what leads back behind it, too.
    if (commit === undefined || (await before.has(atom, next))) return undefined
    const { state } = commit
    if (state.kind === 'finished') return { ...commit, state }
    next = commit.parent
  }
  return undefined
}
