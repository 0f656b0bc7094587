import type { Instant } from '../base/clock.ts'
import { FailedPreconditionError, InvalidArgumentError, NotFoundError } from '../base/errors.ts'
import { type CommitId, parseCommitId } from '../base/names.ts'
import { newHexId } from '../base/random.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import { branchToSet, branchesAt, deleteBranch, findBranch, setHead } from './branches.ts'
import {
  type CommitInfo,
  type CommitTree,
  commitNotFound,
  getCommit,
  insertFinishedCommit,
  insertOpenCommit,
} from './commit-records.ts'
import { requireUntagged } from './commit-tags.ts'
import { ParentNotFinishedError } from './errors.ts'
import { parseCommitMessage } from './records/commit-messages.ts'
import { heldCommits, holdCommit, letGo, partCount } from './records/held-commits.ts'
import { type CommitName, type OnHeadReady, type VersioningPorts } from './ports.ts'
import { getRepo } from './repos.ts'
import { finishCommit } from './commits/finish.ts'
import { listAllCommits, listLine } from './commits/listing.ts'
import { removeCommit } from './commits/removal.ts'
import type { OpenTrees } from './staging/open-trees.ts'
import { isInRepo } from './records/deleted-repos.ts'
import { sweepCommit } from './staging/sweep.ts'

/** Where a new commit goes: all names come as text and are parsed here. */
export interface NewCommit {
  readonly repo: string
  /** As in `resolveCommitId`; default: the head of `branch`, else none. */
  readonly parent?: string | undefined
  /** Moves to the new commit at once. */
  readonly branch?: string | undefined
  /** Commits (by id, not by branch) that this one is made from. */
  readonly provenance?: readonly { readonly repo: string; readonly id: string }[] | undefined
  /** At most 4,096 bytes. */
  readonly message?: string | undefined
}

/**
 * Starts an open commit under a given id.
 *
 * @throws {ParentNotFinishedError}
 */
export async function startCommit(
  tx: Transaction,
  onHeadReady: OnHeadReady,
  commit: NewCommit & { readonly id: CommitId; readonly startedAt: Instant },
): Promise<CommitName> {
  const place = await placeOf(tx, commit)
  const name: CommitName = { repo: place.repo, id: commit.id }
  const message = parseCommitMessage(commit.message ?? '')
  await insertOpenCommit(tx, { ...place, ...name, startedAt: commit.startedAt, message })
  await moveBranch(tx, onHeadReady, name, commit.branch)
  return name
}

/** The lives of commits: states and events are in `docs/states/commit.md`. */
export class Commits {
  readonly #ports: VersioningPorts
  readonly #openTrees: OpenTrees

  constructor(ports: VersioningPorts, openTrees: OpenTrees) {
    this.#ports = ports
    this.#openTrees = openTrees
  }

  /** @throws {ParentNotFinishedError} and nothing has happened. */
  async start(commit: NewCommit): Promise<CommitName> {
    return this.#start(commit, async () => undefined)
  }

  /** As `start`, but that the commit is given up by `giveUp`, or by `giveUpHeld` after a crash. */
  async hold(commit: NewCommit): Promise<CommitName> {
    return this.#start(commit, holdCommit)
  }

