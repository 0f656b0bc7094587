import { addBytes } from '../base/byte-sums.ts'
import type { Instant } from '../base/clock.ts'
import type { BranchName, CommitId, RepoName } from '../base/names.ts'
import type { ReadTransaction, SqlRow, Transaction } from '../database/database.ts'
import { deleteBranch, findBranch, setHead } from './branches.ts'
import { findCommit } from './commit-records.ts'
import { refuseOwnedTrigger, removeTrigger } from './records/branch-trigger-rows.ts'
import { branchTriggerTopic, type OnHeadReady, type ReadyHead } from './ports.ts'

/** When a branch moves to the head of another; at least one condition is set. */
export interface TriggerConditions {
  /** So many bytes have been added to the other branch: 0 for no such condition. */
  readonly sizeBytes: number
  /** So many commits have been added: 0 for no such condition. */
  readonly commitCount: number
  /** A clock has ticked: empty for no such condition. Read by the layer above. */
  readonly schedule: string
  /** All conditions must hold; else one is enough. */
  readonly all: boolean
}

/** A branch that follows another of its repo, from time to time. */
export interface BranchTrigger extends TriggerConditions {
  readonly repo: RepoName
  readonly branch: BranchName
  /** The branch that is followed; it may come later. */
  readonly source: BranchName
  /** The pipeline whose input made it; empty for one that somebody set. */
  readonly owner: string
}

/** A trigger with what has come since its branch moved. */
export interface TriggerState extends BranchTrigger {
  readonly addedBytes: number
  readonly addedCount: number
  /** The last tick of its clock that was looked at; at first when the trigger was set. */
  readonly lastTick: Instant
  /** Its clock has ticked since the branch moved, and the other conditions do not hold yet. */
  readonly hasTicked: boolean
}

export { refuseOwnedTrigger, removeTrigger }

/** Commits that are looked at in one transaction, which others wait for. */
const stepsMax = 10_000
/** Rows that are read in one turn of the event loop. */
const pageRows = 500

interface TriggerRow extends SqlRow {
  readonly repo: string
  readonly branch: string
  readonly source: string
  readonly owner: string
  readonly size_bytes: number
  readonly commit_count: number
  readonly schedule: string
  readonly is_all: number
  readonly noted: string | null
  readonly added_bytes: number
  readonly added_count: number
  readonly last_tick: number
  readonly has_ticked: number
}

/** Sets a trigger, or replaces what was set; what has come since the branch moved counts on. */
export async function putTrigger(
  tx: Transaction,
  trigger: BranchTrigger,
  at: Instant,
): Promise<void> {
  await tx.run(
    `INSERT INTO branch_triggers (repo, branch, source, owner, size_bytes, commit_count, schedule,
        is_all, noted, added_bytes, added_count, last_tick, has_ticked)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, 0, 0, ?, 0)
      ON CONFLICT (repo, branch) DO UPDATE SET source = excluded.source, owner = excluded.owner,
        size_bytes = excluded.size_bytes, commit_count = excluded.commit_count,
        last_tick = CASE WHEN schedule = excluded.schedule THEN last_tick ELSE excluded.last_tick END,
        has_ticked = CASE WHEN schedule = excluded.schedule THEN has_ticked ELSE 0 END,
        schedule = excluded.schedule, is_all = excluded.is_all, noted = NULL`,
    trigger.repo,
    trigger.branch,
    trigger.source,
    trigger.owner,
    trigger.sizeBytes,
    trigger.commitCount,
    trigger.schedule,
    trigger.all ? 1 : 0,
    at,
  )
  await tx.emit(branchTriggerTopic, `${trigger.repo}/${trigger.branch}`)
}

export async function findTrigger(
  tx: ReadTransaction,
  repo: string,
  branch: string,
): Promise<TriggerState | undefined> {
  const [found] = await selectTriggers(tx, 'WHERE repo = ? AND branch = ?', repo, branch)
  return found
}

/** The triggers of a repo, or of all when it is empty, by repo and branch, in pages. */
export async function triggerPage(
  tx: ReadTransaction,
  repo: string,
  last: Pick<BranchTrigger, 'repo' | 'branch'> | undefined,
): Promise<readonly TriggerState[]> {
  const after = [last?.repo ?? '', last?.branch ?? '']
  const order = `ORDER BY repo, branch LIMIT ${pageRows}`
  if (repo === '') {
    return await selectTriggers(tx, `WHERE (repo, branch) > (?, ?) ${order}`, ...after)
  }
  const condition = `WHERE repo = ? AND (repo, branch) > (?, ?) ${order}`
  return await selectTriggers(tx, condition, repo, ...after)
}

