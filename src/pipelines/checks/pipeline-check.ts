import type { RepoName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { findRepo } from '../../versioning/repos.ts'
import { branchesOf } from '../inputs.ts'
import { completeProvenance } from '../outputs/output-provenance.ts'
import { writePipelineInputs } from '../pipeline-records.ts'
import { pipelinesFinding } from '../pipelines-findings.ts'
import type { PipelineSpec } from '../specs.ts'
import { isPipelineState } from '../states.ts'
import { checkArrivals } from './arrival-check.ts'
import type { PipelinesCheckPorts } from './ports.ts'
import { checkFormerSpecs, isStoredText, notUtf8, parseSpec } from './spec-check.ts'

interface PipelineRow {
  readonly [column: string]: string | number | null
  readonly id: string
  readonly name: string
  readonly state: string
  readonly version: number
  readonly spec: string | null
  readonly is_spout: number
  readonly service_port: number | null
}

const pipelines = `SELECT p.id, p.name, p.state, p.version, p.is_spout, p.service_port, v.spec
  FROM pipelines p
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
  await checkFormerSpecs(ports)
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
  const { id, spec: text } = row
  if (!(await database.read((tx) => isStoredText(tx, { id, version, text })))) {
    await damage(`has a spec of version ${version} that ${notUtf8}`)
  }
  const facts = await database.read((tx) => factsOf(tx, name))
  if (facts === undefined) return
  if (facts.kindDiffers) {
    await run.report({
      kind: pipelinesFinding('pipeline-kind-wrong'),
      subject: { pipeline: name },
      what: `pipeline ${name} is noted as another kind of pipeline than its spec says`,
      repair: () => database.transact((tx) => repairKind(tx, name)),
    })
  }
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

interface Facts {
  readonly spec: PipelineSpec
  readonly inputsDiffer: boolean
  readonly kindDiffers: boolean
  readonly goneRepo: string | undefined
  /** An input that exists and is not in the provenance of the output repo, which exists. */
  readonly notMadeFrom: RepoName | undefined
}

/** Of one snapshot; undefined when the pipeline is gone or has no sound spec any more. */
async function factsOf(tx: ReadTransaction, name: string): Promise<Facts | undefined> {
  const [row] = await tx.all<PipelineRow>(
    `SELECT p.id, p.name, p.state, p.version, p.is_spout, p.service_port, v.spec FROM pipelines p
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
  const { is_spout: isSpout, service_port: port } = kindOf(spec)
  const kindDiffers = row?.is_spout !== isSpout || row.service_port !== port
  const inputsDiffer = inputsText(noted) !== inputsText(read)
  return { spec, inputsDiffer, kindDiffers, goneRepo, notMadeFrom }
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

async function repairKind(tx: Transaction, name: string): Promise<boolean> {
  const facts = await factsOf(tx, name)
  if (facts?.kindDiffers !== true) return false
  const { is_spout: isSpout, service_port: port } = kindOf(facts.spec)
  const sql = 'UPDATE pipelines SET is_spout = ?, service_port = ? WHERE name = ?'
  return (await tx.run(sql, isSpout, port, name)) > 0
}

/** The columns that say what kind of pipeline it is. */
function kindOf({ spout, service }: PipelineSpec): Pick<PipelineRow, 'is_spout' | 'service_port'> {
  return { is_spout: spout === true ? 1 : 0, service_port: service?.externalPort ?? null }
}

async function repairProvenance(tx: Transaction, name: string): Promise<boolean> {
  const facts = await factsOf(tx, name)
  return facts !== undefined && (await completeProvenance(tx, facts.spec))
}
