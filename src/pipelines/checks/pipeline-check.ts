import type { CheckRun } from '../../base/check-run.ts'
import type { RepoName } from '../../base/names.ts'
import type { Database, ReadTransaction, Transaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { findRepo, updateRepo } from '../../versioning/repos.ts'
import { atomsOf, branchesOf } from '../inputs.ts'
import { writePipelineInputs } from '../pipeline-records.ts'
import { pipelinesFinding } from '../pipelines-findings.ts'
import type { PipelineSpec } from '../specs.ts'
import { isPipelineState } from '../states.ts'

export interface PipelinesCheckPorts {
  readonly database: Database
  readonly run: CheckRun
}

interface PipelineRow {
  readonly [column: string]: string | number | null
  readonly name: string
  readonly state: string
  readonly version: number
  readonly spec: string | null
}

const pipelines = `SELECT p.name, p.state, p.version, v.spec FROM pipelines p
  LEFT JOIN pipeline_versions v ON v.pipeline_id = p.id AND v.version = p.version
  WHERE p.name > ? ORDER BY p.name`

/** Pipelines have a spec, the inputs that it says, and repos that are made from these. */
export async function checkPipelines(ports: PipelinesCheckPorts): Promise<void> {
  const { database, run } = ports
  run.stage = 'pipelines'
  const query = {
    sql: pipelines,
    first: [''],
    keyOf: ({ name }: PipelineRow) => [name],
    pageRows: 50,
  }
  for await (const page of pagesOf<PipelineRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const row of page) await checkPipeline(ports, row)
  }
  await checkArrivals(ports)
}

async function checkPipeline(ports: PipelinesCheckPorts, row: PipelineRow): Promise<void> {
  const { run, database } = ports
  const { name, state, version } = row
  const damage = async (problem: string): Promise<void> => {
    const what = `pipeline ${name} ${problem}`
    await run.report({
      kind: pipelinesFinding('pipeline-damaged'),
      subject: { pipeline: name },
      what,
    })
  }
  if (!isPipelineState(state)) await damage(`has the unknown state ${JSON.stringify(state)}`)
  if (row.spec === null) {
    await damage(`has version ${version}, whose spec is not there`)
    return
  }
  if (parseSpec(name, row.spec) === undefined) {
    await damage(`has a spec of version ${version} that makes no sense`)
    return
  }
  const facts = await database.read((tx) => factsOf(tx, name))
  if (facts === undefined) return
  if (facts.inputsDiffer) {
    await run.report({
      kind: pipelinesFinding('pipeline-inputs-wrong'),
      subject: { pipeline: name },
      what: `pipeline ${name} is noted as reading other branches than its spec says`,
      repair: () => database.transact((tx) => repairInputs(tx, name)),
    })
  }
  if (facts.goneRepo !== undefined && state === 'running') {
    const what = `pipeline ${name} needs the repo ${facts.goneRepo}, which does not exist`
    const kind = pipelinesFinding('pipeline-repo-missing')
    await run.report({ kind, subject: { pipeline: name, repo: facts.goneRepo }, what })
  }
  if (facts.notMadeFrom === undefined) return
  await run.report({
    kind: pipelinesFinding('pipeline-provenance-wrong'),
    subject: { pipeline: name, repo: name },
    what: `repo ${name} is not said to be made from ${facts.notMadeFrom}, which pipeline ${name} reads`,
    repair: () => database.transact((tx) => repairProvenance(tx, name)),
  })
}

