import { isCommitId, type JobId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { branchesOf } from '../inputs.ts'
import { keyOfAnother, keyOfInputs } from '../jobs/job-making.ts'
import type { JobInput } from '../job-records.ts'
import { pipelinesFinding } from '../pipelines-findings.ts'
import type { PipelineSpec } from '../specs.ts'
import type { PipelinesCheckPorts } from './ports.ts'
import { RanSpecs } from './spec-check.ts'

interface OriginRow {
  readonly [column: string]: string | number | null
  readonly id: string
  readonly sequence: number
  readonly pipeline: string
  readonly pipeline_id: string
  readonly lineage_id: string
  readonly version: number
  readonly salt: string
  readonly by_hand: number
  readonly inputs_key: string
  readonly new_repo: string
  readonly new_branch: string
  readonly new_commit: string
  readonly output_repo: string
  readonly output_branch: string
  readonly output_commit: string
  readonly parent_job: string | null
  readonly base_job: string | null
  /** Of the pipeline as it is now, if the job is of it. */
  readonly now_name: string | null
  readonly now_version: number | null
  readonly now_salt: string | null
  /** Null where the former job has been deleted. */
  readonly parent_pipeline: string | null
  readonly parent_sequence: number | null
  readonly base_lineage: string | null
  readonly base_sequence: number | null
  /** Whether a pipeline of that name was deleted. */
  readonly was_deleted: string | null
  /** 1: it ran in an old cluster, where its pipeline may have been deleted before. */
  readonly imported: number
}

const origin = `SELECT j.id, j.sequence, j.pipeline, j.pipeline_id, j.lineage_id,
    j.pipeline_version AS version,
    j.salt, j.by_hand, j.inputs_key, j.new_repo, j.new_branch, j.new_commit, j.output_repo,
    j.output_branch, j.output_commit, j.parent_job, j.base_job, p.name AS now_name, p.version AS now_version, p.salt AS now_salt,
    o.pipeline_id AS parent_pipeline, o.sequence AS parent_sequence,
    b.lineage_id AS base_lineage, b.sequence AS base_sequence, d.name AS was_deleted,
    j.imported
  FROM jobs j
  LEFT JOIN pipelines p ON p.name = j.pipeline AND p.id = j.pipeline_id
  LEFT JOIN jobs o ON o.id = j.parent_job
  LEFT JOIN jobs b ON b.id = j.base_job
  LEFT JOIN deleted_pipelines d ON d.name = j.pipeline
  WHERE j.id = ?`

const idPattern = /^[0-9a-f-]{32,36}$/

/** Where jobs come from: their pipelines, inputs and former jobs. */
export class OriginCheck {
  readonly #ports: PipelinesCheckPorts
  readonly #specs = new RanSpecs()
  readonly #toldPipelines = new Set<string>()

  constructor(ports: PipelinesCheckPorts) {
    this.#ports = ports
  }

  async check(job: {
    readonly id: string
    readonly pipeline: string
    readonly version_found: number | null
  }): Promise<void> {
    const { id, pipeline, version_found: version } = job
    const { database, run } = this.#ports
    const found = await database.read(async (tx) => {
      const row = await tx.get<OriginRow>(origin, id)
      if (row === undefined) return undefined
      // That it is not there, or makes no sense, has been told.
      const spec = version === null ? undefined : await this.#specs.of(tx, row)
      return { row, problem: problemOf(row, spec, await inputsOf(tx, id)) }
    })
    if (found === undefined) return
    const { row } = found
    if (row.now_name === null && row.was_deleted === null && row.imported === 0) {
      await this.#tellPipeline(row)
    }
    if (found.problem === undefined) return
    await run.report({
      kind: pipelinesFinding('job-damaged'),
      subject: { job: id, pipeline },
      what: `job ${id} of pipeline ${pipeline} ${found.problem}`,
    })
  }

  async #tellPipeline({ id, pipeline }: OriginRow): Promise<void> {
    if (this.#toldPipelines.has(pipeline)) return
    this.#toldPipelines.add(pipeline)
    await this.#ports.run.report({
      kind: pipelinesFinding('pipeline-missing'),
      subject: { pipeline, job: id },
      what: `pipeline ${pipeline}, which job ${id} is of, is not there, and was not deleted`,
    })
  }
}

async function inputsOf(tx: ReadTransaction, job: string): Promise<readonly JobInput[]> {
  return await tx.all<JobInput & Readonly<Record<string, string>>>(
    'SELECT repo, branch, commit_id AS "commit" FROM job_inputs WHERE job = ? ORDER BY repo',
    job,
  )
}

/** The first thing that cannot be so. */
function problemOf(
  row: OriginRow,
  spec: PipelineSpec | undefined,
  inputs: readonly JobInput[],
): string | undefined {
  const { sequence } = row
  for (const [name, of, own, number] of [
    ['its parent', row.parent_pipeline, row.pipeline_id, row.parent_sequence],
    // A trial goes on from what the pipeline that it tries has made.
    ['what it is compared with', row.base_lineage, row.lineage_id, row.base_sequence],
  ] as const) {
    if (of !== null && of !== own) return `names a job of another pipeline as ${name}`
    if (number !== null && number >= sequence) return `names a job that came after it as ${name}`
  }
  for (const [name, job] of [
    ['its parent', row.parent_job],
    ['what it is compared with', row.base_job],
  ] as const) {
    // One that was deleted is no damage.
    if (job !== null && !idPattern.test(job)) {
      return `names ${JSON.stringify(job)} as ${name}, which is no id of a job`
    }
  }
  if (row.now_version === row.version && row.now_salt !== row.salt) {
    return 'has another salt than its pipeline'
  }
  if (row.output_commit !== '' && !isCommitId(row.output_commit)) {
    return `writes the commit ${JSON.stringify(row.output_commit)}, which is no id of a commit`
  }
  if (row.output_repo !== row.pipeline) return `writes the repo ${row.output_repo}`
  if (spec === undefined) return undefined
  if (String(spec.outputBranch) !== row.output_branch) {
    return `writes the branch ${JSON.stringify(row.output_branch)}, and its spec says ${JSON.stringify(spec.outputBranch)}`
  }
  return spec.spout === true ? undefined : inputProblem(row, spec, inputs)
}

function inputProblem(
  row: OriginRow,
  spec: PipelineSpec,
  inputs: readonly JobInput[],
): string | undefined {
  // That there are none is told by itself.
  if (inputs.length === 0) return undefined
  const inOrder = branchesOf(spec.input).flatMap(({ repo, branch }) =>
    inputs.filter((input) => input.repo === repo && input.branch === branch),
  )
  if (inOrder.length !== inputs.length || inOrder.length !== branchesOf(spec.input).length) {
    return 'read other branches than its spec says'
  }
  const isTriggered = inputs.some(
    ({ repo, branch, commit }) =>
      String(repo) === row.new_repo &&
      String(branch) === row.new_branch &&
      String(commit) === row.new_commit,
  )
  if (!isTriggered) return 'says that a commit started it which it did not read'
  const key = keyOfInputs(inOrder)
  const again = keyOfAnother(key, row.id as JobId)
  const isExpected = row.inputs_key === again || (row.by_hand === 0 && row.inputs_key === key)
  return isExpected ? undefined : 'has another key than its inputs give'
}
