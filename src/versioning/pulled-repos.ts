import { ancestorsFirst } from '../base/ancestors-first.ts'
import type { Instant } from '../base/clock.ts'
import { FailedPreconditionError } from '../base/errors.ts'
import type { BranchName, CommitId, CommitTag, RepoName } from '../base/names.ts'
import type { Database, ReadTransaction, SqlRow, Transaction } from '../database/database.ts'
import { findBranch, setHead } from './branches.ts'
import { type CommitTree, insertFinishedCommit } from './commit-records.ts'
import { hasCommit } from './imports.ts'
import type { CommitName, CommitUses, OnHeadReady } from './ports.ts'
import { commitAncestors } from './records/commit-provenance.ts'
import { findCommitTag, writeCommitTag } from './records/commit-tag-rows.ts'
import { deleteIfGone, isInRepo } from './records/deleted-repos.ts'
import { repoAncestors } from './records/repo-provenance.ts'
import { createRepo, findRepo } from './repos.ts'

/** A finished commit of another server, with its id, whose tree is here. */
export interface PulledCommit extends CommitName {
  readonly parent: CommitId | undefined
  readonly mergeParents: readonly CommitId[]
  /** Every commit that it is made from, near and far. */
  readonly provenance: readonly CommitName[]
  readonly startedAt: Instant
  readonly finishedAt: Instant
  readonly tree: CommitTree
  readonly addedBytes: number
  readonly message: string
}

export interface PulledBranch {
  readonly name: BranchName
  readonly head: CommitId
  /** What it was when the pull began; undefined: it was not there. */
  readonly before: CommitId | undefined
}

/** A commit tag that is made. */
export interface PulledTag {
  readonly name: CommitTag
  readonly commit: CommitId
  readonly taggedAt: Instant
}

/** What comes of a repo. */
export interface PulledRepo {
  readonly name: RepoName
  readonly createdAt: Instant
  readonly description: string
  /** Every repo that it is made from, near and far. */
  readonly provenance: readonly RepoName[]
  /** Parents first. */
  readonly commits: readonly PulledCommit[]
  /** Those that are made or moved. */
  readonly branches: readonly PulledBranch[]
  readonly tags: readonly PulledTag[]
}

/** Where a branch stands, compared with the same one of another server. */
export type BranchStanding =
  /** It is not here, or its head is among the commits there: it can move. */
  | { readonly kind: 'behind'; readonly before: CommitId | undefined }
  | { readonly kind: 'same' }
  /** The head there is among the commits here. */
  | { readonly kind: 'ahead' }
  | { readonly kind: 'apart'; readonly before: CommitId }

export interface PulledReposPorts {
  readonly database: Database
  readonly onHeadReady: OnHeadReady
  readonly uses: CommitUses
}

/** What is here of repos of another server, and how the rest of them comes. */
export class PulledRepos {
  readonly #ports: PulledReposPorts

  constructor(ports: PulledReposPorts) {
    this.#ports = ports
  }

  async has(repo: RepoName): Promise<boolean> {
    return await this.#ports.database.read(async (tx) => (await findRepo(tx, repo)) !== undefined)
  }

