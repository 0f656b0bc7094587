import type { RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { findCommit, type CommitInfo } from '../../versioning/commit-records.ts'
import { type AtomInput, branchesOf } from '../inputs.ts'
import type { PipelineRecord } from '../pipeline-records.ts'
import { align, type Candidate, type Candidates, type Common, type Fitting } from './alignment.ts'
import {
  allMembers,
  areAllMadeFrom,
  type Arrival,
  arrivalsMadeFrom,
  arrivalsWithin,
} from './arrivals.ts'
import { RootRepos } from './root-repos.ts'
import { Sets } from './sets.ts'

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
  readonly #areAllMadeFrom = new Map<string, boolean>()
  #sets: Sets | undefined

  constructor(tx: ReadTransaction, pipeline: PipelineRecord) {
    this.#tx = tx
    this.#pipeline = pipeline
    this.#branches = branchesOf(pipeline.spec.input)
    this.#rootRepos = new RootRepos(tx)
  }

  /** `arrival` with the commits of the other inputs that align with it, one for each input. */
  async choose(arrival: Arrival): Promise<readonly Found[] | undefined> {
    this.#sets ??= new Sets(await allMembers(this.#tx, this.#pipeline.name))
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
    for (const [repo, agreed] of common.roots) {
      if (!(await this.#isMadeFrom(atom, position, repo))) continue
      const arrivals = await arrivalsMadeFrom(this.#tx, agreed.commit, name, position, within)
      if (arrivals === undefined) continue
      return { options: this.#found(atom, arrivals), by: [...by, agreed.by] }
    }
    const arrivals = arrivalsWithin(this.#tx, name, position, within)
    return { options: this.#found(atom, arrivals), by }
  }

  /** Whether all that has come to an input is of a root repo, or made from it. */
  async #isMadeFrom(atom: AtomInput, position: number, repo: RepoName): Promise<boolean> {
    if (atom.repo === repo) return true
    const key = `${position} ${repo}`
    let known = this.#areAllMadeFrom.get(key)
    if (known === undefined) {
      known = await areAllMadeFrom(this.#tx, repo, this.#pipeline.name, position)
      this.#areAllMadeFrom.set(key, known)
    }
    return known
  }

  async *#found(
    atom: AtomInput,
    arrivals: Iterable<Arrival> | AsyncIterable<Arrival>,
  ): AsyncGenerator<Found> {
    for await (const arrival of arrivals) {
      const known = await this.#know(atom, arrival)
      if (known !== undefined) yield { ...arrival, ...known }
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
