import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import type { BranchChange, Preference } from '../versioning/branch-changes.ts'
import { ModelCommit } from './model-commit.ts'
import { mergeModels } from './model-merge.ts'
import type { TestVersioning } from './test-versioning.ts'

/** A call about the history of a repo; `branch` is the branch whose head it is about. */
export type HistoryStep = { readonly branch: string } & (
  | {
      readonly kind: 'merge'
      readonly from: string
      readonly prefer: Preference
      readonly dryRun: boolean
    }
  /** Undoes the commit so many steps before the head. */
  | { readonly kind: 'revert'; readonly back: number; readonly prefer: Preference }
  /** Deletes the commit so many steps before the head, with what was made from it. */
  | { readonly kind: 'remove'; readonly back: number; readonly dryRun: boolean }
  | { readonly kind: 'tag'; readonly tag: string; readonly back: number; readonly move: boolean }
  | { readonly kind: 'untag'; readonly tag: string }
  /** Lists the repo, and the line of the branch up to that of another. */
  | { readonly kind: 'list'; readonly other: string }
  /** A commit of another repo that is made from the head. */
  | { readonly kind: 'derive' }
  | { readonly kind: 'flush' }
)

interface Known {
  readonly id: string
  readonly model: ModelCommit
}

/** What the product and the model of one repo have in common. */
export interface PairState {
  readonly world: TestVersioning
  readonly repo: string
  readonly branches: Map<string, string>
  readonly commits: Map<string, ModelCommit>
  /** Notes a commit, or that it was written again. */
  readonly wrote: (id: string, model: ModelCommit) => void
}

/** Merges, reverts, deletions, tags, lists and flushes, of the product and of the model. */
export class HistoryPair {
  readonly #state: PairState
  readonly #outputs: string
  readonly #tags = new Map<string, string>()
  /** By input: the commits that were made from it. */
  readonly #derived = new Map<string, string[]>()
  readonly #signal = new AbortController().signal

  constructor(state: PairState) {
    this.#state = state
    this.#outputs = `${state.repo}-out`
  }

