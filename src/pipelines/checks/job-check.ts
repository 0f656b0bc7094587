import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { pipelinesFinding } from '../pipelines-findings.ts'
import { hasEnded, isJobState } from '../states.ts'
import { checkJobCounts } from './job-counts-check.ts'
import { OriginCheck } from './origin-check.ts'
import type { PipelinesCheckPorts } from './ports.ts'

export interface JobRow {
  readonly [column: string]: string | number | null
  readonly id: string
  readonly sequence: number
  readonly pipeline: string
  readonly pipeline_id: string
  readonly salt: string
  readonly state: string
  readonly created_at: number
  readonly finished_at: number | null
  readonly output_repo: string
  readonly output_commit: string
  readonly datum_total: number
  readonly datum_processed: number
  readonly datum_skipped: number
  readonly datum_failed: number
  readonly datum_recovered: number
  readonly good_set_root: string | null
  readonly datum_set_root: string | null
  readonly contributions_root: string | null
  readonly matches_root: string | null
  /** The output repo, if it has been there since the job was made. */
  readonly repo_found: string | null
  readonly output_found: string | null
  readonly version_found: number | null
  readonly version: number
  /** 1: it has no inputs. */
  readonly is_spout: number
  /** 1: it ran in an old cluster, and not everything is known of it. */
  readonly imported: number
}

const jobs = `SELECT j.id, j.sequence, j.pipeline, j.pipeline_id, j.salt, j.state, j.created_at,
    j.finished_at, j.output_repo, j.output_commit, j.datum_total, j.datum_processed, j.datum_skipped,
    j.datum_failed, j.datum_recovered, j.good_set_root, j.datum_set_root, j.contributions_root,
    j.matches_root, r.name AS repo_found, c.id AS output_found, v.version AS version_found,
    j.pipeline_version AS version, j.imported,
    CASE WHEN v.spec LIKE '%"spout":true%' THEN 1 ELSE 0 END AS is_spout
  FROM jobs j
  LEFT JOIN repos r ON r.name = j.output_repo AND r.created_at <= j.created_at
  LEFT JOIN commits c ON c.id = j.output_commit AND c.repo = j.output_repo
  LEFT JOIN pipeline_versions v ON v.pipeline_id = j.pipeline_id AND v.version = j.pipeline_version
  WHERE j.sequence > ? ORDER BY j.sequence`

/** All jobs, oldest first. */
export function jobPages(ports: PipelinesCheckPorts): AsyncGenerator<readonly JobRow[]> {
  return pagesOf<JobRow>(ports.database, {
    sql: jobs,
    first: [Number.MIN_SAFE_INTEGER],
    keyOf: ({ sequence }: JobRow) => [sequence],
    pageRows: 200,
  })
}

/** Jobs by themselves, and with the commits that they read and wrote. */
export async function checkJobs(ports: PipelinesCheckPorts): Promise<void> {
  const { run } = ports
  run.stage = 'jobs'
  const origins = new OriginCheck(ports)
  for await (const page of jobPages(ports)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const row of page) {
      await checkJob(ports, row)
      await checkJobCounts(ports, row.id)
      await origins.check(row)
      await checkInputs(ports, row)
      await checkProvenance(ports, row)
      await checkOutputProvenance(ports, row)
    }
  }
  await checkLeftOver(ports, 'job_inputs', 'repo')
  await checkLeftOver(ports, 'job_provenance', 'commit_id')
  await checkLeftOver(ports, 'datum_failures', 'datum')
}

async function checkJob({ run }: PipelinesCheckPorts, row: JobRow): Promise<void> {
  const { id, pipeline, output_commit: output, output_repo: repo } = row
  const problem = jobProblem(row)
  if (problem !== undefined) {
    await run.report({
      kind: pipelinesFinding('job-damaged'),
      subject: { job: id, pipeline },
      what: `job ${id} of pipeline ${pipeline} ${problem}`,
    })
  }
  if (row.state !== 'success' || row.repo_found === null || row.output_found !== null) return
  // One whose output was damaged in an old cluster.
  if (row.imported === 1 && output === '') return
  await run.report({
    kind: pipelinesFinding('job-output-missing'),
    subject: { job: id, pipeline, repo, commit: output },
    what: `job ${id} of pipeline ${pipeline} wrote commit ${repo}/${output}, which does not exist`,
  })
}

