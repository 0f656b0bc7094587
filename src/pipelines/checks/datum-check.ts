import type { Transaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import type { MapRoot } from '../../storage/prolly-map.ts'
import type { ChunkOwner, MapKind, RootVisitor, TreeTotals } from '../../storage/store-check.ts'
import type { TreeRoot } from '../../storage/tree-entries.ts'
import { decodeLog } from '../datum-logs.ts'
import { decodeMembers } from '../datum-results.ts'
import { decodeDatum } from '../datums/datum-sets.ts'
import { datumKey, type DatumMember } from '../datums.ts'
import { parseIndexKey } from '../discovery/match-index.ts'
import { orderKeyOf } from '../outputs/contributions.ts'
import { isNotDeleted } from '../deleted-jobs.ts'
import { type PipelinesDamage, pipelinesFinding } from '../pipelines-findings.ts'
import { jobPages, type JobRow } from './job-check.ts'
import type { PipelinesCheckPorts } from './ports.ts'

const datumSets: MapKind = {
  name: 'datum sets',
  holdsEntries: false,
  checkEntry: (_key, value) => {
    decodeDatum(value)
  },
}

const contributionMaps: MapKind = {
  name: 'contributions',
  holdsEntries: true,
  checkEntry: (key) => {
    orderKeyOf(key)
  },
}

const matchMaps: MapKind = {
  name: 'matches',
  holdsEntries: true,
  holdsRoots: true,
  checkEntry: (key) => {
    parseIndexKey(key)
  },
}

interface ResultRow {
  readonly [column: string]: string | number | Uint8Array | null
  readonly datum: string
  readonly job: string
  readonly members: string
  readonly logs: Uint8Array
  readonly output_root: string
  readonly output_bytes: number
  readonly output_files: number
  readonly pipeline_id: string
  /** Null when neither the result nor the job that made it says. */
  readonly salt: string | null
}

function resultPages(ports: PipelinesCheckPorts): AsyncGenerator<readonly ResultRow[]> {
  return pagesOf<ResultRow>(ports.database, {
    // Logs are up to 1 MiB each; so that a page stays small, those of few rows are read at once.
    sql: `SELECT d.datum, d.job, d.members, d.logs, d.output_root, d.output_bytes, d.output_files,
        d.pipeline_id, CASE WHEN d.salt = '' THEN j.salt ELSE d.salt END AS salt FROM datum_results d LEFT JOIN jobs j ON j.id = d.job
      WHERE d.datum > ? AND ${isNotDeleted} ORDER BY d.datum`,
    first: [''],
    keyOf: ({ datum }: ResultRow) => [datum],
    pageRows: 32,
  })
}

/** Results and failures by themselves. */
export async function checkDatumRows(ports: PipelinesCheckPorts): Promise<void> {
  const { run, database } = ports
  run.stage = 'datum results'
  await checkRows(run, resultPages(ports), ({ datum, job }) => ({
    kind: 'datum-result-damaged',
    whose: `the result of datum ${datum}, which job ${job} made,`,
  }))
  const query = {
    sql: `SELECT f.job, f.datum, f.members, f.logs, j.lineage_id AS pipeline_id, j.salt
      FROM datum_failures f
      JOIN jobs j ON j.id = f.job WHERE (f.job, f.datum) > (?, ?) ORDER BY f.job, f.datum`,
    first: ['', ''],
    keyOf: ({ job, datum }: ResultRow) => [job, datum],
    pageRows: 32,
  }
  await checkRows(run, pagesOf<ResultRow>(database, query), ({ datum, job }) => ({
    kind: 'datum-failure-damaged',
    whose: `the failure of datum ${datum} in job ${job}`,
  }))
}

/** Reports each row that cannot be what was recorded, as a finding about `whose` it is. */
async function checkRows(
  run: PipelinesCheckPorts['run'],
  pages: AsyncIterable<readonly ResultRow[]>,
  about: (row: ResultRow) => { readonly kind: PipelinesDamage; readonly whose: string },
): Promise<void> {
  for await (const page of pages) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const row of page) {
      const problem = rowProblem(row)
      if (problem === undefined) continue
      const { kind, whose } = about(row)
      await run.report({
        kind: pipelinesFinding(kind),
        subject: { datum: row.datum, job: row.job },
        what: `${whose} ${problem}`,
      })
    }
  }
}