  async create(): Promise<void> {
    const { repo, world } = this.#state
    await world.versioning.repos.create({ name: this.#outputs, provenance: [repo] })
    // What has not been made will not be: a flush must not wait for it.
    world.downstream.set(this.#outputs, { kind: 'failed', reason: 'nothing comes' })
  }

  isTagged(id: string): boolean {
    return [...this.#tags.values()].includes(id)
  }

  async take(head: Known, step: HistoryStep): Promise<void> {
    switch (step.kind) {
      case 'merge':
        return this.#merge(head, step)
      case 'revert':
        return this.#revert(head, step)
      case 'remove':
        return this.#remove(head, step)
      case 'tag':
        return this.#tag(head, step)
      case 'untag':
        return this.#untag(step.tag)
      case 'list':
        return this.#list(head, step.other)
      case 'derive':
        return this.#derive(head)
      case 'flush':
        return this.#flush(head)
      default:
        step satisfies never
    }
  }

  async compareTags(): Promise<void> {
    const { repo, world } = this.#state
    const tags = await Array.fromAsync(world.versioning.commitTags.list(repo))
    deepEqual(new Map(tags.map(({ name, commit }) => [name, commit])), this.#tags)
  }

  async #merge(ours: Known, step: HistoryStep & { readonly kind: 'merge' }): Promise<void> {
    const { branches, repo, world } = this.#state
    const theirs = this.#known(branches.get(step.from))
    if (theirs === undefined) return
    const { prefer, dryRun } = step
    const run = world.versioning.branchChanges.merge(
      { repo, from: step.from, into: step.branch },
      { message: '', prefer, dryRun },
    )
    if (ours.model.isOpen || theirs.model.isOpen) return rejects(run, /is open and cannot be/)
    const change = await run
    const base = this.#baseOf(ours.id, theirs.id)
    equal(change.base, base)
    if (base === theirs.id) return equal(change.outcome, 'unchanged')
    if (base === ours.id) {
      equal(change.outcome, 'fast-forwarded')
      if (!dryRun) branches.set(step.branch, theirs.id)
      return
    }
    const baseModel = base === undefined ? undefined : this.#known(base)?.model
    const sides = { base: baseModel, ours, theirs: theirs.model, mergeParent: theirs.id }
    this.#commit(change, sides, step)
  }

  async #revert(ours: Known, step: HistoryStep & { readonly kind: 'revert' }): Promise<void> {
    const { repo, world } = this.#state
    const undone = this.#back(ours, step.back)
    if (undone === undefined) return
    const names = { repo, commit: undone.id, branch: step.branch }
    const options = { message: '', prefer: step.prefer, dryRun: false }
    const run = world.versioning.branchChanges.revert(names, options)
    if (ours.model.isOpen || undone.model.isOpen) return rejects(run, /is open and cannot be/)
    const change = await run
    const theirs = this.#known(undone.model.parent)?.model
    const sides = { base: undone.model, ours, theirs, mergeParent: undefined }
    this.#commit(change, sides, { ...step, dryRun: false })
  }

  /** What a merge of three trees must have become. */
  #commit(
    change: BranchChange,
    sides: {
      readonly base: ModelCommit | undefined
      readonly ours: Known
      readonly theirs: ModelCommit | undefined
      readonly mergeParent: string | undefined
    },
    step: { readonly branch: string; readonly prefer: Preference; readonly dryRun: boolean },
  ): void {
    const { base, ours, theirs, mergeParent } = sides
    const none = new ModelCommit(undefined, undefined)
    const merged =
      step.prefer === 'theirs'
        ? mergeModels(base, theirs ?? none, ours.model)
        : mergeModels(base, ours.model, theirs)
    equal(change.conflictCount, merged.conflictCount)
    if (merged.conflictCount > 0 && step.prefer === undefined) {
      return equal(change.outcome, 'conflicted')
    }
    const commit = new ModelCommit(ours.id, undefined)
    commit.files = merged.files
    commit.directories = merged.directories
    const isSame = commit.hasFilesOf(ours.model)
    if (isSame && mergeParent === undefined) return equal(change.outcome, 'unchanged')
    equal(change.outcome, 'committed')
    if (step.dryRun) return
    commit.isOpen = false
    if (mergeParent !== undefined) commit.mergeParents.add(mergeParent)
    ok(change.head)
    this.#state.wrote(change.head, commit)
    this.#state.branches.set(step.branch, change.head)
  }

  async #remove(head: Known, step: HistoryStep & { readonly kind: 'remove' }): Promise<void> {
    const { repo, world } = this.#state
    const gone = this.#back(head, step.back)
    if (gone === undefined) return
    const options = { dryRun: step.dryRun }
    const run = world.versioning.deletions.delete([{ repo, commit: gone.id }], options)
    if (this.isTagged(gone.id)) return rejects(run, /tag/)
    const hasOpenChild = [...this.#state.commits.values()].some(
      ({ parent, isOpen }) => isOpen && parent === gone.id,
    )
    if (hasOpenChild) return rejects(run, /the open commit .* follows it/)
    const derived = this.#derived.get(gone.id) ?? []
    const { commits } = await run
    deepEqual(new Set(commits.map(({ id }) => id)), new Set([gone.id, ...derived]))
    if (step.dryRun) return
    this.forget(gone)
    for (const id of derived) {
      await rejects(world.versioning.commits.inspect(this.#outputs, id), /not found/)
    }
  }

  /** Commits that follow it get its parents, and branches that point at it move. */
  forget({ id, model }: Known): void {
    const { branches, commits } = this.#state
    commits.delete(id)
    for (const other of commits.values()) {
      if (other.parent === id) {
        other.parent = model.parent
        for (const merged of model.mergeParents) other.mergeParents.add(merged)
      }
      if (!other.mergeParents.delete(id)) continue
      for (const merged of model.mergeParents) other.mergeParents.add(merged)
      if (model.parent !== undefined) other.mergeParents.add(model.parent)
    }
    for (const [branch, head] of branches) {
      if (head !== id) continue
      if (model.parent === undefined) branches.delete(branch)
      else branches.set(branch, model.parent)
    }
  }

  async #tag(head: Known, step: HistoryStep & { readonly kind: 'tag' }): Promise<void> {
    const { repo, world } = this.#state
    const { tag, move } = step
    const commit = this.#back(head, step.back)
    if (commit === undefined) return
    const run = world.versioning.commitTags.set({ repo, commit: commit.id, tag, move })
    const old = this.#tags.get(tag)
    if (old !== undefined && old !== commit.id && !move) return rejects(run, /tag/)
    equal((await run).commit, commit.id)
    this.#tags.set(tag, commit.id)
    equal((await world.versioning.commits.inspect(repo, tag)).id, commit.id)
  }

  async #untag(tag: string): Promise<void> {
    const { repo, world } = this.#state
    const run = world.versioning.commitTags.delete(repo, tag)
    if (!this.#tags.delete(tag)) return rejects(run, /not found/)
    await run
  }

  async #list(head: Known, other: string): Promise<void> {
    const { branches, commits: models, repo, world } = this.#state
    const { commits } = world.versioning
    const all = await Array.fromAsync(commits.list({ repo }))
    deepEqual(
      all.map(({ id }) => id),
      [...models].toSorted(([, left], [, right]) => right.written - left.written).map(([id]) => id),
    )
    const end = branches.get(other)
    const listed = await Array.fromAsync(commits.list({ repo, to: head.id, from: end }))
    const line = this.#line(head.id)
    const upTo = end === undefined || !line.includes(end) ? line.length : line.indexOf(end)
    deepEqual(
      listed.map(({ id }) => id),
      line.slice(0, upTo),
    )
  }

  async #derive({ id, model }: Known): Promise<void> {
    if (model.isOpen) return
    const { repo, world } = this.#state
    const { commits } = world.versioning
    const provenance = [{ repo, id }] as Parameters<typeof commits.start>[0]['provenance']
    const made = await commits.start({ repo: this.#outputs, branch: 'master', provenance })
    await commits.finish(this.#outputs, made.id)
    this.#derived.set(id, [...(this.#derived.get(id) ?? []), made.id])
  }

  async #flush({ id }: Known): Promise<void> {
    const { repo, world } = this.#state
    const options = { commits: [{ repo, commit: id }], signal: this.#signal }
    const run = Array.fromAsync(world.versioning.subscriptions.flush(options))
    const derived = this.#derived.get(id)
    if (derived === undefined) return rejects(run, /nothing comes/)
    const [first, ...more] = await run
    ok(derived.includes(first?.id ?? ''))
    deepEqual(more, [])
  }

  #known(id: string | undefined): Known | undefined {
    const model = id === undefined ? undefined : this.#state.commits.get(id)
    return id === undefined || model === undefined ? undefined : { id, model }
  }

  #back(head: Known, steps: number): Known | undefined {
    return this.#known(this.#line(head.id)[steps])
  }

  #line(id: string): readonly string[] {
    const line: string[] = []
    for (let next = this.#known(id); next !== undefined; next = this.#known(next.model.parent)) {
      line.push(next.id)
    }
    return line
  }

  /** The latest written of all that both lead back to. */
  #baseOf(ours: string, theirs: string): string | undefined {
    const others = this.#ancestors(theirs)
    const both = [...this.#ancestors(ours)].filter((id) => others.has(id))
    const written = (id: string): number => this.#known(id)?.model.written ?? 0
    return both.toSorted((left, right) => written(right) - written(left))[0]
  }

  #ancestors(id: string): ReadonlySet<string> {
    const found = new Set<string>()
    const ahead = [id]
    for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
      const known = this.#known(next)
      if (known === undefined || found.has(next)) continue
      found.add(next)
      if (known.model.parent !== undefined) ahead.push(known.model.parent)
      ahead.push(...known.model.mergeParents)
    }
    return found
  }
}