/** The first thing that contradicts what jobs can be. Counters balance once a job has succeeded. */
function jobProblem(row: JobRow): string | undefined {
  const { state } = row
  if (!isJobState(state)) return `has the unknown state ${JSON.stringify(state)}`
  const isImported = row.imported === 1
  if (row.version_found === null && !isImported)
    return 'ran a version of the pipeline whose spec is not there'
  const isOver = row.finished_at !== null
  // Old clusters do not always say when.
  if (hasEnded(state) !== isOver && !(isImported && !isOver))
    return `is in the state ${state} and has ${isOver ? 'an' : 'no'} end`
  if (state !== 'success') {
    return row.output_found === null
      ? undefined
      : `is in the state ${state} and has an output commit`
  }
  if (isImported) return undefined
  if (row.datum_set_root === null || row.contributions_root === null) {
    return 'succeeded, and does not say what its datums are'
  }
  const { datum_total: total, datum_processed: processed, datum_skipped: skipped } = row
  const { datum_failed: failed, datum_recovered: recovered } = row
  if (failed === 0 && total === processed + skipped + recovered) return undefined
  return `succeeded with ${total} datums, of which it says ${processed} processed, ${skipped} skipped, ${recovered} recovered and ${failed} failed`
}

interface InputRow {
  readonly [column: string]: string | number | null
  readonly repo: string
  readonly commit_id: string
  /** The repo, if it has been there since the job was made. */
  readonly repo_found: string | null
  readonly found: string | null
  /** 1: it has not come from the old cluster where it was read. */
  readonly left_out: number
}

async function inputsOf(tx: ReadTransaction, job: string): Promise<readonly InputRow[]> {
  return await tx.all<InputRow>(
    `SELECT i.repo, i.commit_id, i.left_out, r.name AS repo_found, c.id AS found FROM job_inputs i
      JOIN jobs j ON j.id = i.job
      LEFT JOIN repos r ON r.name = i.repo AND r.created_at <= j.created_at
      LEFT JOIN commits c ON c.id = i.commit_id AND c.repo = i.repo
      WHERE i.job = ? ORDER BY i.repo`,
    job,
  )
}

async function checkInputs({ database, run }: PipelinesCheckPorts, row: JobRow): Promise<void> {
  const { id, pipeline } = row
  const { inputs, isThere } = await database.read(async (tx) => ({
    inputs: await inputsOf(tx, id),
    isThere: (await tx.get('SELECT id FROM jobs WHERE id = ?', id)) !== undefined,
  }))
  if (!isThere) return
  const kind = pipelinesFinding('job-input-missing')
  if (inputs.length === 0 && row.is_spout !== 1) {
    const what = `job ${id} of pipeline ${pipeline} has no inputs`
    await run.report({ kind, subject: { job: id, pipeline }, what })
  }
  // One that is killed because its input is deleted stays, to say so.
  if (row.state === 'killed') return
  for (const { repo, commit_id: commit, repo_found: since, found, left_out: leftOut } of inputs) {
    if (since === null || found !== null || leftOut === 1) continue
    await run.report({
      kind,
      subject: { job: id, pipeline, repo, commit },
      what: `job ${id} of pipeline ${pipeline} read commit ${repo}/${commit}, which does not exist`,
    })
  }
}

/** The inputs and what they are made from that are not noted as such. */
async function missingProvenance(tx: ReadTransaction, job: string): Promise<readonly CommitId[]> {
  const rows = await tx.all<{ readonly id: CommitId }>(
    `SELECT DISTINCT e.id FROM (
        SELECT commit_id AS id FROM job_inputs WHERE job = ?
        UNION SELECT p.ancestor FROM job_inputs i JOIN commit_provenance p ON p.id = i.commit_id
          WHERE i.job = ?) AS e
      WHERE NOT EXISTS (SELECT 1 FROM job_provenance n WHERE n.commit_id = e.id AND n.job = ?)
      ORDER BY e.id`,
    job,
    job,
    job,
  )
  return rows.map(({ id }) => id)
}

