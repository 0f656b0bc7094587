import { parseBranchName, type BranchName, type CommitId, type RepoName } from '../base/names.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import { getCommit } from './commit-records.ts'
import { BranchNotFoundError, NameInUseError } from './errors.ts'
import { branchTopic, type OnHeadReady, type VersioningPorts } from './ports.ts'
import { getRepo } from './repos.ts'
import { snapshotKeys } from '../storage/snapshot-keys.ts'
import { latestWritten } from './records/latest-written.ts'
import { findCommitTag } from './records/commit-tag-rows.ts'
import { nextWritten } from './records/write-sequence.ts'

export interface BranchInfo {
  readonly repo: RepoName
  readonly name: BranchName
  readonly head: CommitId
}

/** A branch as lists have it, which are put into order by when it was last written. */
type ListedBranch = BranchRow & { readonly written: number }

/** Branches that are read in one turn of the event loop. */
const pageRows = 1000

type BranchRow = { readonly repo: RepoName; readonly name: BranchName; readonly head: CommitId }

/** Makes or moves a branch; when the commit is finished, `onHeadReady` hears of it in `tx`. */
export async function setHead(
  tx: Transaction,
  onHeadReady: OnHeadReady,
  branch: BranchInfo,
): Promise<void> {
  await tx.run(
    `INSERT INTO branches (repo, name, head, written) VALUES (?, ?, ?, ?)
      ON CONFLICT (repo, name) DO UPDATE SET head = excluded.head, written = excluded.written`,
    branch.repo,
    branch.name,
    branch.head,
    await nextWritten(tx),
  )
  await tx.emit(branchTopic, `${branch.repo}/${branch.name}`)
  const finished = await tx.get(
    'SELECT id FROM commits WHERE id = ? AND finished_at IS NOT NULL',
    branch.head,
  )
  if (finished === undefined) return
  await onHeadReady(tx, [{ repo: branch.repo, branch: branch.name, id: branch.head }])
}

export async function findBranch(
  tx: ReadTransaction,
  repo: string,
  branch: string,
): Promise<BranchInfo | undefined> {
  return tx.get<BranchRow>(
    'SELECT repo, name, head FROM branches WHERE repo = ? AND name = ?',
    repo,
    branch,
  )
}

/** The branches that point at a commit, by name. */
export async function branchesAt(
  tx: ReadTransaction,
  commit: CommitId,
): Promise<readonly BranchInfo[]> {
  return tx.all<BranchRow>(
    'SELECT repo, name, head FROM branches WHERE head = ? ORDER BY name',
    commit,
  )
}

/** The commits stay. @throws {BranchNotFoundError} */
export async function deleteBranch(tx: Transaction, repo: string, branch: string): Promise<void> {
  const changed = await tx.run('DELETE FROM branches WHERE repo = ? AND name = ?', repo, branch)
  if (changed === 0) throw new BranchNotFoundError(repo, branch)
  await tx.emit(branchTopic, `${repo}/${branch}`)
}

/**
 * A branch that exists keeps its name, whatever it looks like; a new one's name is checked.
 *
 * @throws {NameInUseError} when a commit tag has that name.
 */
export async function branchToSet(
  tx: ReadTransaction,
  repo: string,
  branch: string,
): Promise<BranchName> {
  const existing = await findBranch(tx, repo, branch)
  if (existing !== undefined) return existing.name
  const name = parseBranchName(branch)
  await requireNoTag(tx, repo, name)
  return name
}

/** For a branch that is about to be made. @throws {NameInUseError} when a commit tag has its name. */
export async function requireNoTag(
  tx: ReadTransaction,
  repo: string,
  branch: BranchName,
): Promise<void> {
  if ((await findCommitTag(tx, repo, branch)) !== undefined) {
    throw new NameInUseError(repo, branch, 'tag')
  }
}

/** Points a branch at `commit`, an id or another branch; open commits are allowed. */
export async function setBranch(
  tx: Transaction,
  onHeadReady: OnHeadReady,
  { repo, branch, commit }: BranchTarget,
): Promise<void> {
  const head = await getCommit(tx, repo, commit)
  const name = await branchToSet(tx, repo, branch)
  await setHead(tx, onHeadReady, { repo: head.repo, name, head: head.id })
}

export interface BranchTarget {
  readonly repo: string
  readonly branch: string
  readonly commit: string
}

/** Names that move from commit to commit. */
export class Branches {
  readonly #ports: VersioningPorts

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  /** `commit` is as in `resolveCommitId`; open commits are allowed. */
  async set(repo: string, branch: string, commit: string): Promise<void> {
    const { database, onHeadReady } = this.#ports
    await database.transact((tx) => setBranch(tx, onHeadReady, { repo, branch, commit }))
  }

  /** By name, in pages: whatever is there all the while is told once. An unknown repo has none. */
  async *pages(repo: string): AsyncGenerator<readonly ListedBranch[]> {
    for (let last = ''; ;) {
      const after = last
      const page = await this.#ports.database.read((tx) =>
        tx.all<ListedBranch>(
          `SELECT repo, name, head, written FROM branches WHERE repo = ? AND name > ?
            ORDER BY name LIMIT ?`,
          repo,
          after,
          pageRows,
        ),
      )
      yield page
      last = page.at(-1)?.name ?? last
      if (page.length < pageRows) return
    }
  }

  /**
   * As they were when it began, the latest written first, in pages of any length. One that is
   * deleted meanwhile may be left out.
   *
   * @throws {RepoNotFoundError}
   */
  async *latest(repo: string): AsyncGenerator<readonly BranchInfo[]> {
    const { database } = this.#ports
    await database.read((tx) => getRepo(tx, repo))
    const inOrder = (tx: ReadTransaction): AsyncIterable<readonly string[]> =>
      latestWritten(tx, 'SELECT name AS key, written FROM branches WHERE repo = ?', [repo])
    for await (const names of snapshotKeys(this.#ports, inOrder)) {
      yield await database.read(async (tx) => {
        const page: BranchInfo[] = []
        for (const name of names) {
          const branch = await findBranch(tx, repo, name)
          if (branch !== undefined) page.push(branch)
        }
        return page
      })
    }
  }

  /** As `pages`, all of them, the latest written first. */
  async list(repo: string): Promise<readonly BranchInfo[]> {
    const branches = (await Array.fromAsync(this.pages(repo))).flat()
    return branches
      .toSorted((left, right) => right.written - left.written)
      .map(({ name, head, repo: of }) => ({ repo: of, name, head }))
  }

  /** The commits stay. @throws {BranchNotFoundError} */
  async delete(repo: string, branch: string): Promise<void> {
    await this.#ports.database.transact((tx) => deleteBranch(tx, repo, branch), {
      usesReserve: true,
    })
  }
}
