import type { BranchName, CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { isAncestor } from '../../versioning/ancestry.ts'
import { findTrigger } from '../../versioning/branch-triggers.ts'
import { findBranch } from '../../versioning/branches.ts'
import { findCommit } from '../../versioning/commit-records.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { findRepo } from '../../versioning/repos.ts'
import type { Candidate, Common, Fitting } from './alignment.ts'
import { allMembers, always, type Arrival, arrivalsWithin, hasBacklog } from './arrivals.ts'
import { canBeChosen, type Place } from './choice-search.ts'
import { type AtomInput, branchesOf } from '../inputs.ts'
import { hasUnended } from './jobs-over.ts'
import { areAllMadeFrom, arrivalsMadeFrom } from './made-arrivals.ts'
import { findPipeline, pipelineDeletedAt, type PipelineRecord } from '../pipeline-records.ts'
import { statsBranch } from '../specs.ts'
import { RootCommits } from './root-commits.ts'
import { Sets } from './sets.ts'

/** Candidates that are tried in one transaction; after so many, the answer is yes. */
const triesMax = 10_000

/** What will still come to a branch that a pipeline reads. */
export type Future =
  /** Nothing, and why. */
  | { readonly kind: 'nothing'; readonly reason: string }
  /** Commits that people, or a spout, have not made or finished yet, to a repo without provenance. */
  | { readonly kind: 'new' }
  /** What a pipeline makes. */
  | { readonly kind: 'made'; readonly by: PipelineRecord }
  /** Heads of another branch of the repo, newer than what it has, when its trigger lets them through. */
  | { readonly kind: 'followed' }
  /** No more is known. */
  | { readonly kind: 'anything' }

/** What a job is to be made over. */
export interface Wish {
  /** Made from this, or this itself. */
  readonly over?: CommitName
  /** Not made from another root of this one's repo. */
  readonly beside?: CommitName
}

/** A branch that a pipeline reads, with what may come to it and what it has. */
interface Input extends Place {
  readonly atom: AtomInput
  readonly future: Future
  /** What it has that is a commit, or made from it, newest first. */
  readonly madeFrom: (commit: CommitName) => AsyncIterable<Found>
}

/** A commit that an input has. */
interface Found extends Candidate {
  /** The commits that it is and is made from. */
  readonly made: ReadonlySet<CommitId>
}

/**
 * Finds out which jobs pipelines may still make, as one transaction sees them.
 *
 * A job is made when a commit comes to one input and fits what the others hold (see `align`). So one
 * may be made while something still comes to an input, and each other input holds what fits, or
 * gets it. People are taken to make new commits, not to move branches back to old ones. In doubt,
 * a job may be made.
 */
export class Prospects {
  readonly #tx: ReadTransaction
  readonly #roots: RootCommits
  readonly #known = new Map<string, boolean>()
  readonly #inputs = new Map<string, readonly Input[]>()
  readonly #sets = new Map<string, Sets>()
  readonly #onBranch = new Map<string, boolean>()
  #triesLeft = triesMax

  constructor(tx: ReadTransaction) {
    this.#tx = tx
    this.#roots = new RootCommits(tx)
  }

  /** False when so much waits that some answers were not found out. */
  get areKnown(): boolean {
    return this.#triesLeft >= 0
  }

  /** Whether a pipeline may still make a job, or end one that it has made. */
  async mayMake(pipeline: PipelineRecord, wish: Wish): Promise<boolean> {
    const key = JSON.stringify([pipeline.name, wish.over?.id, wish.beside?.id])
    let may = this.#known.get(key)
    if (may === undefined) {
      may = (await this.#isUnderWay(pipeline, wish)) || (await this.#mayBegin(pipeline, wish))
      this.#known.set(key, may)
    }
    return may
  }

  /** What comes to each branch that a pipeline reads. */
  async futuresOf(
    pipeline: PipelineRecord,
  ): Promise<readonly { readonly atom: AtomInput; readonly future: Future }[]> {
    return await this.#inputsOf(pipeline)
  }

  /** Why inputs of a pipeline get nothing any more, of each that does not. */
  async endsOf(pipeline: PipelineRecord): Promise<readonly string[]> {
    const inputs = await this.#inputsOf(pipeline)
    return inputs.flatMap(({ future }) => (future.kind === 'nothing' ? [future.reason] : []))
  }

  /** Whether an input of a pipeline holds a commit, or something made from it. */
  async holds(
    pipeline: PipelineRecord,
    { repo, branch }: AtomInput,
    commit: CommitName,
  ): Promise<boolean> {
    for (const { atom, madeFrom } of await this.#inputsOf(pipeline)) {
      if (atom.repo !== repo || atom.branch !== branch) continue
      for await (const _ of madeFrom(commit)) return true
    }
    return false
  }

  async #isUnderWay(pipeline: PipelineRecord, { over }: Wish): Promise<boolean> {
    if (await hasBacklog(this.#tx, pipeline.name)) return true
    return await hasUnended(this.#tx, pipeline, over)
  }

  /** Whether what comes to some input makes one: there is none for what all inputs have already. */
  async #mayBegin(pipeline: PipelineRecord, { over, beside }: Wish): Promise<boolean> {
    const inputs = await this.#inputsOf(pipeline)
    for (const comer of inputs) {
      const { position, mayFit } = comer
      if (mayFit === undefined) continue
      const others = inputs.filter((input) => input !== comer)
      const may = async (...places: readonly Place[]): Promise<boolean> =>
        await this.#canBeChosen(pipeline, [{ position, mayFit }, ...places], beside)
      if (over === undefined || (await this.#mayBring(comer, over))) {
        if (await may(...others)) return true
        continue
      }
      for (const bringer of others) {
        const made = new Listed(bringer.madeFrom(over))
        if ((await made.at(0)) === undefined) continue
        const here: Place['here'] = async () => ({ options: made, by: [] })
        const rest = others.filter((input) => input !== bringer)
        if (await may({ position: bringer.position, here }, ...rest)) return true
      }
    }
    return false
  }

  async #canBeChosen(
    { name }: PipelineRecord,
    places: readonly Place[],
    beside: CommitName | undefined,
  ): Promise<boolean> {
    const sets = this.#sets.get(name) ?? new Sets(await allMembers(this.#tx, name))
    this.#sets.set(name, sets)
    const mayTry = (): boolean => {
      this.#triesLeft -= 1
      return this.#triesLeft >= 0
    }
    return (await canBeChosen({ places, sets, beside, mayTry })) || !this.areKnown
  }

  /** Whether what comes to an input may be made from no other commit of the repo of `root`. */
  async #mayFit(atom: AtomInput, future: Future, root: CommitName): Promise<boolean> {
    if (future.kind === 'made') return await this.mayMake(future.by, { beside: root })
    if (future.kind === 'followed') {
      return !(await this.#has(atom, root)) || !(await this.#roots.areAllIn(atom.repo))
    }
    return future.kind === 'anything' || atom.repo !== root.repo
  }

  /** Whether what comes to an input may be made from a commit, or be it. */
  async #mayBring({ atom, future }: Input, commit: CommitName): Promise<boolean> {
    if (future.kind === 'made') return await this.mayMake(future.by, { over: commit })
    if (future.kind === 'followed') return !(await this.#has(atom, commit))
    if (future.kind === 'anything') return true
    if (atom.repo !== commit.repo) return false
    return (await findCommit(this.#tx, commit.repo, commit.id))?.state.kind === 'open'
  }

  /** Whether a commit is on a branch of its repo. */
  async #has({ repo, branch }: AtomInput, commit: CommitName): Promise<boolean> {
    if (repo !== commit.repo) return false
    const key = `${repo}/${branch} ${commit.id}`
    let has = this.#onBranch.get(key)
    if (has === undefined) {
      const head = (await findBranch(this.#tx, repo, branch))?.head
      has = head !== undefined && (await isAncestor(this.#tx, commit.id, head))
      this.#onBranch.set(key, has)
    }
    return has
  }

  /** Those to which nothing comes are first: least can be chosen there. */
  async #inputsOf(pipeline: PipelineRecord): Promise<readonly Input[]> {
    const known = this.#inputs.get(pipeline.name)
    if (known !== undefined) return known
    const inputs: Input[] = []
    for (const [position, atom] of branchesOf(pipeline.spec.input).entries()) {
      inputs.push(this.#inputOf(pipeline, { atom, position, future: await this.#futureOf(atom) }))
    }
    const isOver = ({ future }: Input): number => (future.kind === 'nothing' ? 0 : 1)
    inputs.sort((left, right) => isOver(left) - isOver(right))
    this.#inputs.set(pipeline.name, inputs)
    return inputs
  }

  #inputOf(
    pipeline: PipelineRecord,
    { atom, position, future }: Pick<Input, 'atom' | 'position' | 'future'>,
  ): Input {
    const all = new Listed(this.#found(atom, this.#arrivals(pipeline, position)))
    const madeFrom = new Map<CommitId, Listed<Found>>()
    const listMadeFrom = (commit: CommitName): Listed<Found> => {
      const known = madeFrom.get(commit.id)
      if (known !== undefined) return known
      const listed = new Listed(this.#madeFrom(pipeline, { atom, position, all }, commit))
      madeFrom.set(commit.id, listed)
      return listed
    }
    const areMade = new Map<RepoName, boolean>()
    const here = async (common: Common): Promise<Fitting<Found>> => {
      for (const [repo, { commit, by }] of common.roots) {
        const isOwn = atom.repo === repo
        const isMade =
          areMade.get(repo) ??
          ((isOwn && (await this.#roots.areAllIn(repo))) ||
            (await areAllMadeFrom(this.#tx, { repo, isOwn }, pipeline.name, position)))
        areMade.set(repo, isMade)
        if (isMade) return { options: listMadeFrom({ repo, id: commit }), by: [by] }
      }
      return { options: all, by: [] }
    }
    const mayFit =
      future.kind === 'nothing'
        ? undefined
        : async (root: CommitName) => await this.#mayFit(atom, future, root)
    return { atom, position, future, mayFit, here, madeFrom: listMadeFrom }
  }

  #arrivals({ name }: PipelineRecord, position: number): AsyncIterable<Arrival> {
    return arrivalsWithin(this.#tx, name, position, always)
  }

  async *#madeFrom(
    { name }: PipelineRecord,
    {
      atom,
      position,
      all,
    }: { readonly atom: AtomInput; readonly position: number; readonly all: AsyncIterable<Found> },
    { id }: CommitName,
  ): AsyncGenerator<Found> {
    const arrivals = await arrivalsMadeFrom(this.#tx, id, name, position, always)
    if (arrivals !== undefined) yield* this.#found(atom, arrivals)
    else for await (const found of all) if (found.made.has(id)) yield found
  }

  async *#found(
    { repo }: AtomInput,
    arrivals: Iterable<Arrival> | AsyncIterable<Arrival>,
  ): AsyncGenerator<Found> {
    for await (const { sequence, commit } of arrivals) {
      const info = await findCommit(this.#tx, repo, commit)
      if (info === undefined) {
        this.#triesLeft -= 1
        if (this.areKnown) continue
        return
      }
      const roots = await this.#roots.rootsOf(info)
      const made = new Set([info, ...info.provenance].map(({ id }) => id))
      yield { sequence, roots, made }
    }
  }

  async #futureOf({ repo, branch }: Pick<AtomInput, 'repo' | 'branch'>): Promise<Future> {
    const lost = await lostWriter(this.#tx, repo)
    if (lost !== undefined) return { kind: 'nothing', reason: lost }
    const trigger = await findTrigger(this.#tx, repo, branch)
    if (trigger !== undefined) {
      // A clock lets through what has come before.
      const isTicking = trigger.schedule !== ''
      const source = isTicking ? undefined : await this.#futureOf({ repo, branch: trigger.source })
      return source?.kind === 'nothing' ? source : { kind: 'followed' }
    }
    const writer = await findPipeline(this.#tx, repo)
    if (writer !== undefined && writer.spec.spout !== true) {
      return await this.#futureOfOutput(writer, branch)
    }
    // A spout's repo is made from no others.
    if (writer?.spec.outputBranch === branch) return deathOf(writer) ?? { kind: 'new' }
    const isBegun = (await findBranch(this.#tx, repo, branch)) !== undefined
    const isRoot = (await findRepo(this.#tx, repo))?.provenance.length === 0
    return { kind: isRoot && isBegun ? 'new' : 'anything' }
  }

  async #futureOfOutput(writer: PipelineRecord, branch: BranchName): Promise<Future> {
    const { name, spec } = writer
    const isStats = spec.enableStats && String(branch) === statsBranch
    if (spec.outputBranch !== branch && !isStats) {
      const reason = `pipeline ${name} writes branch ${spec.outputBranch}, and nothing comes to ${name}/${branch}`
      return { kind: 'nothing', reason }
    }
    const dead = deathOf(writer)
    if (dead !== undefined) return dead
    if (await this.mayMake(writer, {})) {
      return isStats ? { kind: 'anything' } : { kind: 'made', by: writer }
    }
    return { kind: 'nothing', reason: `pipeline ${name} will make no more jobs` }
  }
}

function deathOf({ name, state, recentError }: PipelineRecord): Future | undefined {
  if (state !== 'failure') return undefined
  return { kind: 'nothing', reason: `pipeline ${name} has failed: ${recentError}` }
}

/** Why nothing is written to a repo any more: its pipeline was deleted, and it stayed. */
export async function lostWriter(tx: ReadTransaction, name: RepoName): Promise<string | undefined> {
  if ((await findPipeline(tx, name)) !== undefined) return undefined
  const [repo, deletedAt] = [await findRepo(tx, name), await pipelineDeletedAt(tx, name)]
  if (repo === undefined || deletedAt === undefined || repo.createdAt > deletedAt) return undefined
  return `pipeline ${name} was deleted, and its repo stayed: create-pipeline makes it anew, delete-repo ${name} removes what is left`
}

/** A list that is made as far as it is looked at. */
class Listed<Item> implements AsyncIterable<Item> {
  readonly #rest: AsyncIterator<Item>
  readonly #items: Item[] = []

  constructor(rest: AsyncIterable<Item>) {
    this.#rest = rest[Symbol.asyncIterator]()
  }

  async at(index: number): Promise<Item | undefined> {
    while (this.#items.length <= index) {
      const next = await this.#rest.next()
      if (next.done === true) return undefined
      this.#items.push(next.value)
    }
    return this.#items[index]
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item> {
    for (let index = 0; ; index += 1) {
      const item = await this.at(index)
      if (item === undefined) return
      yield item
    }
  }
}
