import { InvalidArgumentError } from '../../base/errors.ts'
import { type CommitId, parseBranchName, type RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { findBranch } from '../branches.ts'
import {
  checkCommitNames,
  type CommitInfo,
  findCommit,
  findDerivedCommit,
  getCommit,
  getCommitName,
} from '../commit-records.ts'
import { listLine } from '../commits/listing.ts'
import { FlushFailedError, type FlushFailure } from '../errors.ts'
import {
  branchTopic,
  branchTriggerTopic,
  commitTopic,
  type CommitName,
  type Downstream,
  type DownstreamState,
  repoTopic,
  type VersioningPorts,
} from '../ports.ts'
import { findCommitTag } from '../records/commit-tag-rows.ts'
import { repoDescendants } from '../records/repo-provenance.ts'
import { findRepo, getRepo } from '../repos.ts'
import { findGone } from './gone-commits.ts'
import { SeenCommits } from './seen-commits.ts'
import { watchChanges } from './watch-changes.ts'

/** What one statement can ask for; a commit that is given twice counts once. */
const flushedCommitsMax = 500

/** What a flush waits for. */
export interface FlushOptions {
  /** Each as in `resolveCommitId`. */
  readonly commits: readonly { readonly repo: string; readonly commit: string }[]
  readonly toRepos?: readonly string[] | undefined
  readonly signal: AbortSignal
}

/** Waits for commits to come. */
export class Subscriptions {
  readonly #ports: VersioningPorts

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  /**
   * One finished commit for each target repo, as they come: the first whose provenance contains
   * all `commits`. Targets: `toRepos`, or every repo of the main line made from all of the commits'
   * repos, but for those that are cut off from them. Ends after the last.
   *
   * @throws {InvalidArgumentError} without commits, or for more than 500.
   * @throws {FlushFailedError} when no target is left but those that can no longer get theirs.
   */
  async *flush(options: FlushOptions): AsyncGenerator<CommitInfo> {
    const { database, downstream } = this.#ports
    const waiting = new Set<string>()
    /** Their branches lead to what is waited for. */
    const around = new Set<string>()
    const flushed = new Set<string>()
    await using changes = watchChanges(database, {
      topics: [commitTopic, repoTopic, branchTopic, branchTriggerTopic, ...downstream.topics],
      signal: options.signal,
      matches({ topic, subject }) {
        const repo = subject.slice(0, subject.indexOf('/'))
        if (topic === commitTopic) return waiting.has(repo) || flushed.has(subject)
        return (topic !== branchTopic && topic !== branchTriggerTopic) || around.has(repo)
      },
    })
    const { commits, targets } = await database.read((tx) => flushPlan(tx, downstream, options))
    for (const target of targets) waiting.add(target)
    for (const { repo, id } of commits) flushed.add(`${repo}/${id}`)
    for (;;) {
      const left = targets.filter((target) => waiting.has(target))
      const failures: FlushFailure[] = []
      for (const target of left) {
        const found = await database.read(async (tx) => {
          for (const repo of (await findRepo(tx, target))?.provenance ?? []) around.add(repo)
          return await this.#flushStep(tx, commits, target)
        })
        if (found.kind === 'failed') failures.push({ repo: target, reason: found.reason })
        else if (found.kind !== 'pending') waiting.delete(target)
        if (found.kind === 'here') yield found.commit
      }
      if (waiting.size === 0) return
      if (failures.length === waiting.size) throw new FlushFailedError(failures)
      await changes.next()
    }
  }

  /**
   * What a flush of the same commits waits for, in sentences for people: each cause once, and none where
   * jobs just wait or run.
   *
   * @throws as `flush`, before it waits.
   */
  async flushCauses(options: Omit<FlushOptions, 'signal'>): Promise<readonly string[]> {
    const { database, downstream } = this.#ports
    const { commits, targets } = await database.read((tx) => flushPlan(tx, downstream, options))
    const causes = new Set<string>()
    for (const target of targets) {
      const cause = await database.read(async (tx) => {
        const step = await this.#flushStep(tx, commits, target)
        return step.kind === 'pending' ? await downstream.cause(tx, commits, target) : undefined
      })
      if (cause !== undefined) causes.add(cause)
    }
    return [...causes]
  }

  /**
   * The finished commits of a branch, oldest first, without `from` and what came before it; then
   * each head as it finishes, until `signal` aborts, which throws `CancelledError`. A repo or
   * branch that does not exist yet is waited for.
   *
   * @throws {InvalidArgumentError} for what is no branch and can be none, such as `master^`.
   */
  async *subscribe(options: {
    readonly repo: string
    readonly branch: string
    /** As in `resolveCommitId`, at the start. */
    readonly from?: string | undefined
    readonly signal: AbortSignal
  }): AsyncGenerator<CommitInfo> {
    const { database } = this.#ports
    const { repo, branch, signal } = options
    await using changes = watchChanges(database, {
      topics: [branchTopic, commitTopic],
      signal,
      matches: ({ topic, subject }) =>
        topic === branchTopic
          ? subject === `${repo}/${branch}` || subject === `${repo}/`
          : subject.startsWith(`${repo}/`),
    })
    const from = await database.read(async (tx) => {
      await requireFollowable(tx, repo, branch)
      return await startOf(tx, repo, options.from)
    })
    const seen = new SeenCommits()
    for (const id of await this.#line(repo, branch, from)) {
      const commit = await database.read((tx) => findCommit(tx, repo, id))
      if (commit?.state.kind !== 'finished') continue
      seen.add(id)
      yield commit
    }
    if (from !== undefined) seen.add(from)
    for (;;) {
      const head = await database.read((tx) => headOf(tx, repo, branch))
      if (head?.state.kind === 'finished' && !seen.has(head.id)) {
        seen.add(head.id)
        yield head
      } else {
        await changes.next()
      }
    }
  }

  /** The commit that a target gets, or whether one may still come. */
  async #flushStep(
    tx: ReadTransaction,
    commits: readonly CommitName[],
    target: RepoName,
  ): Promise<DownstreamState | { readonly kind: 'here'; readonly commit: CommitInfo }> {
    const commit = await findDerivedCommit(tx, target, commits)
    if (commit !== undefined) return { kind: 'here', commit }
    if ((await findRepo(tx, target)) === undefined) {
      return { kind: 'failed', reason: 'the repo has been deleted' }
    }
    const gone = await findGone(tx, commits)
    if (gone !== undefined && (await findRepo(tx, gone.repo)) !== undefined) {
      return { kind: 'failed', reason: `commit ${gone.repo}/${gone.id} was deleted` }
    }
    const state = await this.#ports.downstream.state(tx, commits, target)
    if (gone === undefined || state.kind !== 'pending') return state
    return { kind: 'failed', reason: `repo ${gone.repo} was deleted` }
  }

  /** The branch's commits that `from` does not have, oldest first: 32 characters for each. */
  async #line(
    repo: string,
    branch: string,
    from: CommitId | undefined,
  ): Promise<readonly CommitId[]> {
    const { database } = this.#ports
    const head = await database.read((tx) => headOf(tx, repo, branch))
    if (head === undefined) return []
    const line: CommitId[] = []
    for await (const commit of listLine(database, head.id, from)) line.push(commit.id)
    if (from === undefined) return line.toReversed()
    const last = line.at(-1)
    if (last === undefined) return []
    const oldest = await database.read((tx) => findCommit(tx, repo, last))
    if (oldest?.parent === from) return line.toReversed()
    // `from` is on another line: what the two share came before it.
    const before = new Set<CommitId>()
    for await (const commit of listLine(database, from, undefined)) before.add(commit.id)
    return line.filter((id) => !before.has(id)).toReversed()
  }
}