export async function ownedTriggers(
  tx: ReadTransaction,
  owner: string,
): Promise<readonly TriggerState[]> {
  return await selectTriggers(tx, `WHERE owner = ? AND owner <> '' ORDER BY repo, branch`, owner)
}

/** Removes a trigger that a pipeline had made, with its branch. */
export async function releaseTrigger(
  tx: Transaction,
  { repo, branch }: Pick<BranchTrigger, 'repo' | 'branch'>,
): Promise<void> {
  await removeTrigger(tx, repo, branch)
  if ((await findBranch(tx, repo, branch)) !== undefined) await deleteBranch(tx, repo, branch)
}

/** Those that wait for a clock. */
export async function scheduledTriggers(tx: ReadTransaction): Promise<readonly TriggerState[]> {
  return await selectTriggers(tx, `WHERE schedule <> '' ORDER BY repo, branch`)
}

/**
 * Moves the branches that follow `heads`, directly or not, where their conditions hold, in the
 * transaction that makes these heads. Returns them with all heads that came so.
 */
export async function moveFollowers(
  tx: Transaction,
  heads: readonly ReadyHead[],
): Promise<readonly ReadyHead[]> {
  const ready = [...heads]
  // Whoever moves a branch by hand begins its count anew.
  for (const { repo, branch } of heads) await forgetNoted(tx, repo, branch)
  // Grows while it is gone through: triggers make no circle.
  for (const { repo, branch } of ready) {
    const triggers = await selectTriggers(tx, 'WHERE repo = ? AND source = ?', repo, branch)
    for (const trigger of triggers) ready.push(...(await follow(tx, trigger)))
  }
  return ready
}

/** Moves the branch of a trigger if its conditions hold; returns the head that it has then got. */
export async function follow(
  tx: Transaction,
  { repo, branch }: Pick<BranchTrigger, 'repo' | 'branch'>,
): Promise<readonly ReadyHead[]> {
  const trigger = await count(tx, repo, branch)
  return trigger !== undefined && holds(trigger) ? await fire(tx, trigger) : []
}

/** Notes that the clock of a trigger has ticked, and moves its branch if that is all that was missing. */
export async function tick(
  tx: Transaction,
  { repo, branch }: Pick<BranchTrigger, 'repo' | 'branch'>,
  at: Instant,
): Promise<readonly ReadyHead[]> {
  await tx.run(
    'UPDATE branch_triggers SET last_tick = ? WHERE repo = ? AND branch = ?',
    at,
    repo,
    branch,
  )
  const trigger = await count(tx, repo, branch)
  if (trigger === undefined) return []
  const ticked = { ...trigger, hasTicked: true }
  if (holds(ticked)) return await fire(tx, ticked)
  // A tick that finds nothing new is over, but where it is one of several conditions.
  if (trigger.all) {
    await tx.run(
      'UPDATE branch_triggers SET has_ticked = 1 WHERE repo = ? AND branch = ?',
      repo,
      branch,
    )
  }
  return []
}

/** Counts anew what the triggers of a repo wait for: commits have been deleted, and count no more. */
export async function recountTriggers(tx: Transaction, repo: RepoName): Promise<void> {
  for (const { branch } of await selectTriggers(tx, 'WHERE repo = ?', repo)) {
    await forgetNoted(tx, repo, branch)
    await count(tx, repo, branch)
  }
}

function holds(trigger: TriggerState): boolean {
  const { sizeBytes, commitCount, schedule, addedBytes, addedCount, hasTicked, all } = trigger
  if (addedCount === 0) return false
  const conditions = [
    ...(sizeBytes > 0 ? [addedBytes >= sizeBytes] : []),
    ...(commitCount > 0 ? [addedCount >= commitCount] : []),
    ...(schedule === '' ? [] : [hasTicked]),
  ]
  return all ? conditions.every(Boolean) : conditions.some(Boolean)
}

async function fire(
  tx: Transaction,
  { repo, branch, source }: BranchTrigger,
): Promise<readonly ReadyHead[]> {
  const head = (await findBranch(tx, repo, source))?.head
  if (head === undefined) return []
  const ready: ReadyHead[] = []
  const collect: OnHeadReady = async (_, found) => void ready.push(...found)
  await setHead(tx, collect, { repo, name: branch, head })
  await note(tx, { repo, branch }, { noted: head, addedBytes: 0, addedCount: 0 })
  await tx.run(
    'UPDATE branch_triggers SET has_ticked = 0 WHERE repo = ? AND branch = ?',
    repo,
    branch,
  )
  return ready
}

