import { pagesOf } from '../../database/pages.ts'
import { pipelinesFinding } from '../pipelines-findings.ts'
import type { PipelinesCheckPorts } from './ports.ts'

interface ArrivalRow {
  readonly [column: string]: string | number | null
  readonly pipeline: string
  /** Of a history, the position. */
  readonly sequence: number
  readonly commit_id: string
  readonly state: string
  /** Null when the pipeline does not exist. */
  readonly pipeline_found: string | null
  /** Null when the pipeline has no such input. */
  readonly input_repo: string | null
  readonly repo: string | null
  readonly found: string | null
}

/**
 * Repos that were there when the pipeline was made: one that was deleted by force and made again
 * leaves arrivals behind, until the pipeline is updated.
 */
const joins = `LEFT JOIN pipelines p ON p.name = a.pipeline
  LEFT JOIN pipeline_inputs i ON i.pipeline = a.pipeline AND i.position = a.position
  LEFT JOIN repos r ON r.name = i.repo AND r.created_at <= p.created_at`

const columns = 'p.name AS pipeline_found, i.repo AS input_repo, r.name AS repo, c.id AS found'

const arrivals = `SELECT a.pipeline, a.sequence, a.commit_id, a.state, ${columns}
  FROM pipeline_arrivals a ${joins}
  LEFT JOIN commits c ON c.id = a.commit_id AND c.repo = i.repo AND c.finished_at IS NOT NULL
  WHERE (a.pipeline, a.sequence) > (?, ?) ORDER BY a.pipeline, a.sequence`

/** Of what is still to be noted, the commit may be open. */
const histories = `SELECT a.pipeline, a.position AS sequence, a.commit_id, 'new' AS state, ${columns}
  FROM pipeline_histories a ${joins}
  LEFT JOIN commits c ON c.id = a.commit_id AND c.repo = i.repo
  WHERE (a.pipeline, a.position) > (?, ?) ORDER BY a.pipeline, a.position`

const states: readonly string[] = ['new', 'waiting', 'used']

/** What pipelines have noted of the commits that they may read. */
export async function checkArrivals(ports: PipelinesCheckPorts): Promise<void> {
  ports.run.stage = 'arrivals'
  await checkNoted(ports, arrivals, 'has arrived for')
  await checkNoted(ports, histories, 'is where the history goes on that is to be noted for')
  for (const table of ['pipeline_arrivals', 'pipeline_histories', 'pipeline_inputs'] as const) {
    await checkLeftOver(ports, table)
  }
}

async function checkNoted(
  { database, run }: PipelinesCheckPorts,
  sql: string,
  verb: string,
): Promise<void> {
  const query = {
    sql,
    first: ['', Number.MIN_SAFE_INTEGER],
    keyOf: ({ pipeline, sequence }: ArrivalRow) => [pipeline, sequence],
  }
  for await (const page of pagesOf<ArrivalRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const row of page) {
      const { pipeline, commit_id: commit, repo, found, state } = row
      if (row.pipeline_found === null) continue
      const subject = { pipeline, commit }
      if (row.input_repo === null || !states.includes(state)) {
        const problem =
          row.input_repo === null
            ? 'on an input that it does not have'
            : `in the unknown state ${JSON.stringify(state)}`
        const what = `commit ${commit} ${verb} pipeline ${pipeline} ${problem}`
        await run.report({ kind: pipelinesFinding('arrival-damaged'), subject, what })
      } else if (repo !== null && found === null) {
        await run.report({
          kind: pipelinesFinding('arrival-missing'),
          subject: { ...subject, repo },
          what: `commit ${repo}/${commit} ${verb} pipeline ${pipeline}, and does not exist`,
        })
      }
    }
  }
}

async function checkLeftOver(
  { database, run }: PipelinesCheckPorts,
  table: 'pipeline_arrivals' | 'pipeline_histories' | 'pipeline_inputs',
): Promise<void> {
  const orphans = `FROM ${table}
    WHERE NOT EXISTS (SELECT 1 FROM pipelines p WHERE p.name = ${table}.pipeline)`
  const row = await database.read((tx) =>
    tx.get<{ readonly count: number }>(`SELECT COUNT(*) AS count ${orphans}`),
  )
  if (row === undefined || row.count === 0) return
  await run.report({
    kind: pipelinesFinding('pipeline-rows-left-over'),
    subject: {},
    what: `${row.count} rows of ${table} are about pipelines that do not exist`,
    repair: async () => (await database.transact((tx) => tx.run(`DELETE ${orphans}`))) > 0,
  })
}
