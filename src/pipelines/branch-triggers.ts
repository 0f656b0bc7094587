import type { Clock, Instant } from '../base/clock.ts'
import { FailedPreconditionError, InvalidArgumentError } from '../base/errors.ts'
import type { BranchName, RepoName } from '../base/names.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import { branchToSet, findBranch, requireNoTag } from '../versioning/branches.ts'
import {
  findTrigger,
  follow,
  ownedTriggers,
  putTrigger,
  refuseOwnedTrigger,
  releaseTrigger,
  removeTrigger,
  triggerPage,
  type BranchTrigger,
  type TriggerState,
} from '../versioning/branch-triggers.ts'
import type { OnHeadReady } from '../versioning/ports.ts'
import { getRepo } from '../versioning/repos.ts'
import { parseSchedule } from './cron/schedule.ts'
import { atomsOf } from './inputs.ts'
import { findPipeline } from './pipeline-records.ts'
import type { PipelineSpec } from './specs.ts'
import { checkTrigger, type RequestedTrigger } from './specs/trigger-check.ts'

export type { RequestedTrigger } from './specs/trigger-check.ts'

/** Branches that move to the head of another when a condition holds. */
export class BranchTriggers {
  readonly #database: Database
  readonly #clock: Clock
  readonly #onHeadReady: OnHeadReady

  constructor(ports: {
    readonly database: Database
    readonly clock: Clock
    readonly onHeadReady: OnHeadReady
  }) {
    this.#database = ports.database
    this.#clock = ports.clock
    this.#onHeadReady = ports.onHeadReady
  }

  /**
   * Has a branch follow another of its repo, in place of what it followed; moves it at once where the
   * conditions hold. Neither branch needs to be there yet.
   *
   * @throws {InvalidArgumentError} for a trigger that cannot work.
   * @throws {FailedPreconditionError} for a branch that a pipeline writes or has made.
   * @throws {NotFoundError} for a repo that does not exist.
   */
  async set(repo: string, branch: string, requested: RequestedTrigger): Promise<void> {
    const checked = checkTrigger(requested)
    const now = this.#clock.now()
    await requireTicking(checked.schedule, now)
    await this.#database.transact(async (tx) => {
      const { name } = await getRepo(tx, repo)
      await refuseOwnedTrigger(tx, name, branch)
      const trigger = {
        ...checked,
        repo: name,
        branch: await branchToSet(tx, name, branch),
        owner: '',
      }
      await requireWritable(tx, trigger)
      await requireNoCircle(tx, trigger)
      await putTrigger(tx, trigger, now)
      const heads = await follow(tx, trigger)
      if (heads.length > 0) await this.#onHeadReady(tx, heads)
    })
  }

  /** Has a branch stay where it is; false when it follows none. */
  async remove(repo: string, branch: string): Promise<boolean> {
    return await this.#database.transact(async (tx) => {
      await refuseOwnedTrigger(tx, repo, branch)
      return await removeTrigger(tx, repo, branch)
    })
  }

  /** Those of a repo, or all when it is empty, by repo and branch. */
  async *pages(repo: string): AsyncGenerator<readonly TriggerState[]> {
    if (repo !== '') await this.#database.read((tx) => getRepo(tx, repo))
    let last: TriggerState | undefined
    for (;;) {
      const after = last
      const page = await this.#database.read((tx) => triggerPage(tx, repo, after))
      if (page.length === 0) return
      yield page
      last = page.at(-1)
    }
  }
}

async function requireTicking(schedule: string, now: Instant): Promise<void> {
  if (schedule === '') return
  if ((await parseSchedule(schedule, '')).after(now) !== undefined) return
  throw new InvalidArgumentError(
    `cron spec ${JSON.stringify(schedule)} never ticks: there is no such day`,
  )
}

async function requireWritable(
  tx: ReadTransaction,
  { repo, branch }: BranchTrigger,
): Promise<void> {
  const writer = await findPipeline(tx, repo)
  if (writer?.spec.outputBranch !== branch) return
  throw new FailedPreconditionError(
    `branch ${branch} of repo ${repo} is written by pipeline ${writer.name}: give the trigger another branch`,
  )
}

/** @throws {InvalidArgumentError} when a branch would follow itself, directly or not. */
async function requireNoCircle(
  tx: ReadTransaction,
  { repo, branch, source }: Pick<BranchTrigger, 'repo' | 'branch' | 'source'>,
): Promise<void> {
  const line: BranchName[] = [branch]
  for (let next: BranchName | undefined = source; next !== undefined;) {
    line.push(next)
    if (next === branch) {
      throw new InvalidArgumentError(
        `the branches of repo ${repo} would follow each other in a circle: ${line.join(' ← ')}`,
      )
    }
    next = (await findTrigger(tx, repo, next))?.source
  }
}

/**
 * Has the branches be there that a pipeline reads through triggers of its spec, and those go that it
 * does not read any more. What their conditions let through at once is announced before the pipeline
 * is stored, which finds it in its history.
 */
export async function placeTriggers(
  tx: Transaction,
  onHeadReady: OnHeadReady,
  spec: PipelineSpec,
  now: Instant,
): Promise<void> {
  const wanted = new Map<string, BranchTrigger>()
  for (const { repo, branch, trigger } of atomsOf(spec.input)) {
    if (trigger === undefined) continue
    wanted.set(keyOf(repo, branch), { ...trigger, repo, branch, owner: spec.name })
  }
  for (const old of await ownedTriggers(tx, spec.name)) {
    if (!wanted.has(keyOf(old.repo, old.branch))) await releaseTrigger(tx, old)
  }
  for (const trigger of wanted.values()) {
    await requireOwn(tx, trigger)
    await requireNoCircle(tx, trigger)
    await putTrigger(tx, trigger, now)
    const heads = await follow(tx, trigger)
    if (heads.length > 0) await onHeadReady(tx, heads)
  }
}

/** The branch of a trigger in a spec is the pipeline's own. */
async function requireOwn(
  tx: ReadTransaction,
  { repo, branch, owner }: BranchTrigger,
): Promise<void> {
  await getRepo(tx, repo)
  await requireNoTag(tx, repo, branch)
  const trigger = await findTrigger(tx, repo, branch)
  if (trigger?.owner === owner) return
  if (trigger === undefined && (await findBranch(tx, repo, branch)) === undefined) return
  throw new FailedPreconditionError(
    `pipeline ${owner} needs branch ${branch} of repo ${repo} for the trigger of its input, and there is one: delete-branch ${repo} ${branch} first`,
  )
}

function keyOf(repo: RepoName, branch: BranchName): string {
  return `${repo}@${branch}`
}
