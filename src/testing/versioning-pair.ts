import { deepEqual, equal, rejects } from 'node:assert/strict'
import { utf8 } from '../base/bytes.ts'
import type { FilePath } from '../base/paths.ts'
import type { CommitInfo } from '../versioning/commit-records.ts'
import type { Split } from '../versioning/splits.ts'
import { HistoryPair, type HistoryStep } from './history-pair.ts'
import { ModelCommit, type PlaceResult, type SplitResult } from './model-commit.ts'
import type { TestVersioning } from './test-versioning.ts'
import { compareDiff, compareGlob, compareListing } from './versioning-reads.ts'

export interface PairPut {
  readonly path: FilePath
  readonly text: string
  readonly overwrite: boolean
}

/** One call; `branch` is the branch whose head it is about. */
export type PairStep = HistoryStep | FileStep

/** A call about what commits hold, and about branches. */
type FileStep = { readonly branch: string } & (
  | { readonly kind: 'start' }
  | { readonly kind: 'read' }
  | { readonly kind: 'finish' }
  | { readonly kind: 'abandon' }
  /** Sets the branch `to` to the head of `branch`. */
  | { readonly kind: 'point'; readonly to: string }
  | { readonly kind: 'unbranch' }
  /** A finished commit on `to`, with the tree of the head of `branch`. */
  | { readonly kind: 'build'; readonly to: string }
  /** Starts on `to`, from the head of `branch`, whatever `to` was. */
  | { readonly kind: 'reroot'; readonly to: string }
  /** Lists, globs, and compares with the head of `other`. */
  | {
      readonly kind: 'look'
      readonly path: FilePath
      readonly pattern: string
      readonly other: string
    }
  | { readonly kind: 'put'; readonly put: PairPut }
  | { readonly kind: 'delete'; readonly path: FilePath }
  | { readonly kind: 'bulk'; readonly puts: readonly PairPut[] }
  /** By line. */
  | { readonly kind: 'split'; readonly put: PairPut }
  /** Copies or moves from another branch, or the same, to `branch`. */
  | {
      readonly kind: 'copy' | 'move'
      readonly from: string
      readonly source: FilePath
      readonly path: FilePath
      readonly overwrite: boolean
    }
)

const refusals: Readonly<Record<Exclude<PlaceResult, 'done'>, RegExp>> = {
  within: /into itself|onto itself/,
  missing: /not found/,
  root: /cannot put a file at the root/,
  conflict: /which is not a directory/,
  taken: /already exists there/,
}

const splitRefusals: Readonly<Record<Exclude<SplitResult, 'done'>, RegExp>> = {
  conflict: /could not put file at/,
  file: /is not a directory, into which pieces/,
  unnumbered: /error parsing filename .* as int/,
}

/** Each line is a piece. */
export const byLine: Split = {
  format: 'line',
  targetRecords: 0,
  targetBytes: 0,
  headerRecords: 0,
  footerRecords: 0,
}

/** A commit of the model, with its id in the product. */
interface Known {
  readonly id: string
  readonly model: ModelCommit
}

/** The product and the model side by side, in a repo of their own: each call must end alike. */
export class VersioningPair implements AsyncDisposable {
  readonly #world: TestVersioning
  readonly #repo: string
  readonly #branches = new Map<string, string>()
  readonly #commits = new Map<string, ModelCommit>()
  readonly #ended = new AbortController()
  readonly #subscriber: AsyncGenerator<CommitInfo>
  readonly #told = new Set<string>()
  readonly #history: HistoryPair
  #writeCount = 0
  #next: Promise<IteratorResult<CommitInfo>> | undefined