async function checkProvenance({ database, run }: PipelinesCheckPorts, row: JobRow): Promise<void> {
  const { id, pipeline } = row
  const missing = await database.read((tx) => missingProvenance(tx, id))
  if (missing.length === 0) return
  await run.report({
    kind: pipelinesFinding('job-provenance-wrong'),
    subject: { job: id, pipeline },
    what: `job ${id} of pipeline ${pipeline} is not said to follow from commit ${missing[0]}${missing.length === 1 ? '' : ` and ${missing.length - 1} more`}, and does`,
    repair: () => database.transact((tx) => repairProvenance(tx, id)),
  })
}

async function repairProvenance(tx: Transaction, job: string): Promise<boolean> {
  const missing = await missingProvenance(tx, job)
  for (const commit of missing) {
    await tx.run('INSERT INTO job_provenance (commit_id, job) VALUES (?, ?)', commit, job)
  }
  return missing.length > 0
}

/** The inputs, of those that exist, that the output commit of a job is not directly made from. */
async function missingOutputEdges(tx: ReadTransaction, job: string): Promise<readonly EdgeRow[]> {
  return await tx.all<EdgeRow>(
    `SELECT j.output_commit AS output, i.commit_id AS input, i.repo FROM jobs j
      JOIN job_inputs i ON i.job = j.id
      JOIN commits o ON o.id = j.output_commit AND o.repo = j.output_repo
      JOIN commits c ON c.id = i.commit_id AND c.repo = i.repo
      WHERE j.id = ? AND j.state = 'success' AND NOT EXISTS (SELECT 1 FROM commit_provenance p
        WHERE p.id = j.output_commit AND p.ancestor = i.commit_id AND p.direct = 1)
      ORDER BY i.repo`,
    job,
  )
}

type EdgeRow = { readonly output: string; readonly input: string; readonly repo: string }

async function checkOutputProvenance(ports: PipelinesCheckPorts, row: JobRow): Promise<void> {
  const { database, run } = ports
  const { id, pipeline, output_repo: repo, output_commit: commit } = row
  const [missing] = await database.read((tx) => missingOutputEdges(tx, id))
  if (missing === undefined) return
  await run.report({
    kind: pipelinesFinding('job-output-provenance-wrong'),
    subject: { job: id, pipeline, repo, commit },
    what: `commit ${repo}/${commit} is not said to be made from ${missing.repo}/${missing.input}, which job ${id} made it from`,
    repair: () => database.transact((tx) => repairOutputEdges(tx, id)),
  })
}

/** The direct edges; what follows from them is for versioning to work out. */
async function repairOutputEdges(tx: Transaction, job: string): Promise<boolean> {
  const missing = await missingOutputEdges(tx, job)
  for (const { output, input, repo } of missing) {
    await tx.run(
      `INSERT INTO commit_provenance (id, ancestor, ancestor_repo, direct) VALUES (?, ?, ?, 1)
        ON CONFLICT (id, ancestor) DO UPDATE SET direct = 1`,
      output,
      input,
      repo,
    )
  }
  return missing.length > 0
}

type OwnedRow = { readonly job: string; readonly other: string; readonly found: string | null }

/** Rows of a table whose key is a job and another column: both are deleted together. */
async function checkLeftOver(
  { database, run }: PipelinesCheckPorts,
  table: 'job_inputs' | 'job_provenance' | 'datum_failures',
  other: string,
): Promise<void> {
  // In the order of the table's key, or of its index by job.
  const query = {
    sql: `SELECT t.job, t.${other} AS other, j.id AS found FROM ${table} t
      LEFT JOIN job_rows j ON j.id = t.job WHERE (t.job, t.${other}) > (?, ?)
      ORDER BY t.job, t.${other}`,
    first: ['', ''],
    keyOf: (row: OwnedRow) => [row.job, row.other],
    pageRows: 2000,
  }
  let count = 0
  for await (const page of pagesOf<OwnedRow>(database, query)) {
    run.throwIfCancelled()
    count += page.filter(({ found }) => found === null).length
  }
  if (count === 0) return
  const orphans = `FROM ${table} WHERE NOT EXISTS (SELECT 1 FROM job_rows WHERE job_rows.id = ${table}.job)`
  await run.report({
    kind: pipelinesFinding('job-rows-left-over'),
    subject: {},
    what: `${count} rows of ${table} are about jobs that do not exist`,
    repair: async () => (await database.transact((tx) => tx.run(`DELETE ${orphans}`))) > 0,
  })
}
