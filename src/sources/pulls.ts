import type { AskCaller } from '../base/caller-questions.ts'
import { FailedPreconditionError, InvalidArgumentError, NotFoundError } from '../base/errors.ts'
import { parseCommitId, parseRepoName } from '../base/names.ts'
import { parseAddress } from '../client/address.ts'
import type { DirectoryEntry } from '../storage/file-trees.ts'
import type { Lease, Leases } from '../storage/leases.ts'
import { type CommitTree, treeEntry } from '../versioning/commit-records.ts'
import type { PulledCommit, PulledRepo, PulledRepos } from '../versioning/pulled-repos.ts'
import { AskingTransport, type PushedCall, type PushedPart } from './asking-transport.ts'
import { PeerHistory } from './pfs/peer-history.ts'
import type { PeerCommitFacts, PeerRepo, PullOrigin } from './pull-origin.ts'
import { planPull, type PullPlan } from './pull-plan.ts'
import { pullTree, type PulledTally, type PulledTreesPorts } from './pulled-trees.ts'
import type { SessionPorts, Sources } from './sources.ts'

/** What is to come of a place that has repos. */
export interface PullWish {
  /** None: all that there are. */
  readonly repos: readonly string[]
  /** Also what these repos are made from. */
  readonly withProvenance: boolean
  /** Also finished commits that no branch, tag or merge leads to. */
  readonly withUnreached: boolean
  /** Refuse repos that are here. */
  readonly onlyNew: boolean
  readonly isDryRun: boolean
}

export interface PullRequest extends PullWish {
  /** Of another server of ours, as HOST:PORT. */
  readonly address: string
}

/** What has come of a repo, or would come. */
export interface PulledCounts {
  readonly repo: string
  readonly commitCount: number
  /** Branches that were made or moved. */
  readonly branches: readonly string[]
  /** Branches that have commits here which are not there, and nothing new there. */
  readonly ahead: readonly string[]
  /** Finished commits there that nothing leads to, and that do not come. */
  readonly leftOutCount: number
  /** Commit tags that were made. */
  readonly tags: readonly string[]
  /** Commit tags there whose name stands for something else here, and still does. */
  readonly otherTags: readonly string[]
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
    const origin = await session.openHistory(parseAddress(request.address), signal)
    yield* this.#pullFrom({ origin, session: session.ports }, request, signal)
  }

  /** The same from somewhere else than an address. */
  async *pullFrom(
    origin: PullOrigin,
    wish: PullWish,
    signal: AbortSignal,
  ): AsyncGenerator<PullEvent> {
    await using session = this.#ports.sources.session()
    yield* this.#pullFrom({ origin, session: session.ports }, wish, signal)
  }

  /** The same from the server of whoever asks for it, who makes the calls. */
  async *pullFromCaller(
    ask: AskCaller<PushedCall, PushedPart>,
    wish: PullWish,
    signal: AbortSignal,
  ): AsyncGenerator<PullEvent> {
    const transport = new AskingTransport(ask)
    yield* this.pullFrom(new PeerHistory(transport, 'the pushing side'), wish, signal)
  }

  async *#pullFrom(
    from: { readonly origin: PullOrigin; readonly session: SessionPorts },
    wish: PullWish,
    signal: AbortSignal,
  ): AsyncGenerator<PullEvent> {
    const { origin } = from
    const plans: PullPlan[] = []
    const wanted = await wantedRepos(origin, wish, signal)
    await requireProvenance(wanted, this.#ports.repos)
    for (const repo of wanted) {
      if (wish.onlyNew && (await this.#ports.repos.has(parseRepoName(repo.name)))) {
        throw new FailedPreconditionError(
          `repo ${repo.name} is here already: pachctl pull brings what is new there`,
        )
      }
      plans.push(await planPull({ origin, repos: this.#ports.repos }, repo, wish, signal))
    }
    if (!wish.isDryRun) {
      using lease = this.#ports.leases.begin()
      const pulled: PulledRepo[] = []
      for (const plan of plans) pulled.push(yield* this.#bring(plan, { ...from, lease }, signal))
      await this.#ports.repos.import(pulled)
    }
    for (const plan of plans) yield { kind: 'repo', counts: countsOf(plan) }
  }

  /** Makes the trees of all commits that are new, the oldest first. */
  async *#bring(
    { repo, name, commits, branches, tags }: PullPlan,
    peer: {
      readonly origin: PullOrigin
      readonly session: SessionPorts
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
      const origin = peer.origin.contentsOf(commit)
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
        mergeParents: commit.mergeParents.map(parseCommitId),
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
    return { name, createdAt, description, provenance, commits: pulled, branches, tags }
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

function countsOf(plan: PullPlan): PulledCounts {
  const { name, commits, branches, ahead, leftOutCount, tags, otherTags } = plan
  return {
    repo: name,
    commitCount: commits.length,
    branches: branches.map((branch) => branch.name),
    ahead,
    leftOutCount,
    tags: tags.map((tag) => tag.name),
    otherTags,
  }
}

/** @throws {NotFoundError} when a repo would come without one that it is made from. */
async function requireProvenance(
  wanted: readonly PeerRepo[],
  repos: Pick<PulledRepos, 'has'>,
): Promise<void> {
  const coming = new Set(wanted.map(({ name }) => name))
  for (const { name, provenance } of wanted) {
    if (await repos.has(parseRepoName(name))) continue
    for (const above of provenance) {
      if (coming.has(above) || (await repos.has(parseRepoName(above)))) continue
      throw new NotFoundError(
        `repo ${name} is made from ${above}, which is not here: have it come, too (--with-provenance)`,
      )
    }
  }
}

/** Each after those that it is made from. Only what is wanted is asked for. */
async function wantedRepos(
  origin: PullOrigin,
  { repos, withProvenance }: PullWish,
  signal: AbortSignal,
): Promise<readonly PeerRepo[]> {
  const named = repos.length === 0 ? [...(await origin.repos(signal))] : []
  for (const name of repos) named.push(await origin.repo(name, signal))
  const wanted = new Map(named.map((repo) => [repo.name, repo]))
  for (const name of withProvenance ? named.flatMap((repo) => repo.provenance) : []) {
    if (!wanted.has(name)) wanted.set(name, await origin.repo(name, signal))
  }
  if (wanted.size === 0) throw new InvalidArgumentError(`${origin.address} has no repos`)
  // What a repo is made from is made from less.
  return [...wanted.values()].toSorted(
    (left, right) => left.provenance.length - right.provenance.length,
  )
}
