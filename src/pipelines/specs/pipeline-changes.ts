import type { Instant } from '../../base/clock.ts'
import {
  AlreadyExistsError,
  DomainError,
  type ErrorKind,
  InvalidArgumentError,
} from '../../base/errors.ts'
import {
  parseBranchName,
  parseImportedBranchName,
  parsePipelineName,
  type BranchName,
  type PipelineName,
  type RepoName,
} from '../../base/names.ts'
import { newHexId, type Random } from '../../base/random.ts'
import type { Transaction } from '../../database/database.ts'
import { findBranch, requireNoTag, setHead } from '../../versioning/branches.ts'
import type { OnHeadReady } from '../../versioning/ports.ts'
import { createRepo, findRepo, getRepo, updateRepo } from '../../versioning/repos.ts'
import { placeTriggers } from '../branch-triggers.ts'
import { atomsOf, branchesOf } from '../inputs.ts'
import { carryOpenJobs } from '../job-records.ts'
import { killJobs } from '../killed-jobs.ts'
import type { OutputExports } from '../output-exports.ts'
import { completeProvenanceAround } from '../outputs/output-provenance.ts'
import { findPipeline, getPipeline, putPipeline, type PipelineRecord } from '../pipeline-records.ts'
import type { RequestedSpec } from '../requested-specs.ts'
import { secretsOf } from '../secrets.ts'
import { refuseTrialPipeline } from '../trials/trial-records.ts'
import { withFromIds } from './from-commits.ts'
import type { ServiceDoors } from '../service-doors.ts'
import { requireFreePorts, requireOtherPorts } from './service-ports.ts'
import { checkSpec, type PipelineSpec } from '../specs.ts'
import { noteDeletion } from '../../versioning/deletion-notes.ts'

const commitIdLength = 32

/** What a spec names cannot be had; a file may have many specs, so it says whose. */
class SpecRefusedError extends DomainError {
  override readonly name = 'SpecRefusedError'
  readonly kind: ErrorKind

  constructor(pipeline: PipelineName, part: string, cause: DomainError) {
    super(`pipeline ${pipeline}: ${part}: ${cause.message}`, { cause })
    this.kind = cause.kind
  }
}

/** @throws {SpecRefusedError} where `found` would throw another of ours. */
async function ofSpec<Found>(
  pipeline: PipelineName,
  part: string,
  found: Promise<Found>,
): Promise<Found> {
  try {
    return await found
  } catch (error) {
    throw error instanceof DomainError ? new SpecRefusedError(pipeline, part, error) : error
  }
}

/**
 * Makes and replaces pipelines in a transaction of the caller's, who then has their input branches
 * looked at (`Triggers.beginWith`).
 */
export class PipelineChanges {
  readonly #random: Random
  readonly #onHeadReady: OnHeadReady
  readonly #exports: Pick<OutputExports, 'check'>
  readonly #doors: Pick<ServiceDoors, 'ownPorts'>

  constructor(ports: {
    readonly random: Random
    readonly onHeadReady: OnHeadReady
    readonly exports: Pick<OutputExports, 'check'>
    readonly serviceDoors: Pick<ServiceDoors, 'ownPorts'>
  }) {
    this.#doors = ports.serviceDoors
    this.#random = ports.random
    this.#exports = ports.exports
    this.#onHeadReady = ports.onHeadReady
  }

