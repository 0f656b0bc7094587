import { assert } from '../../base/errors.ts'
import type { PipelineName } from '../../base/names.ts'
import type { Transaction } from '../../database/database.ts'
import { findCommit, type CommitInfo } from '../../versioning/commit-records.ts'
import { type AtomInput, branchesOf } from '../inputs.ts'
import type { PipelineRecord } from '../pipeline-records.ts'
import {
  align,
  type Alignment,
  type Candidate,
  type Candidates,
  type Common,
  type Fitting,
  type Path,
} from './alignment.ts'
import { type Arrival, forgetGone } from './arrivals.ts'
import { ArrivalsAt } from './fitting-arrivals.ts'
import { LackingArrivals } from './lacking-arrivals.ts'
import { RootCommits } from './root-commits.ts'
import { SetsBeside } from './sets-beside.ts'

/** An arrival with what is known of its commit. */
export interface Found extends Arrival, Candidate {
  readonly info: CommitInfo
}

/**
 * What is tried, or asked for what goes with it, in one transaction, which holds up the event loop: each is some
 * five statements, all some 50 to 100 ms.
 */
const triesMax = 500
/** How often arrivals whose commits are gone are forgotten in one transaction, 1,000 at once; see `forgetGone`. */
const goneLooksMax = 10

/**
 * What one transaction finds out about the arrivals of a pipeline.
 *
 * Inputs that share a root repo with what is chosen are asked for the commits that are made from the
 * same one: how many others wait there makes next to no difference. What nothing goes with is noted,
 * and not asked for again until something comes that does; see `LackingArrivals`. A search that goes on
 * for all that breaks off, for the next transaction to go on with.
 *
 * Arrivals are to be considered in the order of their sequences, each until its search has come to an end.
 */
export class Consideration {
  readonly #tx: Transaction
  readonly #pipeline: PipelineName
  readonly #branches: readonly AtomInput[]
  readonly #roots: RootCommits
  /** By commit: those of independent inputs are looked at for every arrival. */
  readonly #known = new Map<string, Pick<Found, 'info' | 'roots'> | undefined>()
  readonly #arrivals: readonly ArrivalsAt[]
  readonly #sets: SetsBeside
  readonly #lacking: LackingArrivals
  /** Sequences of arrivals that were forgotten, and may have been read before. */
  readonly #forgotten = new Set<number>()
  #goneLooksLeft = goneLooksMax
  #triesLeft: number

  constructor(tx: Transaction, { name, spec }: PipelineRecord, triesLeft: number = triesMax) {
    this.#tx = tx
    this.#pipeline = name
    this.#branches = branchesOf(spec.input)
    this.#roots = new RootCommits(tx)
    this.#arrivals = this.#branches.map(
      ({ repo }, position) =>
        new ArrivalsAt({ tx, pipeline: name, position, repo, roots: this.#roots }),
    )
    this.#sets = new SetsBeside(tx, name, this.#branches.length)
    this.#lacking = new LackingArrivals({
      tx,
      pipeline: name,
      arrivals: this.#arrivals,
      rootsOf: async (arrival) => (await this.#know(arrival))?.roots,
      found: (arrivals) => this.#found(arrivals),
      isBlocked: () => this.#isBlocked,
      mayTry: () => this.#mayTry(),
    })
    this.#triesLeft = triesLeft
  }

  /**
   * `arrival` with the commits of the other inputs that align with it, one for each input. `path`: where
   * the search for them broke off before.
   */
  async choose(arrival: Arrival, path?: Path): Promise<Alignment<Found>> {
    const { position: first, sequence } = arrival
    const known = await this.#know(arrival)
    if (known === undefined) return { kind: 'none' }
    const isNoted = await this.#lacking.onCome({ position: first, roots: known.roots })
    if (!isNoted) return { kind: 'later', path: path ?? [] }
    const inputs = this.#branches.map((_, position): Candidates<Found> => {
      if (position === first) {
        return { fitting: () => ({ options: this.#found([arrival]), by: [] }) }
      }
      return { fitting: (common) => this.#fitting(position, arrival, common) }
    })
    const choice = await align(inputs, {
      first,
      sets: this.#sets,
      path,
      mayTry: () => this.#mayTry(),
      lacks: (option, at) => this.#lacking.note(option, at, sequence),
    })
    // What is behind those that are gone was not looked at; next time there are fewer.
    return this.#isBlocked ? { kind: 'later', path: path ?? [] } : choice
  }

  get #isBlocked(): boolean {
    return this.#goneLooksLeft < 0
  }

  #mayTry(): boolean {
    this.#triesLeft -= 1
    return this.#triesLeft >= 0 && !this.#isBlocked
  }

  /** Of what came to an input before `arrival`. */
  async #fitting(position: number, { sequence }: Arrival, common: Common): Promise<Fitting<Found>> {
    const window = common.windows.get(position)
    const within = {
      from: window?.from ?? -Infinity,
      below: Math.min(window?.below ?? sequence, sequence),
    }
    const all = this.#arrivals[position]
    assert(all !== undefined, 'each input has a position')
    const agreed = [...common.roots].map(([repo, root]) => ({ repo, ...root }))
    const { arrivals, by } = await all.fitting(agreed, within)
    return { options: this.#found(arrivals), by: [...(window?.by ?? []), ...by] }
  }

  async *#found(arrivals: Iterable<Arrival> | AsyncIterable<Arrival>): AsyncGenerator<Found> {
    for await (const arrival of arrivals) {
      if (this.#forgotten.has(arrival.sequence)) continue
      const known = await this.#know(arrival)
      if (known === undefined) {
        if (!(await this.#forgetGone(arrival))) return
        continue
      }
      await this.#sets.lookUp(arrival.position, arrival.sequence)
      yield { ...arrival, ...known }
    }
  }

  /**
   * Forgets an arrival whose commit is gone, and such as came before it. False where the others are not to be
   * looked at: since they are too many for one transaction, or since the repo is deleted, so that all are gone and may come back.
   */
  async #forgetGone(arrival: Arrival): Promise<boolean> {
    const repo = this.#branches[arrival.position]?.repo
    if (repo === undefined || !(await this.#roots.isThere(repo))) return false
    this.#goneLooksLeft -= 1
    if (this.#isBlocked) return false
    for (const sequence of await forgetGone(this.#tx, this.#pipeline, arrival, repo)) {
      this.#forgotten.add(sequence)
    }
    return true
  }

  async #know({ position, commit }: Arrival): Promise<Pick<Found, 'info' | 'roots'> | undefined> {
    if (this.#known.has(commit)) return this.#known.get(commit)
    const repo = this.#branches[position]?.repo
    const info = repo && (await findCommit(this.#tx, repo, commit))
    const known = info && { info, roots: await this.#roots.rootsOf(info) }
    this.#known.set(commit, known)
    return known
  }
}
