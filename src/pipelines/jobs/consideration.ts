import { assert } from '../../base/errors.ts'
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
import type { Arrival } from './arrivals.ts'
import { ArrivalsAt } from './fitting-arrivals.ts'
import { LackingArrivals } from './lacking-arrivals.ts'
import { RootCommits } from './root-commits.ts'
import { SetsBeside } from './sets-beside.ts'

/** An arrival with what is known of its commit. */
export interface Found extends Arrival, Candidate {
  readonly info: CommitInfo
}

/** What is tried in one transaction, which holds up the event loop: some 100 ms. */
const triesMax = 500

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
  readonly #branches: readonly AtomInput[]
  readonly #roots: RootCommits
  /** By commit: those of independent inputs are looked at for every arrival. */
  readonly #known = new Map<string, Pick<Found, 'info' | 'roots'> | undefined>()
  readonly #arrivals: readonly ArrivalsAt[]
  readonly #sets: SetsBeside
  readonly #lacking: LackingArrivals
  #triesLeft: number

  constructor(tx: Transaction, { name, spec }: PipelineRecord, triesLeft: number = triesMax) {
    this.#tx = tx
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
    return await align(inputs, {
      first,
      sets: this.#sets,
      path,
      mayTry: () => {
        this.#triesLeft -= 1
        return this.#triesLeft >= 0
      },
      lacks: (option, at) => this.#lacking.note(option, at, sequence),
    })
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
      const known = await this.#know(arrival)
      if (known === undefined) continue
      await this.#sets.lookUp(arrival.position, arrival.sequence)
      yield { ...arrival, ...known }
    }
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