  async #start(
    commit: NewCommit,
    alongside: (tx: Transaction, name: CommitName) => Promise<void>,
  ): Promise<CommitName> {
    const { clock, database, onHeadReady, random } = this.#ports
    const made = { id: parseCommitId(newHexId(random)), startedAt: clock.now() }
    return database.transact(async (tx) => {
      const name = await startCommit(tx, onHeadReady, { ...commit, ...made })
      await alongside(tx, name)
      return name
    })
  }

  /** A finished commit of a tree that is stored already; nothing is inherited from the parent. */
  async build(
    commit: NewCommit & {
      readonly tree: CommitTree
      /** What the repo's size grows by, if not by all that is in the tree. */
      readonly addedBytes?: number
    },
  ): Promise<CommitName> {
    const { chunks, clock, database, onHeadReady, random } = this.#ports
    const message = parseCommitMessage(commit.message ?? '')
    await chunks.flush()
    const id = parseCommitId(newHexId(random))
    const at = clock.now()
    return database.transact(async (tx) => {
      const place = await placeOf(tx, commit)
      const name: CommitName = { repo: place.repo, id }
      const times = { startedAt: at, finishedAt: at }
      const { tree, addedBytes = tree.sizeBytes } = commit
      const facts = { tree, addedBytes, message }
      await insertFinishedCommit(tx, { ...place, ...name, ...times, ...facts })
      await moveBranch(tx, onHeadReady, name, commit.branch)
      return name
    })
  }

  /**
   * Applies what was staged to the parent's tree, all or nothing.
   *
   * @throws {CommitFinishedError}
   * @throws {FileDirectoryConflictError} when a staged file is where a directory is, or the reverse; the
   * commit stays open and readable, and deleting that path repairs it.
   */
  async finish(
    repo: string,
    commit: string,
    options: {
      /** Replaces what was said at the start, if it is not empty. */
      readonly message?: string | undefined
      readonly signal?: AbortSignal | undefined
    } = {},
  ): Promise<CommitInfo> {
    const message = parseCommitMessage(options.message ?? '')
    const { signal } = options
    return finishCommit(this.#ports, this.#openTrees, { repo, commit, message, signal })
  }

  /** `commit` is as in `resolveCommitId`. */
  async inspect(repo: string, commit: string): Promise<CommitInfo> {
    return this.#ports.database.read((tx) => getCommit(tx, repo, commit))
  }

  /**
   * With `to`: its line of parents, newest first, up to but without `from`. Without: every commit
   * of the repo, latest written first.
   */
  async *list(options: {
    readonly repo: string
    readonly from?: string | undefined
    readonly to?: string | undefined
    /** 0 = all. */
    readonly countMax?: number | undefined
  }): AsyncGenerator<CommitInfo> {
    const { repo, from, to } = options
    const { database } = this.#ports
    const countMax = options.countMax || Number.MAX_SAFE_INTEGER
    const commits = await database.read(async (tx) => {
      const known = await getRepo(tx, repo)
      if (to === undefined) {
        if (from !== undefined) {
          throw new InvalidArgumentError(
            'cannot list from a commit without a commit to list to; name both, or neither',
          )
        }
        return listAllCommits(this.#ports, known.name, countMax)
      }
      const end = from === undefined ? undefined : (await getCommit(tx, repo, from)).id
      return listLine(database, (await getCommit(tx, repo, to)).id, end)
    })
    let left = countMax
    for await (const commit of commits) {
      yield commit
      left -= 1
      if (left <= 0) return
    }
  }

  /**
   * Ends an open commit whose starter has failed: deletes it, unless something whole has been put into it.
   * That has been acknowledged, and so it is finished. A commit that has ended stays as it is.
   *
   * @throws {FileDirectoryConflictError} when it cannot be finished, and so stays open.
   */
  async giveUp(repo: string, id: CommitId): Promise<void> {
    const { database, onHeadReady } = this.#ports
    const end = await database.transact(
      async (tx) => {
        const staged = await lastStagedIfOpen(tx, id)
        if (staged !== undefined && staged > (await partCount(tx, id))) return 'finish'
        if (staged !== undefined) await deleteCommit(tx, onHeadReady, repo, id)
        await letGo(tx, id)
        return staged === undefined ? 'ended' : 'deleted'
      },
      { usesReserve: true },
    )
    if (end === 'ended') return
    if (end === 'deleted') {
      this.#openTrees.forget(id)
      await sweepCommit(database, id)
      return
    }
    await this.finish(repo, id)
    await database.transact((tx) => letGo(tx, id), { usesReserve: true })
  }

  /** Gives up what an earlier process held. `onFailure` is told of what stays open, until the next start. */
  async giveUpHeld(onFailure: (commit: CommitName, error: unknown) => void): Promise<void> {
    const { database } = this.#ports
    for (const { repo, id } of await database.read(heldCommits)) {
      try {
        await this.giveUp(repo, id)
      } catch (error) {
        onFailure({ repo, id }, error)
      }
    }
  }

  /**
   * Open commits only: branches that point at it move to its parent, or go.
   *
   * @throws {CommitTaggedError}
   */
  async delete(repo: string, commit: string): Promise<void> {
    const { database, onHeadReady } = this.#ports
    const deleted = await database.transact((tx) => deleteCommit(tx, onHeadReady, repo, commit), {
      usesReserve: true,
    })
    this.#openTrees.forget(deleted)
    await sweepCommit(database, deleted)
  }
}

/** The number of its last staged write; undefined for what is no open commit. */
async function lastStagedIfOpen(tx: ReadTransaction, id: CommitId): Promise<number | undefined> {
  const row = await tx.get<{ readonly staged_last: number }>(
    'SELECT staged_last FROM commits WHERE id = ? AND finished_at IS NULL',
    id,
  )
  return row?.staged_last
}

/** Deletes an open commit but for its staged writes, which are to be swept. Returns its id. */
export async function deleteCommit(
  tx: Transaction,
  onHeadReady: OnHeadReady,
  repo: string,
  commit: string,
): Promise<CommitId> {
  const found = await getCommit(tx, repo, commit)
  if (found.state.kind === 'finished') {
    throw new FailedPreconditionError(
      `cannot delete finished commit ${found.id}: commit ${repo}/${found.id} has already finished; to delete it with all that was made from it, use pachctl delete-commit --recursive`,
    )
  }
  await requireUntagged(tx, [found.id])
  await deleteOpenCommit(tx, onHeadReady, found)
  return found.id
}

async function deleteOpenCommit(
  tx: Transaction,
  onHeadReady: OnHeadReady,
  commit: CommitInfo,
): Promise<void> {
  for (const branch of await branchesAt(tx, commit.id)) {
    if (commit.parent === undefined) await deleteBranch(tx, branch.repo, branch.name)
    else await setHead(tx, onHeadReady, { ...branch, head: commit.parent })
  }
  await removeCommit(tx, commit)
}

interface Place {
  readonly repo: CommitName['repo']
  readonly parent: CommitId | undefined
  readonly provenance: readonly CommitName[]
}

/** Everything that a new commit refers to, looked up and checked. */
async function placeOf(tx: ReadTransaction, commit: NewCommit): Promise<Place> {
  const { name: repo } = await getRepo(tx, commit.repo)
  const provenance: CommitName[] = []
  for (const given of commit.provenance ?? []) {
    const found = await tx.get<{ readonly repo: CommitName['repo']; readonly id: CommitId }>(
      `SELECT repo, id FROM commits WHERE id = ? AND repo = ? AND ${isInRepo}`,
      given.id,
      given.repo,
    )
    if (found === undefined) throw await provenanceNotFound(tx, given)
    provenance.push(found)
  }
  return { repo, parent: await parentOf(tx, commit), provenance }
}

async function provenanceNotFound(
  tx: ReadTransaction,
  { repo, id }: { readonly repo: string; readonly id: string },
): Promise<NotFoundError> {
  const error = await commitNotFound(tx, repo, id)
  if ((await findBranch(tx, repo, id)) === undefined) return error
  return new NotFoundError(
    `commit ${repo}/${id} not found: provenance is told by ids, and ${id} is a branch; inspect-commit ${repo} ${id} says its id`,
    { cause: error },
  )
}

async function parentOf(tx: ReadTransaction, commit: NewCommit): Promise<CommitId | undefined> {
  let name = commit.parent === '' ? undefined : commit.parent
  if (name === undefined && commit.branch !== undefined) {
    name = (await findBranch(tx, commit.repo, commit.branch))?.head
  }
  if (name === undefined) return undefined
  const parent = await getCommit(tx, commit.repo, name)
  if (parent.state.kind === 'open') throw new ParentNotFinishedError(commit.repo, parent.id)
  return parent.id
}

async function moveBranch(
  tx: Transaction,
  onHeadReady: OnHeadReady,
  commit: CommitName,
  branch: string | undefined,
): Promise<void> {
  if (branch === undefined || branch === '') return
  const name = await branchToSet(tx, commit.repo, branch)
  await setHead(tx, onHeadReady, { repo: commit.repo, name, head: commit.id })
}
