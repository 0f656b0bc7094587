import { FailedPreconditionError, InvalidArgumentError } from '../base/errors.ts'
import { parseBranchName, parseCommitId, parseRepoName, type RepoName } from '../base/names.ts'
import { parseAddress } from '../client/address.ts'
import type { DirectoryEntry } from '../storage/file-trees.ts'
import type { Lease, Leases } from '../storage/leases.ts'
import { type CommitTree, treeEntry } from '../versioning/commit-records.ts'
import type {
  PulledBranch,
  PulledCommit,
  PulledRepo,
  PulledRepos,
} from '../versioning/pulled-repos.ts'
import type { PeerCommit, PeerContents } from './pfs/peer.ts'
import type { PeerCommitFacts, PeerHistory, PeerRepo } from './pfs/peer-history.ts'
import { pullTree, type PulledTally, type PulledTreesPorts } from './pulled-trees.ts'
import type { SessionPorts, Sources } from './sources.ts'

export interface PullRequest {
  /** Of another server of ours, as HOST:PORT. */
  readonly address: string
  /** None: all that there are. */
  readonly repos: readonly string[]
  /** Also what these repos are made from. */
  readonly withProvenance: boolean
  /** Refuse repos that are here. */
  readonly onlyNew: boolean
  readonly isDryRun: boolean
}

/** What has come of a repo, or would come. */
export interface PulledCounts {
  readonly repo: string
  readonly commitCount: number
  /** Branches that were made or moved. */
  readonly branches: readonly string[]
  /** Branches that have commits here which are not there, and nothing new there. */
  readonly ahead: readonly string[]
}

export type PullEvent =
  | {
      readonly kind: 'progress'
      readonly repo: string
      readonly commitsDone: number
      readonly commitsTotal: number
      readonly fileCount: number
      readonly cameBytes: number
    }
  | { readonly kind: 'repo'; readonly counts: PulledCounts }

export interface PullsPorts extends Omit<PulledTreesPorts, 'session'> {
  readonly sources: Sources
  readonly repos: PulledRepos
  readonly leases: Leases
}

/** Commits of one pull: their facts are held at once. */
const commitCountMax = 1_000_000

interface Plan {
  readonly repo: PeerRepo
  readonly name: RepoName
  /** Parents first. */
  readonly commits: readonly PeerCommitFacts[]
  readonly branches: readonly PulledBranch[]
  readonly ahead: readonly string[]
}

/** Brings repos of other servers here, with their history: the same commits, with their ids. */
export class Pulls {
  readonly #ports: PullsPorts

  constructor(ports: PullsPorts) {
    this.#ports = ports
  }

