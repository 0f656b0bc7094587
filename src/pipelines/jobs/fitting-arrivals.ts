import type { CommitId, PipelineName, RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import {
  type Arrival,
  arrivalOf,
  type ArrivalRow,
  lacksNothing,
  pageMax,
  type SequenceRange,
} from './arrivals.ts'
import { madeCountOf, madeMax } from './made-arrivals.ts'
import { isRoot, type RootCommits } from './root-commits.ts'

/** Rows that are read first, since the newest mostly fits; `pageMax` after that. */
const firstMax = 5
/** So many are looked through one by one, whatever they are made from. */
const fewMax = 30

/** A root, and the position since whose choice no other root of that repo fits. */
export interface AgreedRoot {
  readonly repo: RepoName
  readonly commit: CommitId
  readonly by: number
}

/** Arrivals at one position, newest first, and the positions because of which others were left out. */
export interface FittingArrivals {
  readonly arrivals: AsyncIterable<Arrival>
  readonly by: ReadonlySet<number>
}

/** Which arrivals are asked for: of a range, and with what noted as lacking. */
interface Asked extends SequenceRange {
  readonly lacks: number
}

/** What `rootReposOf` says of some arrivals; null where it was not noted. */
type Kind = string | null
/** Of those that are made from no others, and so are roots. */
const rootKind = ''

interface Ports {
  readonly tx: ReadTransaction
  readonly pipeline: PipelineName
  readonly position: number
  /** The one that the input reads. */
  readonly repo: RepoName
  readonly roots: Pick<RootCommits, 'areAllIn' | 'isThere'>
}

/**
 * What came to one input of a pipeline, as one transaction sees it. Where roots are agreed on, what is
 * made from others of their repos is not looked at, however much waits: what is made from the
 * rarest agreed root is looked up, and arrivals that are made from no root of its repo stand by
 * themselves. Only where very much is made from each agreed commit, all is looked through that may be
 * chosen, in the database.
 */
export class ArrivalsAt {
  readonly #tx: ReadTransaction
  readonly #pipeline: PipelineName
  readonly #position: number
  readonly #repo: RepoName
  readonly #roots: Ports['roots']
  #kinds: readonly Kind[] | undefined
  readonly #madeCounts = new Map<CommitId, number>()

  constructor({ tx, pipeline, position, repo, roots }: Ports) {
    this.#tx = tx
    this.#pipeline = pipeline
    this.#position = position
    this.#repo = repo
    this.#roots = roots
  }

  /**
   * Of those within a range, at least the ones that are made from no other roots than agreed, and may
   * be chosen; with `lacks`, those of which it is noted that this position has nothing for them.
   */
  async fitting(
    agreed: readonly AgreedRoot[],
    within: SequenceRange,
    lacks: number = lacksNothing,
  ): Promise<FittingArrivals> {
    const asked = { ...within, lacks }
    const own = agreed.find(({ repo }) => repo === this.#repo)
    if (own !== undefined && (await this.#roots.areAllIn(this.#repo))) {
      const isAny = await this.hasAny(within, lacks)
      const arrivals = isAny ? await this.#of(own.commit, asked) : []
      return { arrivals: each(arrivals), by: new Set(isAny ? [own.by] : []) }
    }
    const parts: AsyncIterator<Arrival>[] = []
    const by = new Set<number>()
    for (const kind of await this.#findKinds()) {
      if (kind === rootKind && own !== undefined) {
        if ((await this.#countUpTo(1, kind, asked)) === 0) continue
        parts.push(each(await this.#of(own.commit, asked)))
        by.add(own.by)
        continue
      }
      const concerned = agreed.filter(({ repo }) => isMadeFrom(kind, repo) !== false)
      const countMax = concerned.length === 0 ? 1 : fewMax
      const count = await this.#countUpTo(countMax, kind, asked)
      if (count === 0) continue
      const isFew = count < fewMax || kind === null
      const rarest = isFew ? undefined : await this.#rarestOf(concerned)
      parts.push(this.#ofKind(kind, { concerned, rarest }, asked))
      for (const root of concerned) by.add(root.by)
    }
    return { arrivals: newestFirst(parts), by }
  }

  /** False while the repo that the input reads is deleted: what came from it may still come back. */
  async isThere(): Promise<boolean> {
    return await this.#roots.isThere(this.#repo)
  }

  /** Whether there is any within a range, whatever it is made from; `lacks` as in `fitting`. */
  async hasAny(within: SequenceRange, lacks: number = lacksNothing): Promise<boolean> {
    for (const kind of await this.#findKinds()) {
      if ((await this.#countUpTo(1, kind, { ...within, lacks })) > 0) return true
    }
    return false
  }

  /** The arrival of a commit, if it is there. */
  async #of(commit: CommitId, { from, below, lacks }: Asked): Promise<readonly Arrival[]> {
    const rows = await this.#tx.all<ArrivalRow>(
      `SELECT sequence, position, commit_id FROM pipeline_arrivals
        WHERE commit_id = ? AND pipeline || '' = ? AND lacks + 0 = ? ORDER BY sequence + 0 DESC`,
      commit,
      this.#pipeline,
      lacks,
    )
    return rows
      .map(arrivalOf)
      .filter(
        ({ position, sequence }) =>
          position === this.#position && sequence >= from && sequence < below,
      )
  }

  async #countUpTo(countMax: number, kind: Kind, asked: Asked): Promise<number> {
    const { isOfKind, values } = this.#condition(kind)
    const found = await this.#tx.get<{ readonly count: number }>(
      `SELECT COUNT(*) AS count FROM (SELECT sequence FROM pipeline_arrivals
        WHERE pipeline = ? AND position = ? AND ${isOfKind} AND lacks = ?
          AND sequence >= ? AND sequence < ? LIMIT ?) AS some`,
      ...values,
      ...valuesOf(asked),
      countMax,
    )
    return found?.count ?? 0
  }

  /** The one from which least is made; undefined when that is so much that looking for it is no gain. */
  async #rarestOf(agreed: readonly AgreedRoot[]): Promise<CommitId | undefined> {
    let rarest: { readonly commit: CommitId; readonly count: number } | undefined
    for (const { commit } of agreed) {
      const count = await this.#madeCountOf(commit)
      if (count < (rarest?.count ?? madeMax)) rarest = { commit, count }
    }
    return rarest?.commit
  }

  async #madeCountOf(commit: CommitId): Promise<number> {
    const known = this.#madeCounts.get(commit)
    if (known !== undefined) return known
    const count = await madeCountOf(this.#tx, commit)
    this.#madeCounts.set(commit, count)
    return count
  }

  /** A search for each: there are few. */
  async #findKinds(): Promise<readonly Kind[]> {
    if (this.#kinds !== undefined) return this.#kinds
    const kinds: Kind[] = []
    const at = [this.#pipeline, this.#position] as const
    const among = 'FROM pipeline_arrivals WHERE pipeline = ? AND position = ? AND'
    type Row = { readonly roots: string }
    const unknown = await this.#tx.get(`SELECT sequence ${among} roots IS NULL LIMIT 1`, ...at)
    if (unknown !== undefined) kinds.push(null)
    const least = `SELECT roots ${among} roots >= ? ORDER BY roots LIMIT 1`
    const next = `SELECT roots ${among} roots > ? ORDER BY roots LIMIT 1`
    let row = await this.#tx.get<Row>(least, ...at, '')
    while (row !== undefined) {
      kinds.push(row.roots)
      row = await this.#tx.get<Row>(next, ...at, row.roots)
    }
    this.#kinds = kinds
    return kinds
  }

  /** Those of one kind that are made from no other roots than agreed, page by page. */
  async *#ofKind(
    kind: Kind,
    roots: { readonly concerned: readonly AgreedRoot[]; readonly rarest: CommitId | undefined },
    asked: Asked,
  ): AsyncGenerator<Arrival> {
    const { isOfKind, values } = this.#condition(kind)
    const isFitting = roots.concerned.map(
      () => `AND NOT EXISTS (SELECT 1 FROM commit_provenance p
        WHERE p.id = commit_id AND p.ancestor_repo = ? AND p.ancestor <> ?
          AND ${isRoot('p.ancestor', 'p.ancestor_repo')})`,
    )
    const { rarest } = roots
    const among =
      rarest === undefined
        ? `pipeline = ? AND position = ? AND ${isOfKind} AND lacks = ? AND sequence >= ? AND sequence < ?`
        : // What is computed has no index: it goes by the commits, which are few.
          `commit_id IN (SELECT id FROM commit_provenance WHERE ancestor = ?)
            AND pipeline || '' = ? AND position + 0 = ? AND roots || '' = ? AND lacks + 0 = ?
            AND sequence + 0 >= ? AND sequence + 0 < ?`
    const order = rarest === undefined ? 'sequence' : 'sequence + 0'
    const sql = `SELECT sequence, position, commit_id FROM pipeline_arrivals
      WHERE ${among} ${isFitting.join(' ')} ORDER BY ${order} DESC LIMIT ?`
    const others = roots.concerned.flatMap(({ repo, commit }) => [repo, commit])
    let { below } = asked
    for (let countMax = firstMax; ; countMax = pageMax) {
      const rows = await this.#tx.all<ArrivalRow>(
        sql,
        ...(rarest === undefined ? [] : [rarest]),
        ...values,
        ...valuesOf({ ...asked, below }),
        ...others,
        countMax,
      )
      yield* rows.map(arrivalOf)
      const last = rows.at(-1)
      if (last === undefined || rows.length < countMax) return
      below = last.sequence
    }
  }

  #condition(kind: Kind): { readonly isOfKind: string; readonly values: (string | number)[] } {
    const values = [this.#pipeline, this.#position, ...(kind === null ? [] : [kind])]
    return { isOfKind: kind === null ? 'roots IS NULL' : 'roots = ?', values }
  }
}

function valuesOf({ lacks, from, below }: Asked): readonly number[] {
  const least = Math.max(from, Number.MIN_SAFE_INTEGER)
  return [lacks, least, Math.min(below, Number.MAX_SAFE_INTEGER)]
}

/** Undefined where it was not noted. */
function isMadeFrom(kind: Kind, repo: RepoName): boolean | undefined {
  return kind?.split(' ').includes(repo)
}

async function* each(arrivals: readonly Arrival[]): AsyncGenerator<Arrival> {
  yield* arrivals
}

/** Each of what some streams have, which are newest first themselves, once. */
async function* newestFirst(streams: readonly AsyncIterator<Arrival>[]): AsyncGenerator<Arrival> {
  const heads = await Promise.all(
    streams.map(async (stream) => ({ stream, head: await headOf(stream) })),
  )
  for (;;) {
    const sequences = heads.flatMap(({ head }) => head?.sequence ?? [])
    const newest = heads.find(({ head }) => head?.sequence === Math.max(...sequences))?.head
    if (newest === undefined) return
    yield newest
    for (const one of heads) {
      if (one.head?.sequence === newest.sequence) one.head = await headOf(one.stream)
    }
  }
}

async function headOf(stream: AsyncIterator<Arrival>): Promise<Arrival | undefined> {
  const next = await stream.next()
  return next.done === true ? undefined : next.value
}
