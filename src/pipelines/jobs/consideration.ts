import { assert } from '../../base/errors.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { findCommit, type CommitInfo } from '../../versioning/commit-records.ts'
import { type AtomInput, branchesOf } from '../inputs.ts'
import type { PipelineRecord } from '../pipeline-records.ts'
import { align, type Candidate, type Candidates, type Common, type Fitting } from './alignment.ts'
import { type Arrival, arrivalsWithin } from './arrivals.ts'
import { ArrivalsAt } from './fitting-arrivals.ts'
import { RootRepos } from './root-repos.ts'
import { SetsBeside } from './sets-beside.ts'

/** An arrival with what is known of its commit. */
export interface Found extends Arrival, Candidate {
  readonly info: CommitInfo
}

/**
 * What one transaction finds out about the arrivals of a pipeline.
 *
 * Inputs that share a root repo with what is chosen are asked for the commits that are made from the
 * same one: how many others wait there makes next to no difference.
 */
export class Consideration {
  readonly #tx: ReadTransaction
  readonly #pipeline: PipelineRecord
  readonly #branches: readonly AtomInput[]
  readonly #rootRepos: RootRepos
  /** By commit: those of independent inputs are looked at for every arrival. */
  readonly #known = new Map<string, Pick<Found, 'info' | 'roots'> | undefined>()
  readonly #arrivals: readonly ArrivalsAt[]
  readonly #sets: SetsBeside

  constructor(tx: ReadTransaction, pipeline: PipelineRecord) {
    this.#tx = tx
    this.#pipeline = pipeline
    this.#branches = branchesOf(pipeline.spec.input)
    this.#rootRepos = new RootRepos(tx)
    const { name } = pipeline
    this.#arrivals = this.#branches.map((_, position) => new ArrivalsAt(tx, name, position))
    this.#sets = new SetsBeside(tx, name, this.#branches.length)
  }

  /** `arrival` with the commits of the other inputs that align with it, one for each input. */
  async choose(arrival: Arrival): Promise<readonly Found[] | undefined> {
    const inputs = this.#branches.map((atom, position): Candidates<Found> => {
      if (position === arrival.position) {
        return { fitting: () => ({ options: this.#found(atom, [arrival]), by: [] }) }
      }
      return { fitting: (common) => this.#fitting(atom, position, arrival, common) }
    })
    return await align(inputs, { first: arrival.position, sets: this.#sets })
  }

  /** Of what came to an input before `arrival`. */
  async #fitting(
    atom: AtomInput,
    position: number,
    { sequence }: Arrival,
    common: Common,
  ): Promise<Fitting<Found>> {
    const { name } = this.#pipeline
    const window = common.windows.get(position)
    const within = {
      from: window?.from ?? -Infinity,
      below: Math.min(window?.below ?? sequence, sequence),
    }
    const by = window?.by ?? new Set<number>()
    const any = await arrivalsWithin(this.#tx, name, position, within, 1).next()
    if (any.done === true) return { options: this.#found(atom, []), by }
    const all = this.#arrivals[position]
    assert(all !== undefined, 'each input has a position')
    const own = common.roots.get(atom.repo)
    if (own !== undefined) {
      return { options: this.#found(atom, await all.of(own.commit, within)), by: [...by, own.by] }
    }
    const agreed = [...common.roots].map(([repo, root]) => ({ repo, ...root }))
    const fitting = await all.fitting(agreed, within)
    return { options: this.#found(atom, fitting.arrivals), by: [...by, ...fitting.by] }
  }

  async *#found(
    atom: AtomInput,
    arrivals: Iterable<Arrival> | AsyncIterable<Arrival>,
  ): AsyncGenerator<Found> {
    for await (const arrival of arrivals) {
      const known = await this.#know(atom, arrival)
      if (known === undefined) continue
      await this.#sets.lookUp(arrival.position, arrival.sequence)
      yield { ...arrival, ...known }
    }
  }

  async #know(
    { repo }: AtomInput,
    { commit }: Arrival,
  ): Promise<Pick<Found, 'info' | 'roots'> | undefined> {
    if (this.#known.has(commit)) return this.#known.get(commit)
    const info = await findCommit(this.#tx, repo, commit)
    const known = info && { info, roots: await this.#rootRepos.rootsOf(info) }
    this.#known.set(commit, known)
    return known
  }
}
