import { DataLossError } from '../../base/errors.ts'
import { pagesOf } from '../../database/pages.ts'
import type { Leases } from '../../storage/leases.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import type { MapRoot } from '../../storage/prolly-map.ts'
import { findResults } from '../datum-results.ts'
import { decodeDatum } from '../datums/datum-sets.ts'
import type { DatumKey } from '../datums.ts'
import { pipelinesFinding } from '../pipelines-findings.ts'
import { type OutputCheckPorts, outputDifference } from './output-check.ts'
import type { PipelinesCheckPorts } from './ports.ts'

export type LatestResultsPorts = PipelinesCheckPorts &
  OutputCheckPorts & {
    readonly leases: Leases
  }

const batchCount = 200
/** Missing results of one job that are told one by one. */
const toldMax = 20

interface BaseRow {
  readonly [column: string]: string
  readonly name: string
  readonly id: string
  readonly root: string
}

/** The job that the next one of each pipeline builds on: one of an old cluster if it says what its datums wrote. */
const bases = `SELECT p.name, j.id, COALESCE(j.good_set_root, j.datum_set_root) AS root FROM pipelines p
  JOIN jobs j ON j.sequence = (SELECT sequence FROM jobs b WHERE b.pipeline_id = p.id
    AND b.salt = p.salt AND b.state = 'success' ORDER BY sequence DESC LIMIT 1)
  WHERE j.datum_set_root IS NOT NULL AND (j.imported = 0 OR j.contributions_root IS NOT NULL)
    AND p.name > ? ORDER BY p.name`

/** Such a job, while its pipeline can still reuse its results: else they may be collected. */
const stillBase = `SELECT j.id FROM jobs j
  JOIN pipelines p ON p.id = j.pipeline_id AND p.salt = j.salt
  WHERE j.id = ? AND COALESCE(j.good_set_root, j.datum_set_root) = ?`

/** What such a job wrote, if its output commit is there. */
const output = `SELECT j.contributions_root AS contributions, c.repo, c.id AS "commit", c.root,
    c.size_bytes, c.file_count
  FROM jobs j JOIN commits c ON c.id = j.output_commit AND c.repo = j.output_repo
  WHERE j.id = ? AND j.contributions_root IS NOT NULL AND c.root IS NOT NULL
    AND c.size_bytes IS NOT NULL AND c.file_count IS NOT NULL`

type OutputRow = {
  readonly contributions: MapRoot
  readonly repo: string
  readonly commit: string
  readonly root: DirectoryEntry['root']
  readonly size_bytes: number
  readonly file_count: number
}

/**
 * Every datum of these jobs that was not recovered has a result, which the next job needs to merge its
 * output; and what they wrote is in their output commits. In full, that of every good job is compared,
 * which reads all that their outputs have in common once for each.
 */
export async function checkLatestResults(ports: LatestResultsPorts): Promise<void> {
  const { database, run } = ports
  run.stage = 'latest results'
  const query = { sql: bases, first: [''], keyOf: ({ name }: BaseRow) => [name], pageRows: 50 }
  for await (const page of pagesOf<BaseRow>(database, query)) {
    for (const row of page) {
      try {
        await checkBase(ports, row)
        if (!run.options.full) await checkOutput(ports, row)
      } catch (error) {
        // A set that cannot be read has been told.
        if (!(error instanceof DataLossError)) throw error
      }
    }
  }
  if (run.options.full) await checkOutputs(ports)
}

interface GoodRow {
  readonly [column: string]: string | number
  readonly sequence: number
  readonly id: string
  readonly name: string
}

const goodJobs = `SELECT j.sequence, j.id, j.pipeline AS name FROM jobs j
  WHERE j.state = 'success' AND j.contributions_root IS NOT NULL AND j.sequence > ?
  ORDER BY j.sequence`

/** As `checkLatestResults` does for the last one of each pipeline: all that is kept of good jobs. */
async function checkOutputs(ports: LatestResultsPorts): Promise<void> {
  const { database, run } = ports
  run.stage = 'outputs of jobs'
  const query = {
    sql: goodJobs,
    first: [Number.MIN_SAFE_INTEGER],
    keyOf: ({ sequence }: GoodRow) => [sequence],
  }
  for await (const page of pagesOf<GoodRow>(database, query)) {
    for (const row of page) {
      run.throwIfCancelled()
      try {
        await checkOutput(ports, row)
      } catch (error) {
        // A tree that cannot be read has been told.
        if (!(error instanceof DataLossError)) throw error
      }
    }
  }
}

async function checkBase(
  { database, maps, leases, run }: LatestResultsPorts,
  { id, name, root }: BaseRow,
): Promise<void> {
  using lease = leases.beginReading()
  const isThere = await lease.acquire(async () => {
    const job = await database.read((tx) => tx.get(stillBase, id, root))
    if (job !== undefined) lease.hold({ kind: 'map', root: root as MapRoot })
    return job !== undefined
  })
  if (!isThere) return
  let toldCount = 0
  const look = async (datums: readonly DatumKey[]): Promise<void> => {
    run.throwIfCancelled()
    // Of one snapshot: results go together with the jobs that need them, or once nothing can reuse
    // them, as a pipeline that was told to reprocess cannot.
    const missing = await database.read(async (tx) => {
      const job = await tx.get(stillBase, id, root)
      if (job === undefined) return []
      const results = await findResults(tx, datums)
      return datums.filter((datum) => !results.has(datum))
    })
    for (const datum of missing) {
      toldCount += 1
      if (toldCount > toldMax) return
      await run.report({
        kind: pipelinesFinding('datum-result-missing'),
        subject: { pipeline: name, job: id, datum },
        what: `datum ${datum} of job ${id} of pipeline ${name} has no result`,
      })
    }
  }
  let batch: DatumKey[] = []
  for await (const { value } of maps.scan(root as MapRoot)) {
    batch.push(decodeDatum(value).key)
    if (batch.length < batchCount) continue
    await look(batch)
    batch = []
  }
  await look(batch)
}

/** The output commit has what the datums wrote. */
async function checkOutput(
  ports: LatestResultsPorts,
  { id, name }: { readonly id: string; readonly name: string },
): Promise<void> {
  const { database, leases, run } = ports
  using lease = leases.beginReading()
  const row = await lease.acquire(async () => {
    const found = await database.read((tx) => tx.get<OutputRow>(output, id))
    if (found !== undefined) {
      lease.hold({ kind: 'tree', root: found.contributions })
      lease.hold({ kind: 'tree', root: found.root })
    }
    return found
  })
  if (row === undefined) return
  const { root, size_bytes: sizeBytes, file_count: fileCount, repo, commit } = row
  const tree = { kind: 'directory', root, sizeBytes, fileCount } as const
  const difference = await outputDifference(ports, row.contributions, tree)
  if (difference === undefined) return
  await run.report({
    kind: pipelinesFinding('job-output-wrong'),
    subject: { job: id, pipeline: name, repo, commit },
    what: `commit ${repo}/${commit}, which job ${id} of pipeline ${name} made, ${difference}`,
  })
}