async function flushPlan(
  tx: ReadTransaction,
  downstream: Downstream,
  options: Omit<FlushOptions, 'signal'>,
): Promise<{ readonly commits: readonly CommitName[]; readonly targets: readonly RepoName[] }> {
  if (options.commits.length === 0) throw new InvalidArgumentError('fromCommits cannot be empty')
  const given = new Map(options.commits.map((each) => [`${each.repo}/${each.commit}`, each]))
  const distinct = [...given.values()]
  checkCommitNames(distinct.map(({ commit }) => commit))
  const byId = new Map<CommitId, CommitName>()
  for (const { repo, commit } of distinct) {
    const named = await getCommitName(tx, repo, commit)
    byId.set(named.id, named)
    if (byId.size > flushedCommitsMax) {
      throw new InvalidArgumentError(
        `cannot flush more than ${flushedCommitsMax} commits at once: flush them in parts`,
      )
    }
  }
  const commits = [...byId.values()]
  const sources = new Set(commits.map(({ repo }) => repo))
  const targets: RepoName[] = []
  if (options.toRepos !== undefined && options.toRepos.length > 0) {
    for (const name of new Set(options.toRepos)) {
      targets.push(await targetNamed(tx, name, { commits, sources }))
    }
    return { commits, targets }
  }
  let below: ReadonlySet<RepoName> | undefined
  let cutOff: ReadonlySet<RepoName> = new Set()
  for (const source of sources) {
    const descendants = new Set(await repoDescendants(tx, source))
    below = below === undefined ? descendants : below.intersection(descendants)
    cutOff = cutOff.union(await downstream.cutOff(tx, source, descendants))
  }
  const besides = await downstream.besides(tx)
  for (const repo of below ?? []) {
    if (besides.has(repo)) continue
    // What came before that happened is told all the same.
    if (cutOff.has(repo) && (await findDerivedCommit(tx, repo, commits)) === undefined) continue
    targets.push(repo)
  }
  return { commits, targets }
}