function rowProblem(
  row: Pick<ResultRow, 'datum' | 'members' | 'logs' | 'pipeline_id' | 'salt'>,
): string | undefined {
  let members: readonly DatumMember[]
  try {
    members = decodeMembers(row.members)
  } catch {
    return 'does not say what it was made from'
  }
  try {
    decodeLog(row.logs)
  } catch {
    return 'has a log that cannot be read'
  }
  const { pipeline_id: lineageId, salt } = row
  if (salt === null || datumKey({ lineageId, salt }, members) === row.datum) return undefined
  return 'has another key than what it was made from gives'
}

/** Visits what jobs and results refer to, and checks that they say how much that is. */
export async function visitPipelinesRoots(
  ports: PipelinesCheckPorts,
  visitor: RootVisitor,
): Promise<void> {
  ports.run.stage = 'jobs'
  for await (const page of jobPages(ports)) {
    for (const row of page) await visitJob(ports, row, visitor)
  }
  ports.run.stage = 'datum results'
  for await (const page of resultPages(ports)) {
    for (const row of page) await visitResult(ports, row, visitor)
  }
}

async function visitJob(
  ports: PipelinesCheckPorts,
  row: JobRow,
  visitor: RootVisitor,
): Promise<void> {
  const { run } = ports
  run.throwIfCancelled()
  const { id, pipeline, datum_set_root: set, contributions_root: contributions } = row
  const { matches_root: matches } = row
  const subject = { job: id, pipeline }
  if (set !== null) {
    const owner: ChunkOwner = { subject, name: `the datums of job ${id}` }
    // The cast: rows are written from checked values, and what is no id is found nowhere.
    const count = await visitor.map(set as MapRoot, datumSets, owner)
    // Of one of an old cluster, files may have been damaged there.
    const isShort = row.imported === 1 && count !== undefined && count < row.datum_total
    if (count !== undefined && count !== row.datum_total && !isShort) {
      await run.report({
        kind: pipelinesFinding('datum-set-wrong'),
        subject,
        what: `job ${id} of pipeline ${pipeline} says that it has ${row.datum_total} datums, and ${count} are listed`,
      })
    }
  }
  if (row.good_set_root !== null) {
    const owner: ChunkOwner = { subject, name: `the datums of job ${id} that have a result` }
    await visitor.map(row.good_set_root as MapRoot, datumSets, owner)
  }
  if (matches !== null) {
    const owner: ChunkOwner = { subject, name: `what the inputs of job ${id} match` }
    await visitor.map(matches as MapRoot, matchMaps, owner)
  }
  if (contributions === null) return
  const owner: ChunkOwner = { subject, name: `what the datums of job ${id} wrote` }
  await visitor.map(contributions as MapRoot, contributionMaps, owner)
}

async function visitResult(
  ports: PipelinesCheckPorts,
  row: ResultRow,
  visitor: RootVisitor,
): Promise<void> {
  const { run, database } = ports
  run.throwIfCancelled()
  const { datum, job, output_bytes: sizeBytes, output_files: fileCount } = row
  // It has been collected.
  if (row.output_root === '') return
  const owner: ChunkOwner = { subject: { datum, job }, name: `the result of datum ${datum}` }
  const totals = await visitor.tree(row.output_root as TreeRoot, owner, fileCount)
  if (totals === undefined) return
  if (totals.sizeBytes === sizeBytes && totals.fileCount === fileCount) return
  await run.report({
    kind: pipelinesFinding('datum-result-damaged'),
    subject: owner.subject,
    what: `the result of datum ${datum} has ${totals.sizeBytes} bytes in ${totals.fileCount} files, and ${sizeBytes} bytes in ${fileCount} files are said`,
    repair: () => database.transact((tx) => repairSums(tx, row, totals)),
  })
}

async function repairSums(tx: Transaction, row: ResultRow, totals: TreeTotals): Promise<boolean> {
  const changed = await tx.run(
    `UPDATE datum_results SET output_bytes = ?, output_files = ?
      WHERE datum = ? AND output_root = ?`,
    totals.sizeBytes,
    totals.fileCount,
    row.datum,
    row.output_root,
  )
  return changed > 0
}