  /**
   * Stores the pipeline and makes its output repo; one of its name is adopted.
   *
   * @throws {InvalidArgumentError} for a spec that cannot work.
   * @throws {AlreadyExistsError}
   * @throws {NotFoundError} for an input repo that does not exist.
   */
  async create(tx: Transaction, request: RequestedSpec, now: Instant): Promise<PipelineRecord> {
    const spec = await this.check(tx, request, now)
    if ((await findPipeline(tx, spec.name)) !== undefined) {
      throw new AlreadyExistsError(
        `pipeline ${spec.name} already exists; use update-pipeline to change it`,
      )
    }
    const pipelineId = newHexId(this.#random)
    const pipeline: PipelineRecord = {
      name: spec.name,
      pipelineId,
      lineageId: pipelineId,
      salt: newHexId(this.#random),
      version: 1,
      state: 'running',
      recentError: '',
      createdAt: now,
      spec,
    }
    await placePipeline(tx, this.#onHeadReady, pipeline, now)
    return pipeline
  }

  /** Replaces the spec; see `Pipelines.update`. `killNotedJobs` is to be called. @throws {PipelineNotFoundError} */
  async update(
    tx: Transaction,
    request: RequestedSpec,
    { reprocess, now }: { readonly reprocess: boolean; readonly now: Instant },
  ): Promise<PipelineRecord> {
    const spec = await this.check(tx, request, now)
    await refuseTrialPipeline(tx, spec.name)
    const old = await getPipeline(tx, spec.name)
    await this.keepOldOutput(tx, old)
    const pipeline: PipelineRecord = {
      ...old,
      salt: reprocess ? newHexId(this.#random) : old.salt,
      version: old.version + 1,
      state: 'running',
      recentError: '',
      createdAt: now,
      spec,
    }
    await carryJobs(tx, { old, pipeline, now })
    // Results of another salt are not reused.
    if (reprocess) await noteDeletion(tx)
    await placePipeline(tx, this.#onHeadReady, pipeline, now)
    return pipeline
  }

  /** `update` where the pipeline exists, else `create`. */
  async put(
    tx: Transaction,
    request: RequestedSpec,
    options: { readonly reprocess: boolean; readonly now: Instant },
  ): Promise<PipelineRecord> {
    const isThere = (await findPipeline(tx, request.name ?? '')) !== undefined
    return isThere
      ? await this.update(tx, request, options)
      : await this.create(tx, request, options.now)
  }

  /** A spec as it would be stored. @throws {InvalidArgumentError} */
  async check(tx: Transaction, request: RequestedSpec, now: Instant): Promise<PipelineSpec> {
    const spec = await checkedSpec(tx, request, now)
    const { name, egressUrl, egressSecret, secrets, service } = spec
    if (service !== undefined) requireOtherPorts(name, service, this.#doors.ownPorts)
    let part = 'egress'
    try {
      if (egressUrl !== undefined) this.#exports.check(egressUrl)
      if (egressSecret !== undefined) await secretsOf(tx, [{ name: egressSecret, mountPath: '' }])
      part = 'transform.secrets'
      await secretsOf(tx, secrets)
    } catch (error) {
      throw error instanceof DomainError ? new SpecRefusedError(name, part, error) : error
    }
    return spec
  }

  /** Has the output of a version stay reachable when another follows. */
  async keepOldOutput(tx: Transaction, old: PipelineRecord): Promise<void> {
    const repo = old.name as string as RepoName
    const branch = await findBranch(tx, repo, old.spec.outputBranch)
    if (branch === undefined) return
    const name = nameOfOld(old)
    await requireNoTag(tx, repo, name)
    await setHead(tx, this.#onHeadReady, { ...branch, name })
  }
}

/** Stores a pipeline with a spec that has been checked, and puts the repos that it writes. */
export async function placePipeline(
  tx: Transaction,
  onHeadReady: OnHeadReady,
  pipeline: PipelineRecord,
  now: Instant,
): Promise<void> {
  const { spec } = pipeline
  await putCronRepos(tx, spec, now)
  const inputs: RepoName[] = []
  for (const { name, repo } of branchesOf(spec.input)) {
    inputs.push((await ofSpec(spec.name, `input ${name}`, getRepo(tx, repo))).name)
  }
  if (spec.incremental) await refuseSharedProvenance(tx, spec)
  if (spec.service !== undefined) await requireFreePorts(tx, spec.name, spec.service)
  await putOutputRepo(tx, spec, inputs, now)
  await requireNoTag(tx, spec.name, spec.outputBranch)
  await placeTriggers(tx, onHeadReady, spec, now)
  await putPipeline(tx, pipeline, now)
}

async function checkedSpec(
  tx: Transaction,
  request: RequestedSpec,
  now: Instant,
): Promise<PipelineSpec> {
  const { input, name = '', outputBranch = '' } = request
  // The branch that it writes already came, maybe, from a cluster that took other names.
  const old = (await findPipeline(tx, name))?.spec.outputBranch
  const parseBranch = old === outputBranch ? parseImportedBranchName : parseBranchName
  if (input === undefined) return checkSpec(request, now, parseBranch)
  const pinned = await ofSpec(parsePipelineName(name), 'from_commit', withFromIds(tx, input))
  return checkSpec({ ...request, input: pinned }, now, parseBranch)
}

/** As in 1.5: what is new in one input would change the other inputs, too. */
async function refuseSharedProvenance(tx: Transaction, spec: PipelineSpec): Promise<void> {
  const readers = new Map<string, string>()
  for (const { name, repo } of atomsOf(spec.input)) {
    for (const source of [repo, ...((await findRepo(tx, repo))?.provenance ?? [])]) {
      const other = readers.get(source)
      if (other !== undefined) {
        throw new InvalidArgumentError(
          `pipeline ${spec.name}: can't create an incremental pipeline with inputs that share provenance: ${other} and ${name} are both made from ${source}`,
        )
      }
      readers.set(source, name)
    }
  }
}

async function carryJobs(
  tx: Transaction,
  {
    old,
    pipeline,
    now,
  }: {
    readonly old: PipelineRecord
    readonly pipeline: PipelineRecord
    readonly now: Instant
  },
): Promise<void> {
  const carried = old.salt === pipeline.salt && readsAsText(old.spec) === readsAsText(pipeline.spec)
  if (!carried) {
    const reason = `pipeline ${old.name} was updated`
    return await killJobs(tx, old.pipelineId, { reason, at: now })
  }
  await carryOpenJobs(tx, old.pipelineId, {
    pipelineVersion: pipeline.version,
    outputBranch: pipeline.spec.outputBranch,
  })
}

/** The branch that keeps what a version of a pipeline wrote. */
function nameOfOld({ spec, version }: PipelineRecord): BranchName {
  const name = `${spec.outputBranch}-v${version}`
  // As long as a commit's id, no branch may be.
  return (name.length === commitIdLength ? `${name}-old` : name) as BranchName
}

/** The branches that a spec reads, as text that can be compared. */
function readsAsText(spec: PipelineSpec): string {
  return JSON.stringify(branchesOf(spec.input).map(({ repo, branch }) => [repo, branch]))
}

/** The repos that cron inputs tick into; one that is there goes on from its last tick. */
async function putCronRepos(
  tx: Transaction,
  spec: PipelineSpec,
  createdAt: Instant,
): Promise<void> {
  for (const { name, repo, cron } of atomsOf(spec.input)) {
    if (cron === undefined) continue
    const existing = await findRepo(tx, repo)
    if (existing === undefined) {
      const description = `Cron tick repo for pipeline ${spec.name}.`
      await createRepo(tx, { name: repo, provenance: [], description, createdAt })
      await completeProvenanceAround(tx, repo)
    } else if (existing.provenance.length > 0 || (await findPipeline(tx, repo)) !== undefined) {
      throw new InvalidArgumentError(
        `pipeline ${spec.name}: cron input ${name} cannot tick into repo ${repo}, which a pipeline writes; give it another "repo"`,
      )
    }
  }
}

async function putOutputRepo(
  tx: Transaction,
  spec: PipelineSpec,
  inputs: readonly RepoName[],
  createdAt: Instant,
): Promise<void> {
  const name = spec.name as string as RepoName
  const existing = await findRepo(tx, name)
  const described = spec.description || existing?.description
  const description = described || `Output repo for pipeline ${spec.name}.`
  if (existing === undefined) {
    await createRepo(tx, { name, provenance: inputs, description, createdAt })
    await completeProvenanceAround(tx, name)
  } else await updateRepo(tx, { name, provenance: inputs, description })
}
