import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { findTrigger } from '../../versioning/branch-triggers.ts'
import { findBranch } from '../../versioning/branches.ts'
import { findCommit } from '../../versioning/commit-records.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { findRepo } from '../../versioning/repos.ts'
import { type Candidate, type Common, join, nothingChosen } from './alignment.ts'
import { allMembers, arrivalsWithin, hasBacklog } from './arrivals.ts'
import { type AtomInput, branchesOf } from '../inputs.ts'
import { findPipeline, pipelineDeletedAt, type PipelineRecord } from '../pipeline-records.ts'
import { RootRepos } from './root-repos.ts'
import { Sets } from './sets.ts'

/** Candidates that are tried for one question; after so many, the answer is yes. */
const triesMax = 10_000
const always = { from: -Infinity, below: Infinity } as const

/** What will still come to a branch that a pipeline reads. */
type Future =
  /** Nothing, and why. */
  | { readonly kind: 'nothing'; readonly reason: string }
  /** Commits that people have not made or finished yet, to a repo without provenance. */
  | { readonly kind: 'new' }
  /** What a pipeline makes. */
  | { readonly kind: 'made'; readonly by: PipelineRecord }
  /** No more is known. */
  | { readonly kind: 'anything' }

/** What a job is to be made over. */
export interface Wish {
  /** Made from this, or this itself. */
  readonly over?: CommitName
  /** Not made from another commit of this one's repo, which is made from no other. */
  readonly beside?: CommitName
}

/** Something that may stand for one input of a job. */
interface Option extends Candidate {
  /** The commits that it is and is made from; undefined for what is still to come. */
  readonly made?: ReadonlySet<CommitId>
}

interface Place {
  readonly atom: AtomInput
  readonly future: Future
  /** What is still to come first, then what the input has, newest first. */
  readonly options: Listed<Option>
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
  readonly #rootRepos: RootRepos
  readonly #known = new Map<string, boolean>()