  constructor(world: TestVersioning, repo: string) {
    this.#world = world
    this.#repo = repo
    this.#history = new HistoryPair({
      world,
      repo,
      branches: this.#branches,
      commits: this.#commits,
      wrote: (id, model) => this.#wrote(id, model),
    })
    const { signal } = this.#ended
    this.#subscriber = world.versioning.subscriptions.subscribe({ repo, branch: 'master', signal })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    await this.#subscriber.return(undefined)
  }

  /** Makes the repo, with an open commit on `master`, and follows that branch from here on. */
  async create(): Promise<void> {
    await this.#world.versioning.repos.create({ name: this.#repo })
    await this.#history.create()
    await this.take({ kind: 'start', branch: 'master' })
    await this.take({ kind: 'finish', branch: 'master' })
    await this.take({ kind: 'start', branch: 'master' })
  }

  async take(step: PairStep): Promise<void> {
    if (step.kind === 'start') {
      await this.#start(step.branch)
      return this.#follow()
    }
    const known = this.#known(step.branch)
    if (known === undefined) return
    await this.#takeAt(known, step)
    await this.#follow()
  }

  async #takeAt(known: Known, step: Exclude<PairStep, { readonly kind: 'start' }>): Promise<void> {
    switch (step.kind) {
      case 'put':
        return this.#put(step.branch, known, step.put)
      case 'delete':
        return this.#delete(step.branch, known, step.path)
      case 'bulk':
        return this.#bulk(step.branch, known, step.puts)
      case 'split':
        return this.#split(step.branch, known, step.put)
      case 'read':
        return this.#compare(known)
      case 'finish':
        return this.#finish(step.branch, known)
      case 'point':
        await this.#world.versioning.branches.set(this.#repo, step.to, step.branch)
        this.#branches.set(step.to, known.id)
        return
      case 'unbranch':
        await this.#world.versioning.branches.delete(this.#repo, step.branch)
        this.#branches.delete(step.branch)
        return
      case 'build':
        return this.#build(known, step.to)
      case 'reroot':
        return this.#start(step.to, known)
      case 'look':
        return this.#look(known, step)
      case 'abandon':
        return this.#abandon(known)
      case 'copy':
        return this.#copy(known, step)
      case 'move':
        return this.#move(known, step)
      default:
        return this.#history.take(known, step)
    }
  }

  async compareAll(): Promise<void> {
    for (const [id, model] of this.#commits) await this.#compare({ id, model })
    const heads = await this.#world.versioning.branches.list(this.#repo)
    deepEqual(new Map(heads.map(({ name, head }) => [name, head])), this.#branches)
    await this.#history.compareTags()
  }

  #wrote(id: string, model: ModelCommit): void {
    this.#writeCount += 1
    model.written = this.#writeCount
    this.#commits.set(id, model)
  }

  #known(branch: string): Known | undefined {
    const id = this.#branches.get(branch)
    const model = id === undefined ? undefined : this.#commits.get(id)
    return id === undefined || model === undefined ? undefined : { id, model }
  }

  /** From the head of the branch, or from `parent`, which is given by its id. */
  async #start(branch: string, parent?: Known): Promise<void> {
    const head = parent ?? this.#known(branch)
    const place = { repo: this.#repo, branch, parent: parent?.id }
    const run = this.#world.versioning.commits.start(place)
    if (head?.model.isOpen === true) {
      return rejects(run, new RegExp(`parent commit ${head.id} has not been finished`))
    }
    const { id } = await run
    this.#branches.set(branch, id)
    this.#wrote(id, new ModelCommit(head?.id, head?.model))
  }

  async #build({ id, model }: Known, branch: string): Promise<void> {
    if (!model.isOpen) {
      const { commits, files } = this.#world.versioning
      const { tree } = await files.tree(this.#repo, id)
      const built = await commits.build({ repo: this.#repo, parent: id, branch, tree })
      const commit = new ModelCommit(id, model)
      commit.isOpen = false
      this.#branches.set(branch, built.id)
      this.#wrote(built.id, commit)
    }
  }

  async #look(known: Known, step: PairStep & { readonly kind: 'look' }): Promise<void> {
    const { versioning } = this.#world
    const here = { repo: this.#repo, commit: known.id }
    await compareListing(versioning, { ...here, path: step.path }, known.model)
    await compareGlob(versioning, { ...here, pattern: step.pattern }, known.model)
    const other = this.#known(step.other)
    const before = other && { repo: this.#repo, commit: other.id, path: step.path }
    const sides = { after: { ...here, path: step.path }, before }
    const parent = this.#commits.get(known.model.parent ?? '')
    const models = { after: known.model, before: other?.model ?? parent }
    await compareDiff(versioning, sides, { ...models, path: step.path })
  }

  /** A subscriber of `master` is told of each finished head, once. */
  async #follow(): Promise<void> {
    const head = this.#known('master')
    if (head === undefined || head.model.isOpen || this.#told.has(head.id)) return
    this.#told.add(head.id)
    const next = await (this.#next ?? this.#subscriber.next())
    equal(next.done === true ? undefined : next.value.id, head.id)
    // Asked at once, so that a head that is told twice is told instead of the one that is due.
    this.#next = this.#subscriber.next()
    this.#next.catch(() => undefined)
  }

  async #put(branch: string, { model }: Known, put: PairPut): Promise<void> {
    const file = { repo: this.#repo, commit: branch, path: put.path }
    const { overwrite } = put
    const run = this.#world.versioning.writes.put(file, utf8(put.text), { overwrite })
    if (!model.isOpen) return rejects(run, /is not open/)
    await run
    model.put(put.path, put.text, overwrite)
  }

  async #delete(branch: string, { model }: Known, path: FilePath): Promise<void> {
    const run = this.#world.versioning.writes.delete({ repo: this.#repo, commit: branch, path })
    if (!model.isOpen) return rejects(run, /has already finished/)
    await run
    model.delete(path)
  }

  async #bulk(branch: string, { model }: Known, puts: readonly PairPut[]): Promise<void> {
    const { writes } = this.#world.versioning
    if (!model.isOpen) return rejects(writes.bulk(this.#repo, branch), /is not open/)
    await using bulk = await writes.bulk(this.#repo, branch)
    const after = model.clone()
    const results: string[] = []
    for (const { path, text, overwrite } of puts) {
      await bulk.put(path, utf8(text), { overwrite })
      results.push(after.put(path, text, overwrite))
    }
    if (results.includes('conflict')) return await rejects(bulk.commit(), /could not put file at/)
    await bulk.commit()
    model.become(after)
  }

  async #split(branch: string, { model }: Known, put: PairPut): Promise<void> {
    const { writes } = this.#world.versioning
    const options = { split: byLine }
    if (!model.isOpen) return rejects(writes.bulk(this.#repo, branch, options), /is not open/)
    await using bulk = await writes.bulk(this.#repo, branch, options)
    await bulk.put(put.path, utf8(put.text), { overwrite: put.overwrite })
    const lines = put.text.match(/[^\n]*\n|[^\n]+$/g) ?? []
    const result = model.split(put.path, lines, put.overwrite)
    if (result === 'done') await bulk.commit()
    else await rejects(bulk.commit(), splitRefusals[result])
  }

  async #copy(to: Known, step: PairStep & { readonly kind: 'copy' | 'move' }): Promise<void> {
    const from = this.#known(step.from)
    if (from === undefined) return
    const { source, path, overwrite } = step
    const run = this.#world.versioning.copies.copy(
      { repo: this.#repo, commit: from.id, path: source },
      { repo: this.#repo, commit: to.id, path },
      { mode: overwrite ? 'overwrite' : 'refuse' },
    )
    if (!to.model.isOpen) return rejects(run, /is not open/)
    const after = to.model.clone()
    const model = from.id === to.id ? after : from.model
    const result = after.place(model, source, path, overwrite)
    if (result !== 'done') return rejects(run, refusals[result])
    await run
    to.model.become(after)
  }

  async #move(to: Known, step: PairStep & { readonly kind: 'copy' | 'move' }): Promise<void> {
    const from = this.#known(step.from)
    if (from === undefined) return
    const { source, path, overwrite } = step
    const run = this.#world.versioning.copies.move(
      { repo: this.#repo, commit: from.id, path: source },
      { repo: this.#repo, commit: to.id, path },
      { overwrite },
    )
    if (!to.model.isOpen) return rejects(run, /is not open/)
    const after = to.model.clone()
    const result =
      from.id === to.id
        ? after.move(source, path, overwrite)
        : after.place(from.model, source, path, overwrite)
    if (!from.model.isOpen) return rejects(run, /cannot move files out of commit/)
    if (result !== 'done') return rejects(run, refusals[result])
    await run
    to.model.become(after)
    if (from.id !== to.id) from.model.delete(source)
  }

  async #finish(branch: string, known: Known): Promise<void> {
    const { model } = known
    const run = this.#world.versioning.commits.finish(this.#repo, branch)
    if (!model.isOpen) await rejects(run, /has already been finished/)
    else if (model.conflicts.length > 0) await rejects(run, /could not put file at/)
    else {
      await run
      model.isOpen = false
      this.#wrote(known.id, model)
    }
    await this.#compare(known)
  }

  async #abandon({ id, model }: Known): Promise<void> {
    const run = this.#world.versioning.commits.delete(this.#repo, id)
    if (!model.isOpen) return rejects(run, /cannot delete finished commit/)
    if (this.#history.isTagged(id)) return rejects(run, /tag/)
    await run
    this.#history.forget({ id, model })
  }

  async #compare({ id, model }: Known): Promise<void> {
    const files = new Map<string, string>()
    const directories = new Set<string>()
    const root = { repo: this.#repo, commit: id, path: '' }
    for await (const { path, entry } of this.#world.versioning.files.walk(root)) {
      if (entry.kind === 'directory') directories.add(path)
      else files.set(path, await this.#world.read(this.#repo, id, path))
    }
    deepEqual(files, model.files)
    deepEqual(directories, model.directories)
    const { parent, mergeParents } = await this.#world.versioning.commits.inspect(this.#repo, id)
    equal(parent, model.parent)
    deepEqual(new Set(mergeParents), model.mergeParents)
  }
}