  /** The tree of a commit that is here and finished; undefined when it is not. */
  async tree({
    repo,
    id,
  }: {
    readonly repo: string
    readonly id: string
  }): Promise<CommitTree | undefined> {
    return await this.#ports.database.read(
      async (tx) =>
        await tx.get<CommitTree & SqlRow>(
          `SELECT root, size_bytes AS sizeBytes, file_count AS fileCount FROM commits
            WHERE repo = ? AND id = ? AND ${isInRepo} AND finished_at IS NOT NULL`,
          repo,
          id,
        ),
    )
  }

  /** @param base the newest commit of the branch there that is here, if one is. */
  async standing(branch: {
    readonly repo: RepoName
    readonly name: BranchName
    /** There. */
    readonly head: CommitId
    readonly base: CommitId | undefined
  }): Promise<BranchStanding> {
    const { repo, name, head, base } = branch
    return await this.#ports.database.read(async (tx) => {
      const before = (await findBranch(tx, repo, name))?.head
      if (before === head) return { kind: 'same' }
      if (before === undefined) return { kind: 'behind', before }
      if (base === undefined) return { kind: 'apart', before }
      if (await isInLine(tx, { commit: before, of: base })) return { kind: 'behind', before }
      const isAhead = base === head && (await isInLine(tx, { commit: head, of: before }))
      return isAhead ? { kind: 'ahead' } : { kind: 'apart', before }
    })
  }

  /** The commit that a branch or a commit tag of that name leads to here; undefined when there is neither. */
  async tagStanding(repo: RepoName, name: CommitTag): Promise<CommitId | undefined> {
    return await this.#ports.database.read(
      async (tx) =>
        (await findCommitTag(tx, repo, name))?.id ?? (await findBranch(tx, repo, name))?.head,
    )
  }

  /**
   * Makes repos, commits, branches and commit tags as they are elsewhere, all at once; whoever reads the branches hears of
   * their heads. Each repo comes after those that it is made from. What the trees are of must be durable.
   *
   * @throws {FailedPreconditionError} when something has changed here since the pull began.
   */
  async import(repos: readonly PulledRepo[]): Promise<void> {
    const { database } = this.#ports
    await database.transact((tx) => importPulled(tx, repos, this.#ports))
  }
}

/** Whether a commit is among another one and those before it. */
async function isInLine(
  tx: ReadTransaction,
  { commit, of }: { readonly commit: CommitId; readonly of: CommitId },
): Promise<boolean> {
  const found = await tx.get(
    `WITH RECURSIVE line (id) AS (
       SELECT id FROM commits WHERE id = ?
       UNION SELECT c.parent FROM commits c JOIN line l ON c.id = l.id WHERE c.parent IS NOT NULL
     ) SELECT 1 AS one FROM line WHERE id = ?`,
    of,
    commit,
  )
  return found !== undefined
}

async function importPulled(
  tx: Transaction,
  repos: readonly PulledRepo[],
  ports: { readonly onHeadReady: OnHeadReady; readonly uses: CommitUses },
): Promise<void> {
  for (const repo of repos) {
    const { name, createdAt, description } = repo
    if ((await findRepo(tx, name)) !== undefined) continue
    const provenance = await nearest(repo.provenance, (ancestor) => repoAncestors(tx, ancestor))
    await createRepo(tx, { name, createdAt, description, provenance })
  }
  // Lists are in the order in which commits were finished.
  const finished = repos
    .flatMap((repo) => repo.commits)
    .toSorted((left, right) => left.finishedAt - right.finishedAt)
  const commits = new Map(finished.map((commit) => [commit.id, commit]))
  for (const commit of ancestorsFirst(commits, cameBefore)) await importCommit(tx, commit)
  for (const repo of repos) {
    for (const branch of repo.branches) await importBranch(tx, repo.name, branch, ports)
    for (const tag of repo.tags) await importTag(tx, repo.name, tag)
  }
}

function* cameBefore({ parent, mergeParents, provenance }: PulledCommit): Generator<CommitId> {
  if (parent !== undefined) yield parent
  yield* mergeParents
  for (const { id } of provenance) yield id
}

async function importCommit(tx: Transaction, commit: PulledCommit): Promise<void> {
  const { repo, id, parent, mergeParents } = commit
  if (await hasCommit(tx, id)) throw changed(`commit ${id} has come`)
  for (const before of parent === undefined ? mergeParents : [parent, ...mergeParents]) {
    if (await hasCommit(tx, before, repo)) continue
    throw changed(`commit ${before} of ${repo}, which ${id} follows, was deleted`)
  }
  for (const other of commit.provenance) {
    if (await hasCommit(tx, other.id, other.repo)) continue
    throw new FailedPreconditionError(
      `commit ${id} of ${repo} is made from ${other.repo}@${other.id}, which is not here: pull ${other.repo}, too, or all that it is made from with --with-provenance`,
    )
  }
  const byId = new Map(commit.provenance.map((name) => [name.id, name]))
  const direct = await nearest([...byId.keys()], async (ancestor) =>
    (await commitAncestors(tx, ancestor)).map((name) => name.id),
  )
  const provenance = direct.flatMap((ancestor) => byId.get(ancestor) ?? [])
  await deleteIfGone(tx, id)
  await insertFinishedCommit(tx, { ...commit, provenance })
}

/** Those that no other one is made from: what follows from them is worked out again. */
async function nearest<Name extends string>(
  all: readonly Name[],
  ancestorsOf: (name: Name) => Promise<readonly Name[]>,
): Promise<readonly Name[]> {
  const further = new Set<Name>()
  for (const name of all) for (const ancestor of await ancestorsOf(name)) further.add(ancestor)
  return all.filter((name) => !further.has(name))
}

async function importBranch(
  tx: Transaction,
  repo: RepoName,
  { name, head, before }: PulledBranch,
  { onHeadReady, uses }: { readonly onHeadReady: OnHeadReady; readonly uses: CommitUses },
): Promise<void> {
  const now = await findBranch(tx, repo, name)
  if (now?.head !== before) throw changed(`branch ${name} of ${repo} has moved`)
  const writer = await uses.writerOf(tx, repo, name)
  if (writer !== undefined) {
    throw new FailedPreconditionError(
      `branch ${name} of ${repo} is written by pipeline ${writer} here, so nothing can be pulled into it: clone the repo on a server without that pipeline`,
    )
  }
  if ((await findCommitTag(tx, repo, name)) !== undefined) {
    throw new FailedPreconditionError(
      `${repo} has a commit tag ${name} here, and there it is a branch: delete the tag, or give it another name`,
    )
  }
  await setHead(tx, onHeadReady, { repo, name, head })
}

async function importTag(
  tx: Transaction,
  repo: RepoName,
  { name, commit: id, taggedAt }: PulledTag,
): Promise<void> {
  const isTaken =
    (await findCommitTag(tx, repo, name)) !== undefined ||
    (await findBranch(tx, repo, name)) !== undefined
  if (isTaken) throw changed(`${name} was made in ${repo}`)
  await writeCommitTag(tx, { repo, name, id, tagged_at: taggedAt })
}

function changed(what: string): FailedPreconditionError {
  return new FailedPreconditionError(
    `${what} meanwhile, and nothing has been pulled: pull again, and what has come does not come again`,
  )
}
