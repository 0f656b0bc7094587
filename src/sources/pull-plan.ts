import { ancestorsFirst } from '../base/ancestors-first.ts'
import { FailedPreconditionError } from '../base/errors.ts'
import {
  parseCommitId,
  parseCommitTag,
  parseImportedBranchName,
  parseRepoName,
  type RepoName,
} from '../base/names.ts'
import type { PulledBranch, PulledRepos, PulledTag } from '../versioning/pulled-repos.ts'
import type { PeerCommitFacts, PeerRepo, PullOrigin } from './pull-origin.ts'

/** What is to come of a repo. */
export interface PullPlan {
  readonly repo: PeerRepo
  readonly name: RepoName
  /** Parents first, and what was merged into a commit before it. */
  readonly commits: readonly PeerCommitFacts[]
  /** Branches that are made or moved. */
  readonly branches: readonly PulledBranch[]
  /** Branches that have commits here which are not there, and nothing new there. */
  readonly ahead: readonly string[]
  /** Finished commits there that nothing leads to, and that do not come. */
  readonly leftOutCount: number
  readonly tags: readonly PulledTag[]
  /** Names of commit tags that stand for something else here, and stay. */
  readonly otherTags: readonly string[]
}

/** Commits of one repo: their facts are held at once. */
const commitCountMax = 1_000_000

/** @throws {FailedPreconditionError} when a branch has gone another way here than there. */
export async function planPull(
  ports: { readonly origin: PullOrigin; readonly repos: PulledRepos },
  repo: PeerRepo,
  { withUnreached }: { readonly withUnreached: boolean },
  signal: AbortSignal,
): Promise<PullPlan> {
  const name = parseRepoName(repo.name)
  const lines = new NewLines(ports, name, signal)
  const branches: PulledBranch[] = []
  const ahead: string[] = []
  for (const [text, top] of await ports.origin.branches(name, signal)) {
    const line = await lines.follow(top)
    // Nothing of it has finished yet.
    if (line === undefined) continue
    const branch = parseImportedBranchName(text)
    const move = await moveOf(ports.repos, { repo: name, branch, ...line })
    if (move === 'ahead') ahead.push(branch)
    else if (move !== undefined) branches.push(move)
  }
  const tags: PulledTag[] = []
  const otherTags: string[] = []
  for await (const { name: text, commit: id, taggedAt } of ports.origin.tags(name, signal)) {
    const tag = parseCommitTag(text)
    const commit = parseCommitId(id)
    const standing = await ports.repos.tagStanding(name, tag)
    if (standing !== undefined) {
      if (standing !== commit) otherTags.push(tag)
    } else if ((await lines.follow(commit))?.head === commit) {
      tags.push({ name: tag, commit, taggedAt })
    }
  }
  await lines.followMerged()
  const unreached = await lines.unreached({ seeksAll: withUnreached })
  if (withUnreached) {
    for (const id of unreached) await lines.follow(id)
    await lines.followMerged()
  }
  const leftOutCount = withUnreached ? 0 : unreached.length
  const commits = lines.commits()
  return { repo, name, commits, branches, ahead, leftOutCount, tags, otherTags }
}

/** What becomes of a branch; nothing, when it is the same here and there. */
async function moveOf(
  repos: PulledRepos,
  there: {
    readonly repo: RepoName
    readonly branch: PulledBranch['name']
    readonly head: string
    readonly base: string | undefined
  },
): Promise<PulledBranch | 'ahead' | undefined> {
  const { repo, branch: name } = there
  const head = parseCommitId(there.head)
  const base = there.base === undefined ? undefined : parseCommitId(there.base)
  const standing = await repos.standing({ repo, name, head, base })
  switch (standing.kind) {
    case 'same':
      return undefined
    case 'ahead':
      return 'ahead'
    case 'behind':
      return { name, head, before: standing.before }
    case 'apart':
      throw new FailedPreconditionError(
        `branch ${name} of ${repo} has gone another way here than there: here its head is ${standing.before}, which is not among the commits of ${head} there, and nothing has been pulled. To have both, set another branch to what is here (pachctl set-branch ${repo} ${standing.before} mine), delete branch ${name}, run this again, and merge them (pachctl merge-branch)`,
      )
  }
}

/** Commits that are not here, found along the lines of their parents. */
class NewLines {
  readonly #origin: PullOrigin
  readonly #repos: PulledRepos
  readonly #repo: RepoName
  readonly #signal: AbortSignal
  readonly #commits = new Map<string, PeerCommitFacts>()
  /** Of each of them, the newest before it that is here. */
  readonly #bases = new Map<string, string | undefined>()

  constructor(
    { origin, repos }: { readonly origin: PullOrigin; readonly repos: PulledRepos },
    repo: RepoName,
    signal: AbortSignal,
  ) {
    this.#origin = origin
    this.#repos = repos
    this.#repo = repo
    this.#signal = signal
  }

  /** Ancestors first. */
  commits(): readonly PeerCommitFacts[] {
    return ancestorsFirst(this.#commits, ({ parent, mergeParents }) =>
      parent === undefined ? mergeParents : [parent, ...mergeParents],
    )
  }

  /** The newest finished commit of a line, and the newest of it that is here, if one is. */
  async follow(
    top: string,
  ): Promise<{ readonly head: string; readonly base: string | undefined } | undefined> {
    const known = await this.#known(top)
    if (known !== undefined) return { head: top, base: known.base }
    const line: PeerCommitFacts[] = []
    let base: string | undefined
    let head: string | undefined
    for await (const commit of this.#origin.line(this.#repo, top, this.#signal)) {
      head ??= commit.id
      const found = await this.#known(commit.id)
      base = found?.base
      if (found !== undefined) break
      line.push(commit)
      if (this.#commits.size + line.length > commitCountMax) throw tooMany(this.#repo)
    }
    for (const commit of line) {
      this.#commits.set(commit.id, commit)
      this.#bases.set(commit.id, base)
    }
    return head === undefined ? undefined : { head, base }
  }

  /** Finds also what was merged into those that were found. */
  async followMerged(): Promise<void> {
    // A map's iteration comes to what is added meanwhile, too.
    for (const { mergeParents } of this.#commits.values()) {
      for (const id of mergeParents) await this.follow(id)
    }
  }

  /**
   * The finished commits there that neither are here nor were found, the latest written first. Unless all are
   * sought, those before all that was found, back to one that is here: the cost follows what is new.
   */
  async unreached({ seeksAll }: { readonly seeksAll: boolean }): Promise<readonly string[]> {
    const unreached: string[] = []
    let leftCount = this.#commits.size
    for await (const { id } of this.#origin.commits(this.#repo, this.#signal)) {
      const isFound = this.#commits.has(id)
      if (isFound) leftCount -= 1
      else if ((await this.#known(id)) === undefined) {
        unreached.push(id)
        if (unreached.length > commitCountMax) throw tooMany(this.#repo)
      } else if (leftCount <= 0 && !seeksAll) break
    }
    return unreached
  }

  /** Undefined for a commit that neither is here nor was found. */
  async #known(id: string): Promise<{ readonly base: string | undefined } | undefined> {
    if (this.#commits.has(id)) return { base: this.#bases.get(id) }
    const tree = await this.#repos.tree({ repo: this.#repo, id })
    return tree === undefined ? undefined : { base: id }
  }
}

function tooMany(repo: string): FailedPreconditionError {
  return new FailedPreconditionError(
    `${repo} has more than ${commitCountMax} commits that are not here, which is more than one pull brings`,
  )
}
