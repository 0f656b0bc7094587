import type { Instant } from '../../base/clock.ts'
import type { CommitId } from '../../base/names.ts'
import type { OldCluster } from '../../legacy/old-cluster.ts'
import type { CommitTree } from '../../versioning/commit-records.ts'
import { changesBetween } from '../../versioning/imports.ts'
import type { CommitPlan, PlannedCommit } from '../plan/commit-plan.ts'
import type { OpenCommitChoice } from '../events.ts'
import { replayWrites } from './open-commit-import.ts'
import { ReadyCommits } from './ready-commits.ts'
import type { TreeImport, TreeImportPorts } from './tree-import.ts'

/** Trees that come at once. */
const aheadMax = 8

export interface CommitImportPorts extends TreeImportPorts {
  readonly cluster: OldCluster
  readonly treeImport: TreeImport
  readonly now: Instant
}

/**
 * Brings the trees of commits here. A commit whose tree is damaged is left out, and told: what
 * follows it follows its parent then, and so do branches.
 */
export class CommitImport {
  /** What has come so far. */
  readonly ready: ReadyCommits
  readonly #ports: CommitImportPorts
  readonly #plan: CommitPlan
  readonly #openCommits: OpenCommitChoice
  /** Those that a finished commit follows cannot stay open. */
  readonly #parents: ReadonlySet<CommitId | undefined>

  constructor(ports: CommitImportPorts, plan: CommitPlan, openCommits: OpenCommitChoice) {
    this.#ports = ports
    this.#plan = plan
    this.#openCommits = openCommits
    this.#parents = new Set(plan.commits.map(({ parent }) => parent))
    this.ready = new ReadyCommits(plan, ports.now)
  }

  /** Brings one commit after the other; yields after each whether it is there. */
  async *run(): AsyncGenerator<boolean> {
    try {
      yield* this.#runAll()
    } finally {
      await this.#ports.treeImport.settle()
      // Also when it was stopped. What goes wrong here is told by whoever settles last.
      await this.#ports.recorder.settle().catch(() => undefined)
    }
  }

  async *#runAll(): AsyncGenerator<boolean> {
    const { counts, signal } = this.#ports
    for (const [index, planned] of this.#plan.commits.entries()) {
      signal.throwIfAborted()
      this.#fetchAhead(index)
      this.#tellMissing(planned)
      const tree = await this.#import(planned)
      if (tree !== undefined) {
        counts.commits += 1
        counts.files += tree.fileCount
        counts.bytes += tree.sizeBytes
      }
      yield tree !== undefined
    }
  }

  /** Says what a commit refers to that is left out. */
  #tellMissing({ repo, id, parent, provenance }: PlannedCommit): void {
    const { findings } = this.#ports
    const owner = `${repo}/${id}`
    if (this.ready.isLeftOut(parent)) {
      const instead = this.ready.standing(parent) ?? 'nothing'
      const reason = `its parent ${parent} is left out: it follows ${instead} in its place`
      findings.damage('commit', owner, reason)
    }
    for (const from of provenance) {
      if (!this.ready.isLeftOut(from.id)) continue
      const reason = `it was made from ${from.repo}/${from.id}, which is left out`
      findings.damage('commit', owner, reason)
    }
  }

  /** Begins with the trees of the commits behind this one. */
  #fetchAhead(index: number): void {
    for (const { repo, id, tree } of this.#plan.commits.slice(index, index + aheadMax)) {
      if (tree !== undefined) void this.#ports.treeImport.treeOf(tree, `${repo}/${id}`)
    }
  }

  async #import(planned: PlannedCommit): Promise<CommitTree | undefined> {
    if (planned.tree === undefined) return await this.#importOpen(planned)
    const { repo, id, tree: oldTree, sizeBytes } = planned
    const { findings, treeImport } = this.#ports
    const owner = `${repo}/${id}`
    const tree = await treeImport.treeOf(oldTree, owner)
    if (tree === undefined) {
      findings.damage('commit', owner, `its tree ${oldTree} is damaged`)
      this.ready.leaveOut(planned)
      return undefined
    }
    const toldOf = treeImport.toldOf(oldTree) ?? owner
    if (toldOf !== owner) {
      const reason = `it has the tree of ${toldOf}, which lacks files, as told: so does it`
      findings.damage('commit', owner, reason)
    }
    if (tree.sizeBytes !== sizeBytes && findings.damageCount === 0) {
      findings.damage(
        'commit',
        owner,
        `its files have ${tree.sizeBytes} bytes, and its record says ${sizeBytes}`,
      )
    }
    this.ready.add(id, treeImport.isRecorded(oldTree) ? undefined : { tree })
    return tree
  }

  async #importOpen(planned: PlannedCommit): Promise<CommitTree> {
    const { repo, id } = planned
    const { cluster, counts, findings, trees } = this.#ports
    const owner = `${repo}/${id}`
    const before = await this.#treeBefore(planned)
    if (this.#lacksFiles(planned.parent)) {
      const reason = `its parent ${planned.parent} lacks files, as told: so does it`
      findings.damage('commit', owner, reason)
    }
    const damageCount = findings.damageCount
    const writes = await cluster.writes(planned, findings.onDamage)
    const lack = findings.damageCount === damageCount ? '' : ', without what is damaged of it'
    const tree = await replayWrites(this.#ports, owner, before, writes)
    const isKept = this.#openCommits === 'keep'
    if (isKept && !this.#parents.has(id)) {
      this.ready.add(id, { tree, staged: await changesBetween(trees, before, tree) })
      counts.openCommits += 1
      return tree
    }
    findings.notice(
      `the open commit ${owner} is finished${isKept ? ', since another follows it' : ''}${lack}`,
    )
    this.ready.add(id, { tree })
    return tree
  }

  /** Whether damaged files were left out of the tree of a commit that has come. */
  #lacksFiles(id: CommitId | undefined): boolean {
    const standing = this.ready.standing(id)
    const tree = standing === undefined ? '' : (this.ready.get(standing)?.oldTree ?? '')
    return tree !== '' && !this.#ports.treeImport.isRecorded(tree)
  }

  /** Of the commit that stands before it. */
  async #treeBefore({ parent }: PlannedCommit): Promise<CommitTree | undefined> {
    const standing = this.ready.standing(parent)
    const before = standing === undefined ? undefined : this.ready.get(standing)
    if (before === undefined) return undefined
    // Its tree may have come a moment ago.
    await this.#ports.recorder.settle()
    return await this.ready.treeOf(before, (hashes) => this.#ports.recorder.recordedTrees(hashes))
  }
}