/** Brings up to date what has come since the branch moved; undefined where there is no trigger. */
async function count(
  tx: Transaction,
  repo: RepoName,
  branch: BranchName,
): Promise<TriggerState | undefined> {
  const row = await tx.get<TriggerRow>(
    `SELECT * FROM branch_triggers WHERE repo = ? AND branch = ?`,
    repo,
    branch,
  )
  if (row === undefined) return undefined
  const trigger = triggerOf(row)
  const source = await findBranch(tx, repo, trigger.source)
  const head = source && (await findCommit(tx, repo, source.head))
  if (head?.state.kind !== 'finished') return { ...trigger, addedBytes: 0, addedCount: 0 }
  if (head.id === row.noted) return trigger
  const moved = (await findBranch(tx, repo, branch))?.head
  // While there is nothing new, what was noted may be behind the branch, and so may what follows it.
  const isBehind = trigger.addedCount === 0 && row.noted !== moved
  const since = isBehind ? undefined : await addedSince(tx, head.id, row.noted as CommitId | null)
  const added =
    since === undefined
      ? await addedBeyond(tx, head.id, moved)
      : {
          addedBytes: addBytes(trigger.addedBytes, since.addedBytes),
          addedCount: trigger.addedCount + since.addedCount,
        }
  await note(tx, trigger, { noted: head.id, ...added })
  return { ...trigger, ...added }
}

interface Added {
  readonly addedBytes: number
  readonly addedCount: number
}

type LineRow = {
  readonly id: CommitId
  readonly parent: CommitId | null
  readonly written: number
  readonly added_bytes: number | null
  readonly size_bytes: number | null
}

async function lineRow(
  tx: ReadTransaction,
  id: CommitId | null | undefined,
): Promise<LineRow | undefined> {
  if (id === null || id === undefined) return undefined
  return await tx.get<LineRow>(
    'SELECT id, parent, written, added_bytes, size_bytes FROM commits WHERE id = ?',
    id,
  )
}

/** What the line of `head` has since `noted`; undefined when it does not lead there. */
async function addedSince(
  tx: ReadTransaction,
  head: CommitId,
  noted: CommitId | null,
): Promise<Added | undefined> {
  const end = await lineRow(tx, noted)
  if (end === undefined) return undefined
  const added = await addedBeyond(tx, head, end.id)
  // The line has `noted` when what is beyond begins right behind it.
  return added.meetsAt === end.id ? added : undefined
}

/** What the line of `head` has and that of `other` has not; at most the last 10,000 commits of each. */
async function addedBeyond(
  tx: ReadTransaction,
  head: CommitId,
  other: CommitId | undefined,
): Promise<Added & { readonly meetsAt: CommitId | undefined }> {
  let addedBytes = 0
  let addedCount = 0
  let ours = await lineRow(tx, head)
  let theirs = await lineRow(tx, other)
  for (
    let steps = 0;
    steps < stepsMax && ours !== undefined && ours.id !== theirs?.id;
    steps += 1
  ) {
    // A commit is written after its parent.
    if (theirs !== undefined && theirs.written > ours.written) {
      theirs = await lineRow(tx, theirs.parent)
      continue
    }
    // Releases before it was noted knew the size of the whole tree alone.
    addedBytes = addBytes(addedBytes, ours.added_bytes ?? ours.size_bytes ?? 0)
    addedCount += 1
    ours = await lineRow(tx, ours.parent)
  }
  return { addedBytes, addedCount, meetsAt: ours?.id }
}

async function note(
  tx: Transaction,
  { repo, branch }: Pick<BranchTrigger, 'repo' | 'branch'>,
  { noted, addedBytes, addedCount }: Added & { readonly noted: CommitId },
): Promise<void> {
  await tx.run(
    `UPDATE branch_triggers SET noted = ?, added_bytes = ?, added_count = ?
      WHERE repo = ? AND branch = ?`,
    noted,
    addedBytes,
    addedCount,
    repo,
    branch,
  )
}

async function forgetNoted(tx: Transaction, repo: string, branch: string): Promise<void> {
  await tx.run(
    'UPDATE branch_triggers SET noted = NULL WHERE repo = ? AND branch = ? AND noted IS NOT NULL',
    repo,
    branch,
  )
}

async function selectTriggers(
  tx: ReadTransaction,
  condition: string,
  ...parameters: readonly string[]
): Promise<readonly TriggerState[]> {
  const rows = await tx.all<TriggerRow>(`SELECT * FROM branch_triggers ${condition}`, ...parameters)
  return rows.map(triggerOf)
}

function triggerOf(row: TriggerRow): TriggerState {
  // Rows are written by this file only, from checked values.
  return {
    repo: row.repo as RepoName,
    branch: row.branch as BranchName,
    source: row.source as BranchName,
    owner: row.owner,
    sizeBytes: row.size_bytes,
    commitCount: row.commit_count,
    schedule: row.schedule,
    all: row.is_all === 1,
    addedBytes: row.added_bytes,
    addedCount: row.added_count,
    lastTick: row.last_tick,
    hasTicked: row.has_ticked === 1,
  }
}
