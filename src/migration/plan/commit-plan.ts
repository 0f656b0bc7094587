import {
  isCommitId,
  parseImportedBranchName,
  parseRepoName,
  type CommitId,
  type RepoName,
} from '../../base/names.ts'
import { isDamage, type Findings } from '../findings.ts'
import type { OldBranch, OldCatalog, OldCommit, OldRepo } from '../../legacy/old-records.ts'
import type { OpenCommitChoice } from '../events.ts'
import type { CommitName } from '../../versioning/ports.ts'

/** A repo that comes. */
export interface PlannedRepo extends Omit<OldRepo, 'name' | 'provenance'> {
  readonly name: RepoName
  /** That which does not follow from the rest. */
  readonly provenance: readonly RepoName[]
}

/**
 * A commit that comes, if its tree can be read. All of a cluster are held until they are there: no more of
 * each than is needed.
 */
export interface PlannedCommit extends Pick<
  OldCommit,
  'startedAt' | 'finishedAt' | 'sizeBytes' | 'tree'
> {
  readonly repo: RepoName
  readonly id: CommitId
  readonly parent: CommitId | undefined
  /** That which does not follow from the rest. */
  readonly provenance: readonly CommitName[]
}

export interface PlannedBranch extends Omit<OldBranch, 'repo' | 'head'> {
  readonly repo: RepoName
  readonly head: CommitId
}

/** What of repos comes: all that is named is there. */
export interface CommitPlan {
  /** Each after those that it is made from. */
  readonly repos: readonly PlannedRepo[]
  /** Each after its parent and those that it is made from; otherwise as they were written. */
  readonly commits: readonly PlannedCommit[]
  readonly branches: readonly PlannedBranch[]
}

/** Checks what a cluster says of repos, commits and branches, and puts it in order. */
export function planCommits(
  catalog: OldCatalog,
  openCommits: OpenCommitChoice,
  findings: Findings,
): CommitPlan {
  const repos = plannedRepos(catalog.repos, findings)
  const names = new Set<string>(repos.map(({ name }) => name))
  const known = new KnownCommits(catalog.commits, names, openCommits, findings)
  const commits = orderedCommits(known, names, findings)
  const branches: PlannedBranch[] = []
  for (const branch of catalog.branches) {
    const planned = plannedBranch(branch, known, names, findings)
    if (planned !== undefined) branches.push(planned)
  }
  return { repos, commits, branches }
}

function plannedRepos(repos: readonly OldRepo[], findings: Findings): readonly PlannedRepo[] {
  const valid = new Map<string, OldRepo & { readonly name: RepoName }>()
  for (const repo of repos) {
    try {
      valid.set(repo.name, { ...repo, name: parseRepoName(repo.name) })
    } catch (error) {
      if (!isDamage(error)) throw error
      findings.damage('repo', repo.name, error.message)
    }
  }
  const ancestorsOf = (name: string): readonly string[] => valid.get(name)?.provenance ?? []
  const ordered = inDependencyOrder(
    [...valid.values()],
    ({ name }) => name,
    (repo) => ancestorsOf(repo.name).flatMap((name) => valid.get(name) ?? []),
  )
  return ordered.map((repo) => {
    const given = repo.provenance.filter((name) => {
      if (valid.has(name)) return true
      findings.notice(
        `repo ${repo.name} was made from ${name}, which was deleted since: that is left out`,
      )
      return false
    })
    // A repo cannot be made from itself, whatever its record says.
    const others = given.filter((name) => name !== String(repo.name))
    const direct = directOf(others, (name) => ancestorsOf(name))
    return { ...repo, provenance: direct.map((name) => name as RepoName) }
  })
}

/** Commits by id. Those that are dropped, or cannot come, are left out. */
class KnownCommits {
  readonly #known = new Map<string, OldCommit>()
  /** What follows them follows their parents. */
  readonly #dropped = new Map<string, string | undefined>()

  constructor(
    commits: readonly OldCommit[],
    repos: ReadonlySet<string>,
    openCommits: OpenCommitChoice,
    findings: Findings,
  ) {
    for (const commit of commits) {
      const what = `${commit.repo}/${commit.id}`
      if (!isCommitId(commit.id)) findings.damage('commit', what, 'it is no id of a commit')
      else if (!repos.has(commit.repo)) findings.damage('commit', what, 'its repo is not there')
      else if (this.#known.has(commit.id)) {
        findings.damage('commit', what, 'another commit has the same id')
      } else if (commit.finishedAt === undefined && openCommits === 'drop') {
        findings.notice(`the open commit ${what} is dropped`)
        this.#dropped.set(commit.id, commit.parent)
      } else this.#known.set(commit.id, commit)
    }
  }

