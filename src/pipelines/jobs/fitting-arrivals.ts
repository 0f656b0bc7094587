import type { CommitId, PipelineName, RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import {
  areAllMadeFrom,
  type Arrival,
  arrivalOf,
  type ArrivalRow,
  arrivalsMadeFrom,
  pageMax,
  type SequenceRange,
} from './arrivals.ts'

/** Rows that are read first, since the newest mostly fits; `pageMax` after that. */
const firstMax = 5

/** A commit of a root repo, and the position since whose choice no other of that repo fits. */
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

/** The root repos of some arrivals; null where they were not noted. */
type Kind = string | null

/**
 * What came to one input of a pipeline, as one transaction sees it. Where commits of a root repo are
 * agreed on, those that are made from others are not looked at, however many wait: what is made from an
 * agreed commit is looked up, and arrivals that are made from no commit of its repo stand by themselves.
 * Only where very much is made from each agreed commit, all that waits is looked through, in the database.
 */
export class ArrivalsAt {
  readonly #tx: ReadTransaction
  readonly #pipeline: PipelineName
  readonly #position: number
  #kinds: readonly Kind[] | undefined
  readonly #areAllMadeFrom = new Map<RepoName, boolean>()

  constructor(tx: ReadTransaction, pipeline: PipelineName, position: number) {
    this.#tx = tx
    this.#pipeline = pipeline
    this.#position = position
  }

  /** Of those within a range, at least the ones that are made from no other commits than agreed. */
  async fitting(agreed: readonly AgreedRoot[], within: SequenceRange): Promise<FittingArrivals> {
    const parts: AsyncIterator<Arrival>[] = []
    const by = new Set<number>()
    let left = await this.#findKinds()
    for (const root of agreed) {
      const others = await this.#notMadeFrom(root.repo, left)
      if (others.length === left.length) continue
      const made = await arrivalsMadeFrom(
        this.#tx,
        root.commit,
        this.#pipeline,
        this.#position,
        within,
      )
      if (made === undefined) continue
      parts.push(each(made))
      by.add(root.by)
      left = others
    }
    for (const kind of left) {
      const concerned = agreed.filter(({ repo }) => isMadeFrom(kind, repo) !== false)
      parts.push(this.#ofKind(kind, concerned, within))
      for (const root of concerned) by.add(root.by)
    }
    return { arrivals: newestFirst(parts), by }
  }

  /** The arrival of a commit, if it is there. */
  async of(commit: CommitId, { from, below }: SequenceRange): Promise<readonly Arrival[]> {
    const rows = await this.#tx.all<ArrivalRow>(
      `SELECT sequence, position, commit_id FROM pipeline_arrivals
        WHERE commit_id = ? AND pipeline || '' = ? ORDER BY sequence + 0 DESC`,
      commit,
      this.#pipeline,
    )
    return rows
      .map(arrivalOf)
      .filter(
        ({ position, sequence }) =>
          position === this.#position && sequence >= from && sequence < below,
      )
  }

  /** Those of `kinds` that may have arrivals which are made from no commit of a repo. */
  async #notMadeFrom(repo: RepoName, kinds: readonly Kind[]): Promise<readonly Kind[]> {
    const others = kinds.filter((kind) => isMadeFrom(kind, repo) !== true)
    if (!others.includes(null)) return others
    let areAll = this.#areAllMadeFrom.get(repo)
    if (areAll === undefined) {
      areAll = await areAllMadeFrom(this.#tx, repo, this.#pipeline, this.#position)
      this.#areAllMadeFrom.set(repo, areAll)
    }
    return areAll ? [] : others
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

  /** Those of one kind that are made from no other commits than agreed, page by page. */
  async *#ofKind(
    kind: Kind,
    agreed: readonly AgreedRoot[],
    { from, below }: SequenceRange,
  ): AsyncGenerator<Arrival> {
    const isOfKind = kind === null ? 'roots IS NULL' : 'roots = ?'
    const isFitting = agreed.map(
      () => `AND NOT EXISTS (SELECT 1 FROM commit_provenance p
        WHERE p.id = commit_id AND p.ancestor_repo = ? AND p.ancestor <> ?)`,
    )
    const sql = `SELECT sequence, position, commit_id FROM pipeline_arrivals
      WHERE pipeline = ? AND position = ? AND ${isOfKind} AND sequence >= ? AND sequence < ?
        ${isFitting.join(' ')} ORDER BY sequence DESC LIMIT ?`
    const given = [this.#pipeline, this.#position, ...(kind === null ? [] : [kind])]
    const roots = agreed.flatMap(({ repo, commit }) => [repo, commit])
    const least = Math.max(from, Number.MIN_SAFE_INTEGER)
    let before = Math.min(below, Number.MAX_SAFE_INTEGER)
    for (let countMax = firstMax; ; countMax = pageMax) {
      const rows = await this.#tx.all<ArrivalRow>(sql, ...given, least, before, ...roots, countMax)
      yield* rows.map(arrivalOf)
      const last = rows.at(-1)
      if (last === undefined || rows.length < countMax) return
      before = last.sequence
    }
  }
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
