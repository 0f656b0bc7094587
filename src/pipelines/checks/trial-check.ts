import { DomainError } from '../../base/errors.ts'
import { parseBranchName, parseRepoName, type PipelineName } from '../../base/names.ts'
import type { Database, ReadTransaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { pipelinesFinding } from '../pipelines-findings.ts'
import { nameInTrial, parseTrialName } from '../trials/trial-records.ts'
import type { PipelinesCheckPorts } from './ports.ts'
import { parseSpec } from './spec-check.ts'

interface PipelineRow {
  readonly [column: string]: string | number | null
  readonly pipeline: string
  readonly position: number
  readonly tries: string
  readonly based_on: number
  readonly is_changed: number
  readonly spec: string
  readonly pipeline_found: string | null
  readonly tried_version: number | null
}

interface DataRow {
  readonly [column: string]: string | number | null
  readonly position: number
  readonly repo: string
  readonly branch: string
  readonly other: string
}

/** Trials have all their parts, and the pipelines that these name exist. */
export async function checkTrials({ database, run }: PipelinesCheckPorts): Promise<void> {
  run.stage = 'trials'
  const query = {
    sql: 'SELECT name FROM trials WHERE name > ? ORDER BY name',
    first: [''],
    keyOf: ({ name }: { readonly name: string }) => [name],
    pageRows: 50,
  }
  for await (const page of pagesOf<{ readonly name: string }>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const { name } of page) {
      const problem = await database.read((tx) => problemOf(tx, name))
      if (problem === undefined) continue
      const what = `trial ${JSON.stringify(name.slice(0, 255))} ${problem}`
      await run.report({ kind: pipelinesFinding('trial-damaged'), subject: {}, what })
    }
  }
  await checkLeftOver({ database, run })
}

async function problemOf(tx: ReadTransaction, trial: string): Promise<string | undefined> {
  const pipelines = await tx.all<PipelineRow>(
    `SELECT t.pipeline, t.position, t.tries, t.based_on, t.is_changed, t.spec,
        p.name AS pipeline_found, m.version AS tried_version
      FROM trial_pipelines t LEFT JOIN pipelines p ON p.name = t.pipeline
      LEFT JOIN pipelines m ON m.name = t.tries WHERE t.trial = ? ORDER BY t.position`,
    trial,
  )
  const data = await tx.all<DataRow>(
    'SELECT position, repo, branch, other FROM trial_data WHERE trial = ? ORDER BY position',
    trial,
  )
  const isGap = [pipelines, data].some((rows) => rows.some((row, index) => row.position !== index))
  if (isGap || pipelines.length === 0) return 'has lost a part of itself'
  try {
    for (const row of pipelines) {
      const problem = pipelineProblem(row, trial)
      if (problem !== undefined) return problem
    }
    for (const { repo, branch, other } of data) {
      parseRepoName(repo)
      for (const name of [branch, other]) parseBranchName(name)
    }
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return `makes no sense: ${error.message}`
  }
  return undefined
}

function pipelineProblem(row: PipelineRow, trial: string): string | undefined {
  const { pipeline, tries, based_on: version } = row
  const name = nameInTrial(tries as PipelineName, parseTrialName(trial))
  if (String(name) !== pipeline) return `tries pipeline ${tries} as ${pipeline}, and not as ${name}`
  if (row.pipeline_found === null) return `runs pipeline ${pipeline}, which does not exist`
  if (version > 0 && row.tried_version === null) {
    return `tries pipeline ${tries}, which does not exist`
  }
  if (version > (row.tried_version ?? 0)) {
    return `tries version ${version} of pipeline ${tries}, which has come to version ${row.tried_version ?? 0}`
  }
  if (parseSpec(tries, row.spec) === undefined) return `has a spec of ${tries} that makes no sense`
  if (row.is_changed !== 0 && row.is_changed !== 1) return 'says of a spec neither yes nor no'
  return undefined
}

const partTables = ['trial_pipelines', 'trial_data'] as const
const isLeftOver = 'NOT EXISTS (SELECT 1 FROM trials WHERE trials.name = trial)'

async function checkLeftOver({ database, run }: PipelinesCheckPorts): Promise<void> {
  const count = await database.read(async (tx) => {
    let sum = 0
    for (const table of partTables) {
      const sql = `SELECT COUNT(*) AS count FROM ${table} WHERE ${isLeftOver}`
      sum += (await tx.get<{ readonly count: number }>(sql))?.count ?? 0
    }
    return sum
  })
  if (count === 0) return
  await run.report({
    kind: pipelinesFinding('trial-rows-left-over'),
    subject: {},
    what: `${count} rows are parts of trials that do not exist`,
    repair: () => deleteLeftOver(database),
  })
}

async function deleteLeftOver(database: Database): Promise<boolean> {
  return await database.transact(async (tx) => {
    let count = 0
    for (const table of partTables)
      count += await tx.run(`DELETE FROM ${table} WHERE ${isLeftOver}`)
    return count > 0
  })
}