  /**
   * Brings what is new there, in one step at the end; contents that are here do not come, so that a pull which
   * was stopped goes on where it was.
   *
   * @throws {FailedPreconditionError} when a branch has gone another way here than there.
   */
  async *pull(request: PullRequest, signal: AbortSignal): AsyncGenerator<PullEvent> {
    await using session = this.#ports.sources.session()
    const { history, contentsOf } = await session.openHistory(parseAddress(request.address), signal)
    const wanted = await wantedRepos(history, request, signal)
    const plans: Plan[] = []
    for (const repo of wanted) plans.push(await this.#plan(history, repo, request, signal))
    if (!request.isDryRun) {
      using lease = this.#ports.leases.begin()
      const pulled: PulledRepo[] = []
      for (const plan of plans) {
        pulled.push(yield* this.#bring(plan, { session: session.ports, contentsOf, lease }, signal))
      }
      await this.#ports.repos.import(pulled)
    }
    for (const { name, commits, branches, ahead } of plans) {
      const moved = branches.map((branch) => branch.name)
      const counts = { repo: name, commitCount: commits.length, branches: moved, ahead }
      yield { kind: 'repo', counts }
    }
  }

  async #plan(
    history: PeerHistory,
    repo: PeerRepo,
    { onlyNew }: PullRequest,
    signal: AbortSignal,
  ): Promise<Plan> {
    const name = parseRepoName(repo.name)
    if (onlyNew && (await this.#ports.repos.has(name))) {
      throw new FailedPreconditionError(
        `repo ${name} is here already: pachctl pull brings what is new there`,
      )
    }
    const commits = new Map<string, PeerCommitFacts>()
    /** Of each of them, the newest before it that is here. */
    const bases = new Map<string, string | undefined>()
    const branches: PulledBranch[] = []
    const ahead: string[] = []
    for (const [text, top] of await history.branches(repo.name, signal)) {
      const line: PeerCommitFacts[] = []
      /** The newest that is here, if one is. */
      let base: string | undefined
      let head: string | undefined
      for await (const commit of history.line(repo.name, top, signal)) {
        head ??= commit.id
        if (commits.has(commit.id)) {
          base = bases.get(commit.id)
          break
        }
        if ((await this.#ports.repos.tree(commit)) !== undefined) {
          base = commit.id
          break
        }
        line.push(commit)
        if (commits.size + line.length > commitCountMax) throw tooMany(name)
      }
      for (const commit of line.toReversed()) {
        commits.set(commit.id, commit)
        bases.set(commit.id, base)
      }
      // Nothing of it has finished yet.
      if (head === undefined) continue
      const branch = parseBranchName(text)
      const move = await this.#move(name, branch, { head, base })
      if (move === 'ahead') ahead.push(branch)
      else if (move !== undefined) branches.push(move)
    }
    return { repo, name, commits: [...commits.values()], branches, ahead }
  }

  /** What becomes of a branch; nothing, when it is the same here and there. */
  async #move(
    repo: RepoName,
    name: PulledBranch['name'],
    there: { readonly head: string; readonly base: string | undefined },
  ): Promise<PulledBranch | 'ahead' | undefined> {
    const head = parseCommitId(there.head)
    const base = there.base === undefined ? undefined : parseCommitId(there.base)
    const standing = await this.#ports.repos.standing({ repo, name, head, base })
    switch (standing.kind) {
      case 'same':
        return undefined
      case 'ahead':
        return 'ahead'
      case 'behind':
        return { name, head, before: standing.before }
      case 'apart':
        throw new FailedPreconditionError(
          `branch ${name} of ${repo} has gone another way here than there: here its head is ${standing.before}, which is not among the commits of ${head} there, and nothing has been pulled. To have both, set another branch to what is here (pachctl set-branch ${repo} ${standing.before} mine), delete branch ${name}, pull again, and merge them (pachctl merge-branch)`,
        )
    }
  }

  /** Makes the trees of all commits that are new, the oldest first. */
  async *#bring(
    { repo, name, commits, branches }: Plan,
    peer: {
      readonly session: SessionPorts
      readonly contentsOf: (commit: PeerCommit) => PeerContents
      readonly lease: Lease
    },
    signal: AbortSignal,
  ): AsyncGenerator<PullEvent, PulledRepo> {
    const made = new Map<string, CommitTree>()
    const pulled: PulledCommit[] = []
    const tally: PulledTally = { fileCount: 0, addedBytes: 0, cameBytes: 0 }
    for (const commit of commits) {
      const before = await this.#treeOf(commit, made, peer.lease)
      const addedBefore = tally.addedBytes
      const origin = peer.contentsOf({ ...commit, isFinished: true })
      const what = { name: `${name}@${commit.id}`, before, root: commit.root }
      const ports = { ...this.#ports, session: peer.session }
      const { root, sizeBytes, fileCount } = await pullTree(ports, origin, what, tally, signal)
      const tree = { root, sizeBytes, fileCount }
      made.set(commit.id, tree)
      pulled.push({
        ...commit,
        repo: name,
        id: parseCommitId(commit.id),
        parent: commit.parent === undefined ? undefined : parseCommitId(commit.parent),
        provenance: commit.provenance.map((other) => ({
          repo: parseRepoName(other.repo),
          id: parseCommitId(other.id),
        })),
        tree,
        addedBytes: tally.addedBytes - addedBefore,
      })
      const counts = { fileCount: tally.fileCount, cameBytes: tally.cameBytes }
      const [commitsDone, commitsTotal] = [pulled.length, commits.length]
      yield { kind: 'progress', repo: name, commitsDone, commitsTotal, ...counts }
    }
    const { createdAt, description } = repo
    const provenance = repo.provenance.map(parseRepoName)
    return { name, createdAt, description, provenance, commits: pulled, branches }
  }

  /** What the commit's parent has. */
  async #treeOf(
    { repo, parent }: PeerCommitFacts,
    made: ReadonlyMap<string, CommitTree>,
    lease: Lease,
  ): Promise<DirectoryEntry> {
    const { trees, repos } = this.#ports
    if (parent === undefined) return await trees.emptyRoot()
    const tree =
      made.get(parent) ??
      (await lease.acquire(async () => {
        const found = await repos.tree({ repo, id: parent })
        if (found !== undefined) lease.hold({ kind: 'tree', root: found.root })
        return found
      }))
    if (tree !== undefined) return treeEntry(tree)
    throw new FailedPreconditionError(
      `commit ${parent} of ${repo} was deleted there while it was pulled: pull again`,
    )
  }
}

/** Each after those that it is made from. */
async function wantedRepos(
  history: PeerHistory,
  { repos, withProvenance }: PullRequest,
  signal: AbortSignal,
): Promise<readonly PeerRepo[]> {
  const all = new Map((await history.repos(signal)).map((repo) => [repo.name, repo]))
  const wanted = new Map<string, PeerRepo>()
  for (const name of repos.length === 0 ? all.keys() : repos) {
    // Also says it in the other server's words when there is none.
    const repo = all.get(name) ?? (await history.repo(name, signal))
    wanted.set(name, repo)
    for (const other of withProvenance ? repo.provenance : []) {
      const found = all.get(other)
      if (found !== undefined) wanted.set(other, found)
    }
  }
  if (wanted.size === 0) throw new InvalidArgumentError(`${history.address} has no repos`)
  // What a repo is made from is made from less.
  return [...wanted.values()].toSorted(
    (left, right) => left.provenance.length - right.provenance.length,
  )
}

function tooMany(repo: string): FailedPreconditionError {
  return new FailedPreconditionError(
    `${repo} has more than ${commitCountMax} commits that are not here, which is more than one pull brings`,
  )
}