  all(): readonly OldCommit[] {
    return [...this.#known.values()]
  }

  get(id: string): OldCommit | undefined {
    return this.#known.get(id)
  }

  /** `id`, or of a dropped commit the nearest before it that comes; undefined where there is none. */
  standing(id: string | undefined): string | undefined {
    let standing = id
    for (let steps = 0; standing !== undefined && steps <= this.#dropped.size; steps += 1) {
      if (!this.#dropped.has(standing)) return standing
      standing = this.#dropped.get(standing)
    }
    return undefined
  }
}

function orderedCommits(
  known: KnownCommits,
  repos: ReadonlySet<string>,
  findings: Findings,
): readonly PlannedCommit[] {
  const provenanceOf = (commit: OldCommit): readonly OldCommit[] =>
    commit.provenance.flatMap(({ id }) => known.get(id) ?? [])
  const parentOf = (commit: OldCommit): OldCommit | undefined => {
    const parent = known.get(known.standing(commit.parent) ?? '')
    return parent?.repo === commit.repo && parent !== commit ? parent : undefined
  }
  const ordered = inDependencyOrder(
    known.all(),
    ({ id }) => id,
    (commit) => {
      const parent = parentOf(commit)
      return [...(parent === undefined ? [] : [parent]), ...provenanceOf(commit)]
    },
  )
  return ordered.map((commit) => {
    const what = `${commit.repo}/${commit.id}`
    const parent = parentOf(commit)
    if (known.standing(commit.parent) !== undefined && parent === undefined) {
      findings.damage('commit', what, `its parent ${commit.parent} is not there`)
    }
    for (const { repo, id } of commit.provenance) {
      if (known.get(id) !== undefined || known.standing(id) !== id) continue
      const missing = `commit ${what} was made from ${repo}/${id}, which is not there`
      if (repos.has(repo)) findings.damage('commit', `${what} from ${repo}/${id}`, missing)
      else findings.notice(`${missing} any more: that is left out`)
    }
    const ids = provenanceOf(commit).map(({ id }) => id)
    const direct = directOf(ids, (id) => known.get(id)?.provenance.map((from) => from.id) ?? [])
    return {
      repo: commit.repo as RepoName,
      id: commit.id as CommitId,
      startedAt: commit.startedAt,
      finishedAt: commit.finishedAt,
      sizeBytes: commit.sizeBytes,
      tree: commit.tree,
      parent: parent?.id as CommitId | undefined,
      provenance: direct
        .filter((id) => id !== commit.id)
        .map((id) => ({ repo: known.get(id)?.repo as RepoName, id: id as CommitId })),
    }
  })
}

function plannedBranch(
  branch: OldBranch,
  known: KnownCommits,
  repos: ReadonlySet<string>,
  findings: Findings,
): PlannedBranch | undefined {
  const what = `${branch.repo}@${branch.name}`
  if (!repos.has(branch.repo)) {
    findings.damage('branch', what, 'its repo is not there')
    return undefined
  }
  try {
    parseImportedBranchName(branch.name)
  } catch (error) {
    if (!isDamage(error)) throw error
    findings.damage('branch', what, error.message)
    return undefined
  }
  const standing = known.standing(branch.head)
  if (standing === undefined) {
    findings.notice(`branch ${what} is left out: it has nothing but a commit that is dropped`)
    return undefined
  }
  const head = known.get(standing)
  if (head?.repo === branch.repo) {
    return { ...branch, repo: branch.repo as RepoName, head: standing as CommitId }
  }
  findings.damage('branch', what, `its head ${branch.head} is not there`)
  return undefined
}

/** Those of `given` that none of the others is made from. */
function directOf(
  given: readonly string[],
  ancestorsOf: (name: string) => readonly string[],
): readonly string[] {
  const distinct = [...new Set(given)]
  const indirect = new Set<string>()
  for (const name of distinct) {
    for (const ancestor of ancestorsOf(name)) if (ancestor !== name) indirect.add(ancestor)
  }
  return distinct.filter((name) => !indirect.has(name))
}

/** Sorts so that each comes after what it needs, and else as given; circles are cut somewhere. */
function inDependencyOrder<Item>(
  items: readonly Item[],
  nameOf: (item: Item) => string,
  needsOf: (item: Item) => readonly Item[],
): readonly Item[] {
  const ordered: Item[] = []
  const begun = new Set<string>()
  for (const first of items) {
    const stack: { readonly item: Item; readonly needs: Iterator<Item> }[] = []
    const enter = (item: Item): void => {
      if (begun.has(nameOf(item))) return
      begun.add(nameOf(item))
      stack.push({ item, needs: needsOf(item)[Symbol.iterator]() })
    }
    enter(first)
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const step = top.needs.next()
      if (step.done !== true) enter(step.value)
      else {
        ordered.push(top.item)
        stack.pop()
      }
    }
  }
  return ordered
}