/** A spec as far as it must be sound for its branches to be told. */
function parseSpec(name: string, text: string): PipelineSpec | undefined {
  try {
    const spec = JSON.parse(text) as PipelineSpec
    const atoms = atomsOf(spec.input)
    const isSound =
      String(spec.name) === name &&
      typeof spec.outputBranch === 'string' &&
      Array.isArray(spec.transform.command) &&
      (atoms.length > 0 || spec.spout === true) &&
      atoms.every(({ repo, branch, glob }) => [repo, branch, glob].every(isText))
    return isSound ? spec : undefined
  } catch {
    return undefined
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string'
}

interface Facts {
  readonly spec: PipelineSpec
  readonly inputsDiffer: boolean
  readonly goneRepo: string | undefined
  /** An input that exists and is not in the provenance of the output repo, which exists. */
  readonly notMadeFrom: RepoName | undefined
}

/** Of one snapshot; undefined when the pipeline is gone or has no sound spec any more. */
async function factsOf(tx: ReadTransaction, name: string): Promise<Facts | undefined> {
  const [row] = await tx.all<PipelineRow>(
    `SELECT p.name, p.state, p.version, v.spec FROM pipelines p
      JOIN pipeline_versions v ON v.pipeline_id = p.id AND v.version = p.version WHERE p.name = ?`,
    name,
  )
  const spec = row?.spec === undefined || row.spec === null ? undefined : parseSpec(name, row.spec)
  if (spec === undefined) return undefined
  const noted = await tx.all<{ readonly repo: string; readonly branch: string }>(
    'SELECT repo, branch FROM pipeline_inputs WHERE pipeline = ? ORDER BY position',
    name,
  )
  const read = branchesOf(spec.input)
  const output = await findRepo(tx, name)
  const direct = await tx.all<{ readonly ancestor: string }>(
    'SELECT ancestor FROM repo_provenance WHERE repo = ? AND direct = 1',
    name,
  )
  let goneRepo = output === undefined ? name : undefined
  let notMadeFrom: RepoName | undefined
  for (const { repo } of read) {
    if ((await findRepo(tx, repo)) === undefined) goneRepo ??= repo
    else if (output !== undefined && !direct.some(({ ancestor }) => ancestor === String(repo))) {
      notMadeFrom ??= repo
    }
  }
  return { spec, inputsDiffer: inputsText(noted) !== inputsText(read), goneRepo, notMadeFrom }
}

function inputsText(inputs: readonly { readonly repo: string; readonly branch: string }[]): string {
  return JSON.stringify(inputs.map(({ repo, branch }) => [repo, branch]))
}

async function repairInputs(tx: Transaction, name: string): Promise<boolean> {
  const facts = await factsOf(tx, name)
  if (facts?.inputsDiffer !== true) return false
  await writePipelineInputs(tx, facts.spec)
  return true
}

async function repairProvenance(tx: Transaction, name: string): Promise<boolean> {
  const facts = await factsOf(tx, name)
  const repo = await findRepo(tx, name)
  if (facts?.notMadeFrom === undefined || repo === undefined) return false
  const direct = await tx.all<{ readonly ancestor: RepoName }>(
    `SELECT p.ancestor FROM repo_provenance p JOIN repos r ON r.name = p.ancestor
      WHERE p.repo = ? AND p.direct = 1`,
    name,
  )
  const provenance = new Set(direct.map(({ ancestor }) => ancestor))
  for (const input of branchesOf(facts.spec.input)) {
    if ((await findRepo(tx, input.repo)) !== undefined) provenance.add(input.repo)
  }
  await updateRepo(tx, { ...repo, provenance: [...provenance] })
  return true
}

interface ArrivalRow {
  readonly [column: string]: string | number | null
  readonly pipeline: string
  readonly sequence: number
  readonly commit_id: string
  readonly repo: string | null
  readonly found: string | null
}

/**
 * Arrivals from repos that were there when the pipeline was made: one that was deleted by force and
 * made again leaves arrivals behind, until the pipeline is updated.
 */
const arrivals = `SELECT a.pipeline, a.sequence, a.commit_id, r.name AS repo, c.id AS found
  FROM pipeline_arrivals a
  LEFT JOIN pipelines p ON p.name = a.pipeline
  LEFT JOIN pipeline_inputs i ON i.pipeline = a.pipeline AND i.position = a.position
  LEFT JOIN repos r ON r.name = i.repo AND r.created_at <= p.created_at
  LEFT JOIN commits c ON c.id = a.commit_id AND c.repo = i.repo AND c.finished_at IS NOT NULL
  WHERE (a.pipeline, a.sequence) > (?, ?) ORDER BY a.pipeline, a.sequence`

async function checkArrivals({ database, run }: PipelinesCheckPorts): Promise<void> {
  run.stage = 'arrivals'
  const query = {
    sql: arrivals,
    first: ['', Number.MIN_SAFE_INTEGER],
    keyOf: ({ pipeline, sequence }: ArrivalRow) => [pipeline, sequence],
  }
  for await (const page of pagesOf<ArrivalRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const { pipeline, commit_id: commit, repo, found } of page) {
      if (repo === null || found !== null) continue
      await run.report({
        kind: pipelinesFinding('arrival-missing'),
        subject: { pipeline, repo, commit },
        what: `commit ${repo}/${commit} has arrived for pipeline ${pipeline}, and does not exist`,
      })
    }
  }
}
