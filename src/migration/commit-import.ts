import type { Instant } from '../base/clock.ts'
import type { BranchName, CommitId } from '../base/names.ts'
import type { OldCluster } from '../legacy/old-cluster.ts'
import type { CommitTree } from '../versioning/commit-records.ts'
import { changesBetween, type ImportedCommit } from '../versioning/imports.ts'
import type { CommitName } from '../versioning/ports.ts'
import type { CommitPlan, PlannedBranch, PlannedCommit } from './commit-plan.ts'
import type { OpenCommitChoice } from './events.ts'
import { replayWrites } from './open-commit-import.ts'
import type { TreeImport, TreeImportPorts } from './tree-import.ts'

/** Trees that come at once. */
const aheadMax = 8

export interface CommitImportPorts extends TreeImportPorts {
  readonly cluster: OldCluster
  readonly treeImport: TreeImport
  readonly now: Instant
}

/** A commit whose tree is here, with the name that its tree had. */
export interface ReadyCommit extends ImportedCommit {
  readonly oldTree: string
  /** Also of an open one: as if it was finished. */
  readonly tree: CommitTree
}

export interface ReadyCommits {
  readonly commits: readonly ReadyCommit[]
  readonly branches: readonly (Omit<PlannedBranch, 'name'> & { readonly name: BranchName })[]
}

/**
 * Brings the trees of commits here. A commit whose tree is damaged is left out, and told: what
 * follows it follows its parent then, and so do branches.
 */
export class CommitImport {
  readonly #ports: CommitImportPorts
  readonly #plan: CommitPlan
  readonly #openCommits: OpenCommitChoice
  /** Those that are left out, and what is in their place. */
  readonly #heirs = new Map<CommitId, CommitId | undefined>()
  readonly #ready = new Map<CommitId, ReadyCommit>()
  /** Those that a finished commit follows cannot stay open. */
  readonly #parents: ReadonlySet<CommitId | undefined>

  constructor(ports: CommitImportPorts, plan: CommitPlan, openCommits: OpenCommitChoice) {
    this.#ports = ports
    this.#plan = plan
    this.#openCommits = openCommits
    this.#parents = new Set(plan.commits.map(({ parent }) => parent))
  }

  /** Brings one commit after the other; yields after each, so that the caller can say how far it is. */
  async *run(): AsyncGenerator<ReadyCommit | undefined> {
    try {
      yield* this.#runAll()
    } finally {
      await this.#ports.treeImport.settle()
      // Also when it was stopped. What goes wrong here is told by whoever settles last.
      await this.#ports.recorder.settle().catch(() => undefined)
    }
  }

  async *#runAll(): AsyncGenerator<ReadyCommit | undefined> {
    for (const [index, planned] of this.#plan.commits.entries()) {
      this.#ports.signal.throwIfAborted()
      this.#fetchAhead(index)
      const ready = await this.#import(planned)
      if (ready === undefined) this.#heirs.set(planned.id, this.#standing(planned.parent))
      else {
        this.#ready.set(planned.id, ready)
        this.#ports.counts.commits += 1
        this.#ports.counts.files += ready.tree.fileCount
        this.#ports.counts.bytes += ready.tree.sizeBytes
        if (ready.state.kind === 'open') this.#ports.counts.openCommits += 1
      }
      yield ready
    }
  }

  /** Begins with the trees of the commits behind this one. */
  #fetchAhead(index: number): void {
    for (const { repo, id, old } of this.#plan.commits.slice(index, index + aheadMax)) {
      if (old.tree !== undefined) void this.#ports.treeImport.treeOf(old.tree, `${repo}/${id}`)
    }
  }

  /** What has come of all. */
  result(): ReadyCommits {
    const branches: ReadyCommits['branches'][number][] = []
    for (const branch of this.#plan.branches) {
      const head = this.#standing(branch.head)
      if (head !== undefined) branches.push({ ...branch, head, name: branch.name as BranchName })
    }
    return { commits: [...this.#ready.values()], branches }
  }

  async #import(planned: PlannedCommit): Promise<ReadyCommit | undefined> {
    const { repo, id, old } = planned
    const { treeImport, now } = this.#ports
    const owner = `${repo}/${id}`
    const parent = this.#standing(planned.parent)
    const common = { repo, id, parent, startedAt: old.startedAt, provenance: this.#made(planned) }
    if (old.tree === undefined) {
      const before = parent === undefined ? undefined : this.#ready.get(parent)?.tree
      const writes = await this.#ports.cluster.writes(old, this.#ports.findings.onDamage)
      const tree = await replayWrites(this.#ports, owner, before, writes)
      const staysOpen = this.#openCommits === 'keep' && !this.#parents.has(id)
      if (!staysOpen) {
        if (this.#openCommits === 'keep') {
          this.#ports.findings.notice(
            `the open commit ${owner} is finished, since another follows it`,
          )
        } else this.#ports.findings.notice(`the open commit ${owner} is finished`)
      }
      const state = staysOpen
        ? ({ kind: 'open', staged: await changesBetween(this.#ports.trees, before, tree) } as const)
        : ({ kind: 'finished', finishedAt: now, tree } as const)
      return { ...common, state, tree, oldTree: '' }
    }
    const tree = await treeImport.treeOf(old.tree, owner)
    if (tree === undefined) {
      this.#ports.findings.damage('commit', owner, `its tree ${old.tree} is damaged`)
      return undefined
    }
    if (tree.sizeBytes !== old.sizeBytes && this.#ports.findings.damageCount === 0) {
      this.#ports.findings.damage(
        'commit',
        owner,
        `its files have ${tree.sizeBytes} bytes, and its record says ${old.sizeBytes}`,
      )
    }
    const finishedAt = old.finishedAt ?? now
    return { ...common, state: { kind: 'finished', finishedAt, tree }, tree, oldTree: old.tree }
  }

  #made({ provenance }: PlannedCommit): readonly CommitName[] {
    return provenance.filter(({ id }) => this.#ready.has(id))
  }

  /** The commit itself, or what is in its place. */
  #standing(id: CommitId | undefined): CommitId | undefined {
    let standing = id
    while (standing !== undefined && this.#heirs.has(standing)) standing = this.#heirs.get(standing)
    return standing
  }
}