  constructor(tx: ReadTransaction) {
    this.#tx = tx
    this.#rootRepos = new RootRepos(tx)
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

  /** Why inputs of a pipeline get nothing any more, of each that does not. */
  async endsOf({ spec }: PipelineRecord): Promise<readonly string[]> {
    const ends: string[] = []
    for (const atom of branchesOf(spec.input)) {
      const future = await this.#futureOf(atom)
      if (future.kind === 'nothing') ends.push(future.reason)
    }
    return ends
  }

  async #isUnderWay({ name, pipelineId }: PipelineRecord, { over }: Wish): Promise<boolean> {
    if (await hasBacklog(this.#tx, name)) return true
    const unended = `SELECT id FROM jobs WHERE pipeline_id = ? AND state IN ('starting', 'running')`
    const isOver = 'id IN (SELECT job FROM job_provenance WHERE commit_id = ?)'
    const job =
      over === undefined
        ? await this.#tx.get(`${unended} LIMIT 1`, pipelineId)
        : await this.#tx.get(`${unended} AND ${isOver} LIMIT 1`, pipelineId, over.id)
    return job !== undefined
  }

  async #mayBegin(pipeline: PipelineRecord, { over, beside }: Wish): Promise<boolean> {
    const places = await this.#placesOf(pipeline)
    const sets = new Sets(await allMembers(this.#tx, pipeline.name))
    const roots: Common['roots'] = new Map(
      beside === undefined ? [] : [[beside.repo, { commit: beside.id, by: -1 }]],
    )
    let triesLeft = triesMax

    const choose = async (chosen: readonly Option[], common: Common): Promise<boolean> => {
      const place = places[chosen.length]
      if (place === undefined) return await this.#mayCome(places, chosen, { common, over })
      for (let index = 0; ; index += 1) {
        const option = await place.options.at(index)
        if (option === undefined) return false
        triesLeft -= 1
        if (triesLeft < 0) return true
        const joined = join(common, { ...option, position: chosen.length }, sets)
        if (!('with' in joined) && (await choose([...chosen, option], joined))) return true
      }
    }

    return await choose([], { ...nothingChosen, roots })
  }

  /** Whether something in a choice is still to come, what is can be like the rest, and all is over `over`. */
  async #mayCome(
    places: readonly Place[],
    chosen: readonly Option[],
    { common, over }: { readonly common: Common; readonly over: CommitName | undefined },
  ): Promise<boolean> {
    const coming = places.filter((_, position) => chosen[position]?.made === undefined)
    if (coming.length === 0) return false
    for (const place of coming) {
      for (const [repo, { commit }] of common.roots) {
        if (!(await this.#mayFit(place, { repo, id: commit }))) return false
      }
    }
    if (over === undefined || chosen.some(({ made }) => made?.has(over.id) === true)) return true
    for (const place of coming) if (await this.#mayBring(place, over)) return true
    return false
  }

  /** Whether what comes to an input may be made from no other commit of the repo of `root`. */
  async #mayFit({ atom, future }: Place, root: CommitName): Promise<boolean> {
    if (future.kind === 'made') return await this.mayMake(future.by, { beside: root })
    return future.kind === 'anything' || atom.repo !== root.repo
  }

  /** Whether what comes to an input may be made from a commit, or be it. */
  async #mayBring({ atom, future }: Place, commit: CommitName): Promise<boolean> {
    if (future.kind === 'made') return await this.mayMake(future.by, { over: commit })
    if (future.kind === 'anything') return true
    if (atom.repo !== commit.repo) return false
    return (await findCommit(this.#tx, commit.repo, commit.id))?.state.kind === 'open'
  }

  async #placesOf({ name, spec }: PipelineRecord): Promise<readonly Place[]> {
    const places: Place[] = []
    for (const [position, atom] of branchesOf(spec.input).entries()) {
      const future = await this.#futureOf(atom)
      const options = this.#optionsOf(name, { atom, position, future })
      places.push({ atom, future, options: new Listed(options) })
    }
    return places
  }

  async *#optionsOf(
    pipeline: PipelineRecord['name'],
    {
      atom,
      position,
      future,
    }: {
      readonly atom: AtomInput
      readonly position: number
      readonly future: Future
    },
  ): AsyncGenerator<Option> {
    if (future.kind !== 'nothing') yield { sequence: Infinity, roots: new Map() }
    const arrivals = arrivalsWithin(this.#tx, pipeline, position, always)
    for await (const arrival of arrivals) {
      const info = await findCommit(this.#tx, atom.repo, arrival.commit)
      if (info === undefined) continue
      const roots = await this.#rootRepos.rootsOf(info)
      const made = new Set([info, ...info.provenance].map(({ id }) => id))
      yield { sequence: arrival.sequence, roots, made }
    }
  }

  async #futureOf({ repo, branch }: AtomInput): Promise<Future> {
    const writer = await findPipeline(this.#tx, repo)
    const reason = await lostWriter(this.#tx, repo)
    if (reason !== undefined) return { kind: 'nothing', reason }
    if (writer?.spec.outputBranch === branch) {
      if (writer.state === 'failure') {
        return { kind: 'nothing', reason: `pipeline ${repo} has failed: ${writer.recentError}` }
      }
      if (writer.spec.spout === true) return { kind: 'anything' }
      if (await this.mayMake(writer, {})) return { kind: 'made', by: writer }
      return { kind: 'nothing', reason: `pipeline ${repo} will make no more jobs` }
    }
    const isFollower = (await findTrigger(this.#tx, repo, branch)) !== undefined
    const isBegun = (await findBranch(this.#tx, repo, branch)) !== undefined
    const isRoot = (await findRepo(this.#tx, repo))?.provenance.length === 0
    return { kind: isRoot && isBegun && !isFollower ? 'new' : 'anything' }
  }
}

/** Why nothing is written to a repo any more: its pipeline was deleted, and it stayed. */
export async function lostWriter(tx: ReadTransaction, name: RepoName): Promise<string | undefined> {
  if ((await findPipeline(tx, name)) !== undefined) return undefined
  const [repo, deletedAt] = [await findRepo(tx, name), await pipelineDeletedAt(tx, name)]
  if (repo === undefined || deletedAt === undefined || repo.createdAt > deletedAt) return undefined
  return `pipeline ${name} was deleted, and its repo stayed: create-pipeline makes it anew, delete-repo ${name} removes what is left`
}

/** A list that is made as far as it is looked at. */
class Listed<Item> {
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
}
