import { createHash } from 'node:crypto'
import type { Database } from '../database/database.ts'
import type {
  CollectionRoot,
  CollectionRun,
  CollectionSource,
} from '../storage/collection-roots.ts'
import type { TreeRoot } from '../storage/file-trees.ts'
import type { MapRoot } from '../storage/prolly-map.ts'

const pageRows = 500

type JobRow = {
  readonly sequence: number
  readonly datum_set_root: MapRoot | null
  readonly good_set_root: MapRoot | null
  readonly contributions_root: MapRoot | null
  readonly matches_root: MapRoot | null
}
type ResultRow = {
  readonly datum: string
  readonly finished_at: number
  readonly output_root: TreeRoot
}
/** Where a page of results goes on: behind this one. */
type Position = Pick<ResultRow, 'datum' | 'finished_at'>
type UselessRow = {
  readonly datum: string
  readonly finished_at: number
  readonly output_root: string
  /** Null when the job's record is gone. */
  readonly job: string | null
}
type GroupRow = {
  readonly pipeline_id: string
  readonly salt: string
  /** 1 when a pipeline can still reuse the results. */
  readonly reusable: number
}

/**
 * What jobs and datum results keep. Results of pipelines that are gone, or were told to reprocess,
 * lose their output, for no job can reuse them, and go when the job that made them is gone.
 */
export class PipelineCollection implements CollectionSource {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async *collectionRoots(run: CollectionRun): AsyncGenerator<CollectionRoot> {
    for await (const group of this.#groups()) {
      if (group.reusable === 1) yield* this.#outputs(group)
      else run.removed('results', await this.#remove(group, run.isRehearsal))
    }
    yield* this.#jobRoots()
  }

  /** Results by pipeline and salt, each group once. */
  async *#groups(): AsyncGenerator<GroupRow> {
    let after: Pick<GroupRow, 'pipeline_id' | 'salt'> = { pipeline_id: '', salt: '' }
    // The first group may be the very least.
    let comparison = '>='
    for (;;) {
      const { pipeline_id: pipeline, salt } = after
      const is = comparison
      const group = await this.#database.read((tx) =>
        tx.get<GroupRow>(
          `SELECT pipeline_id, salt, CASE WHEN EXISTS (
              SELECT 1 FROM pipelines WHERE pipelines.lineage_id = datum_results.pipeline_id
                AND (pipelines.salt = datum_results.salt OR datum_results.salt = '')
            ) THEN 1 ELSE 0 END AS reusable
            FROM datum_results WHERE (pipeline_id, salt) ${is} (?, ?)
            ORDER BY pipeline_id, salt LIMIT 1`,
          pipeline,
          salt,
        ),
      )
      if (group === undefined) return
      yield group
      after = group
      comparison = '>'
    }
  }

  async *#outputs({ pipeline_id: pipeline, salt }: GroupRow): AsyncGenerator<CollectionRoot> {
    for (let after: Position = { datum: '', finished_at: 0 }; ;) {
      const { datum, finished_at: finishedAt } = after
      const page = await this.#database.read((tx) =>
        tx.all<ResultRow>(
          `SELECT datum, finished_at, output_root FROM datum_results
            WHERE pipeline_id = ? AND salt = ? AND (finished_at, datum) > (?, ?)
            ORDER BY finished_at, datum LIMIT ?`,
          pipeline,
          salt,
          finishedAt,
          datum,
          pageRows,
        ),
      )
      for (const { output_root: root } of page) yield { kind: 'tree', root }
      const end = page.at(-1)
      if (end === undefined) return
      after = end
    }
  }

  async *#jobRoots(): AsyncGenerator<CollectionRoot> {
    for (let after = -1; ;) {
      const last = after
      const page = await this.#database.read((tx) =>
        tx.all<JobRow>(
          `SELECT sequence, datum_set_root, good_set_root, contributions_root, matches_root FROM jobs
            WHERE sequence > ? ORDER BY sequence LIMIT ?`,
          last,
          pageRows,
        ),
      )
      for (const { datum_set_root: datums, good_set_root: good, ...job } of page) {
        if (datums !== null) yield { kind: 'map', root: datums }
        if (good !== null) yield { kind: 'map', root: good }
        const { contributions_root: contributions, matches_root: matches } = job
        // A map from (…, match key, …) to tree entries.
        if (matches !== null) yield { kind: 'tree', root: matches }
        // A map from (path, order key) to tree entries.
        if (contributions !== null) yield { kind: 'tree', root: contributions }
      }
      const end = page.at(-1)
      if (end === undefined) return
      after = end.sequence
    }
  }

  /**
   * A pipeline's id and salt never come back, so what is not reusable now will never be. What a job
   * that is remembered ran stays without its output: its log, and what it took.
   */
  async #remove({ pipeline_id: pipeline, salt }: GroupRow, isRehearsal: boolean): Promise<number> {
    let count = 0
    for (let after: Position = { datum: '', finished_at: 0 }; ;) {
      const { datum, finished_at: finishedAt } = after
      const page = await this.#database.read((tx) =>
        tx.all<UselessRow>(
          `SELECT r.datum, r.finished_at, r.output_root, j.id AS job FROM datum_results r
            LEFT JOIN jobs j ON j.id = r.job
            WHERE r.pipeline_id = ? AND r.salt = ? AND (r.finished_at, r.datum) > (?, ?)
            ORDER BY r.finished_at, r.datum LIMIT ?`,
          pipeline,
          salt,
          finishedAt,
          datum,
          pageRows,
        ),
      )
      const useless = page.filter(({ job, output_root: root }) => job === null || root !== '')
      count += useless.length
      if (!isRehearsal && useless.length > 0) await this.#removePage(useless)
      const end = page.at(-1)
      if (end === undefined) return count
      after = end
    }
  }

  async #removePage(rows: readonly UselessRow[]): Promise<void> {
    await this.#database.transact(
      async (tx) => {
        for (const { datum, job } of rows) {
          // A job that was deleted meanwhile leaves its rows to the next collection.
          const sql =
            job === null
              ? 'DELETE FROM datum_results WHERE datum = ?'
              : `UPDATE datum_results SET output_root = '' WHERE datum = ?`
          await tx.run(sql, datum)
        }
      },
      { usesReserve: true },
    )
  }
}

/**
 * How the tags begin that 1.5 gave to the results of datums that a pipeline can still reuse: four
 * digits of the SHA-256 of its salt.
 */
export async function datumTagPrefixes(database: Database): Promise<readonly string[]> {
  const rows = await database.read((tx) =>
    tx.all<{ readonly salt: string }>('SELECT salt FROM pipelines'),
  )
  return rows.map(({ salt }) => createHash('sha256').update(salt).digest('hex').slice(0, 4))
}
