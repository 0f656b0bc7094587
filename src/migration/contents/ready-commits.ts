import type { Instant } from '../../base/clock.ts'
import { assert } from '../../base/errors.ts'
import type { BranchName, CommitId } from '../../base/names.ts'
import type { CommitTree } from '../../versioning/commit-records.ts'
import type { StagedColumns } from '../../versioning/imports.ts'
import type { CommitName } from '../../versioning/ports.ts'
import type { CommitPlan, PlannedBranch, PlannedCommit } from '../plan/commit-plan.ts'
import type { Findings } from '../findings.ts'

/** A commit whose tree is here. */
export interface ReadyCommit extends CommitName {
  readonly parent: CommitId | undefined
  readonly provenance: readonly CommitName[]
  readonly startedAt: Instant
  /** Undefined for one that stays open. */
  readonly finishedAt: Instant | undefined
  /** The name that its tree had; empty for one that was open. */
  readonly oldTree: string
}

/** What of a commit no row says. */
export interface HeldCommit {
  /** Also of an open one: as if it was finished. */
  readonly tree: CommitTree
  /** Of one that stays open. */
  readonly staged?: readonly StagedColumns[]
}

export type ReadyBranch = Omit<PlannedBranch, 'name'> & { readonly name: BranchName }

/** Finds trees that are recorded, by the names that they had: a few hundred at once. */
export type FindTrees = (hashes: readonly string[]) => Promise<ReadonlyMap<string, CommitTree>>

const pageCommits = 400

/**
 * What has come of the commits of a plan. There may be millions, so their trees are looked up again
 * where they are needed, but for those that no row has.
 */
export class ReadyCommits {
  readonly #plan: CommitPlan
  readonly #now: Instant
  readonly #places: ReadonlyMap<CommitId, number>
  /** How many of the plan have been gone through. */
  #comeCount = 0
  /** Those that are left out, and what is in their place. */
  readonly #heirs = new Map<CommitId, CommitId | undefined>()
  readonly #held = new Map<CommitId, HeldCommit>()

  /** @param now when commits that were open are finished. */
  constructor(plan: CommitPlan, now: Instant) {
    this.#plan = plan
    this.#now = now
    this.#places = new Map(plan.commits.map(({ id }, place) => [id, place]))
  }

  /** The next one of the plan has come. */
  add(id: CommitId, held?: HeldCommit): void {
    if (held !== undefined) this.#held.set(id, held)
    this.#comeCount += 1
  }

  /** The next one of the plan does not come: its parent stands in its place. */
  leaveOut({ id, parent }: PlannedCommit): void {
    this.#heirs.set(id, this.standing(parent))
    this.#comeCount += 1
  }

  isLeftOut(id: CommitId | undefined): boolean {
    return id !== undefined && this.#heirs.has(id)
  }

  /** The commit itself, or what is in its place. */
  standing(id: CommitId | undefined): CommitId | undefined {
    let standing = id
    while (standing !== undefined && this.#heirs.has(standing)) standing = this.#heirs.get(standing)
    return standing
  }

  get(id: CommitId): ReadyCommit | undefined {
    const place = this.#places.get(id) ?? this.#comeCount
    const planned = this.#plan.commits[place]
    if (planned === undefined || !this.#hasCome(id, this.#comeCount)) return undefined
    return {
      repo: planned.repo,
      id,
      parent: this.standing(planned.parent),
      provenance: this.#provenanceOf(planned, place),
      startedAt: planned.startedAt,
      finishedAt:
        this.#held.get(id)?.staged === undefined ? (planned.finishedAt ?? this.#now) : undefined,
      oldTree: planned.tree ?? '',
    }
  }

  /** In place of a commit that is left out, what that was made from. */
  #provenanceOf({ provenance }: PlannedCommit, place: number): readonly CommitName[] {
    const ahead = new Map(provenance.map((from) => [from.id, from]))
    for (const id of ahead.keys()) {
      if (!this.#heirs.has(id)) continue
      const left = this.#plan.commits[this.#places.get(id) ?? place]
      for (const from of left?.provenance ?? []) ahead.set(from.id, from)
    }
    return [...ahead.values()].filter(({ id }) => this.#hasCome(id, place))
  }

  /** Whether it is one of the first `count` of the plan, and not left out. */
  #hasCome(id: CommitId, count: number): boolean {
    return (this.#places.get(id) ?? count) < count && !this.#heirs.has(id)
  }

  /** Each after its parent and those that it is made from. */
  *all(): Generator<ReadyCommit> {
    for (const { id } of this.#plan.commits) {
      const commit = this.get(id)
      if (commit !== undefined) yield commit
    }
  }

  /** Those that go back, or have nothing to go back to, are told. */
  branches(findings: Findings): readonly ReadyBranch[] {
    return this.#plan.branches.flatMap((branch) => {
      const head = this.standing(branch.head)
      if (head !== branch.head) {
        const instead =
          head === undefined ? 'and nothing is before it' : `so it goes back to ${head}`
        const reason = `its head ${branch.head} is left out, ${instead}`
        findings.damage('branch', `${branch.repo}@${branch.name}`, reason)
      }
      return head === undefined ? [] : [{ ...branch, head, name: branch.name as BranchName }]
    })
  }

  /** As `all`, with what they hold. */
  async *withTrees(find: FindTrees): AsyncGenerator<ReadyCommit & HeldCommit> {
    const page: ReadyCommit[] = []
    for (const commit of this.all()) {
      page.push(commit)
      if (page.length === pageCommits) yield* this.#withTrees(page.splice(0), find)
    }
    yield* this.#withTrees(page, find)
  }

  async *#withTrees(
    commits: readonly ReadyCommit[],
    find: FindTrees,
  ): AsyncGenerator<ReadyCommit & HeldCommit> {
    const hashes = commits.flatMap(({ id, oldTree }) => (this.#held.has(id) ? [] : [oldTree]))
    const trees = await find([...new Set(hashes)])
    for (const commit of commits) {
      yield { ...commit, ...(this.#held.get(commit.id) ?? recordedIn(trees, commit)) }
    }
  }

  async treeOf(commit: ReadyCommit, find: FindTrees): Promise<CommitTree> {
    const held = this.#held.get(commit.id)
    return (held ?? recordedIn(await find([commit.oldTree]), commit)).tree
  }
}

function recordedIn(
  trees: ReadonlyMap<string, CommitTree>,
  { oldTree }: ReadyCommit,
): { readonly tree: CommitTree } {
  const tree = trees.get(oldTree)
  assert(tree !== undefined, 'a tree that came is recorded, unless it is held')
  return { tree }
}