/** @throws {FlushFailedError} for a repo that is not made from those of all commits. */
async function targetNamed(
  tx: ReadTransaction,
  name: string,
  {
    commits,
    sources,
  }: { readonly commits: readonly CommitName[]; readonly sources: ReadonlySet<RepoName> },
): Promise<RepoName> {
  const repo = await getRepo(tx, name)
  const strays = sources.difference(new Set(repo.provenance))
  if (strays.size === 0 || (await findDerivedCommit(tx, repo.name, commits)) !== undefined) {
    return repo.name
  }
  const reason = `it is not made from repo ${[...strays][0]}`
  throw new FlushFailedError([{ repo: repo.name, reason }])
}

async function requireFollowable(tx: ReadTransaction, repo: string, branch: string): Promise<void> {
  if ((await findBranch(tx, repo, branch)) !== undefined) return
  const advice = `subscribe to a branch, such as those of list-branch ${repo}`
  if ((await findCommitTag(tx, repo, branch)) !== undefined) {
    throw new InvalidArgumentError(
      `${branch} is a commit tag of repo ${repo} and stays at its commit: ${advice}`,
    )
  }
  try {
    parseBranchName(branch)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new InvalidArgumentError(
      `no commit can come to ${JSON.stringify(branch)}, which is no branch of repo ${repo}: ${advice} (${reason})`,
      { cause },
    )
  }
}

async function startOf(
  tx: ReadTransaction,
  repo: string,
  from: string | undefined,
): Promise<CommitId | undefined> {
  if (from === undefined || from === '') return undefined
  return (await getCommit(tx, repo, from)).id
}

async function headOf(
  tx: ReadTransaction,
  repo: string,
  branch: string,
): Promise<CommitInfo | undefined> {
  const found = await findBranch(tx, repo, branch)
  return found === undefined ? undefined : findCommit(tx, repo, found.head)
}
