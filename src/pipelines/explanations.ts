import { NotFoundError } from '../base/errors.ts'
import type { JobId } from '../base/names.ts'
import type { ReadTransaction } from '../database/database.ts'
import type { Lease, Leases } from '../storage/leases.ts'
import { findDatum, type DatumPorts, type PlacedDatum } from './datums/datum-places.ts'
import { latestRunOf } from './datum-results.ts'
import { decodeDatum, type DatumRecord } from './datums/datum-sets.ts'
import { describeDatums, type DatumInfo } from './datum-states.ts'
import type { DatumKey, DatumMember } from './datums.ts'
import { groupOf, shownMembers } from './discovery/group-members.ts'
import type { Input } from './inputs.ts'
import { findJob, getJob, selectJobs, type JobRecord } from './job-records.ts'
import { findFormer } from './jobs/job-making.ts'
import { keyDifferences, type KeyDifference } from './datums/key-differences.ts'
import { specOfVersion } from './pipeline-records.ts'
import { hasEnded } from './states.ts'

/** Why a datum was run in a job, or was not. */
export interface DatumExplanation {
  readonly info: DatumInfo
  readonly cause: Cause
  /** What decided it: one sentence for people. */
  readonly reason: string
}

/**
 * What decided it. `known`: another job had made the result. `new`: no earlier datum stands in its
 * place. `again`: the datum there is the same, and has no result. `differs`: it is another.
 */
export type Cause =
  | { readonly kind: 'known'; readonly job: JobId }
  | { readonly kind: 'new' }
  | { readonly kind: 'again'; readonly job: JobId }
  | {
      readonly kind: 'differs'
      readonly job: JobId
      /** At least one; the first decided. */
      readonly differences: readonly KeyDifference[]
    }

/** Datums of a job that are in one state for one cause. */
export interface ExplainedGroup {
  readonly state: DatumInfo['state']
  /** The kind of the cause or, of `differs`, the field that decided. */
  readonly cause: string
  readonly count: number
  readonly example: DatumExplanation
}

export interface JobExplanation {
  readonly job: JobRecord
  /** Why it was made: one sentence for people. */
  readonly reason: string
  /** The nearest earlier one that its datums were compared with; undefined: there is none. */
  readonly comparedWith: JobId | undefined
  /** Datums that are as they were in the base job, and so were skipped. */
  readonly unchangedCount: number
  /** All the others, largest group first. */
  readonly groups: readonly ExplainedGroup[]
  /** Only so many of the others were looked at; undefined: all. */
  readonly lookedAtCount: number | undefined
}

/** Datums of a job that are looked at to explain it. */
const lookedAtCountMax = 10_000
const batchCount = 250

/** A job, and the earlier ones that its datums are compared with. */
interface Scene {
  readonly job: JobRecord
  /** What it reads; undefined when its spec is gone. */
  readonly input: Input | undefined
  /** The good job that it started from. */
  readonly base: JobRecord | undefined
  /** Where a datum is looked for: the job of the pipeline before this one, then the base job. */
  readonly earlier: readonly JobRecord[]
}

/**
 * Tells why jobs were made and datums were run, by comparing a datum with the one that stood in its
 * place in the nearest earlier job. Cost: a few look-ups for a datum, what differs for a job.
 */
export class Explanations {
  readonly #ports: DatumPorts & { readonly leases: Leases }

  constructor(ports: DatumPorts & { readonly leases: Leases }) {
    this.#ports = ports
  }

  /** @throws {JobNotFoundError} */
  async ofJob(id: string): Promise<JobExplanation> {
    using lease = this.#ports.leases.beginReading()
    const scene = await this.#open(lease, id)
    const { job, base, earlier } = scene
    const groups = new Groups()
    let lookedAtCount = 0
    let isCut = false
    let batch: PlacedDatum[] = []
    for await (const placed of this.#changed(scene)) {
      if (lookedAtCount === lookedAtCountMax) {
        isCut = true
        break
      }
      lookedAtCount += 1
      batch.push(placed)
      if (batch.length < batchCount) continue
      for (const one of await this.#explain(scene, batch)) groups.add(one)
      batch = []
    }
    for (const one of await this.#explain(scene, batch)) groups.add(one)
    return {
      job,
      reason: madeBecause(job, await this.#ports.database.read((tx) => findFormer(tx, job))),
      comparedWith: (base ?? earlier[0])?.id,
      unchangedCount: base === undefined || isCut ? 0 : job.counts.total - lookedAtCount,
      groups: groups.all(),
      lookedAtCount: isCut ? lookedAtCount : undefined,
    }
  }

  /**
   * Of a datum in a job, or in the job that ran it last.
   *
   * @throws {NotFoundError} for a datum that the job does not have, or that none has run.
   */
  async ofDatum(key: string, jobId: string | undefined): Promise<DatumExplanation> {
    const id = jobId ?? (await this.#ports.database.read((tx) => jobThatRan(tx, key)))
    using lease = this.#ports.leases.beginReading()
    const scene = await this.#open(lease, id)
    const [explained] = await this.#explain(scene, [await findDatum(this.#ports, scene.job, key)])
    if (explained === undefined) throw new NotFoundError(`datum ${key} not found in job ${id}`)
    return explained
  }

  /** Of datums of one job at the given places. */
  async ofPlaces(
    id: string,
    orderKeys: readonly Uint8Array[],
  ): Promise<readonly DatumExplanation[]> {
    using lease = this.#ports.leases.beginReading()
    const scene = await this.#open(lease, id)
    const placed: PlacedDatum[] = []
    for (const orderKey of orderKeys) {
      const value = await this.#at(scene.job, orderKey)
      if (value !== undefined) placed.push({ orderKey, datum: value })
    }
    return await this.#explain(scene, placed)
  }

  async #open(lease: Lease, id: string): Promise<Scene> {
    return await lease.acquire(async () => {
      const scene = await this.#ports.database.read((tx) => findScene(tx, id))
      // The trees of groups.
      if (scene.job.matches !== undefined) lease.hold({ kind: 'tree', root: scene.job.matches })
      for (const { datumSet, goodSet } of [scene.job, ...scene.earlier]) {
        if (datumSet !== undefined) lease.hold({ kind: 'map', root: datumSet })
        if (goodSet !== undefined) lease.hold({ kind: 'map', root: goodSet })
      }
      return scene
    })
  }

  /** The datums of which the base job had no result. */
  async *#changed({ job, base }: Scene): AsyncGenerator<PlacedDatum> {
    if (job.datumSet === undefined) return
    const before = base?.goodSet ?? base?.datumSet
    if (before === undefined) {
      for await (const { key: orderKey, value } of this.#ports.maps.scan(job.datumSet)) {
        yield { orderKey, datum: decodeDatum(value) }
      }
      return
    }
    for await (const { key: orderKey, after } of this.#ports.maps.diff(before, job.datumSet)) {
      if (after !== undefined) yield { orderKey, datum: decodeDatum(after) }
    }
  }

  async #at({ datumSet }: JobRecord, orderKey: Uint8Array): Promise<DatumRecord | undefined> {
    const value = datumSet && (await this.#ports.maps.get(datumSet, orderKey))
    return value && decodeDatum(value)
  }

  async #explain(
    scene: Scene,
    placed: readonly PlacedDatum[],
  ): Promise<readonly DatumExplanation[]> {
    const datums = placed.map(({ datum }) => datum)
    const infos = await this.#ports.database.read((tx) => describeDatums(tx, scene.job, datums))
    const explained: DatumExplanation[] = []
    for (const [index, info] of infos.entries()) {
      const place = placed[index]
      if (place === undefined) continue
      const cause = await this.#causeOf(scene, place, info)
      explained.push({ info, cause, reason: await this.#reasonOf(scene, info, cause) })
    }
    return explained
  }

  async #causeOf(
    { job, earlier }: Scene,
    { orderKey, datum }: PlacedDatum,
    info: DatumInfo,
  ): Promise<Cause> {
    if (info.state === 'skipped' && info.madeBy !== undefined) {
      return { kind: 'known', job: info.madeBy }
    }
    for (const other of earlier) {
      const before = await this.#at(other, orderKey)
      if (before === undefined) continue
      if (before.key === datum.key) return { kind: 'again', job: other.id }
      const differences = keyDifferences(
        { lineage: other, members: before.members },
        { lineage: job, members: datum.members },
      )
      return { kind: 'differs', job: other.id, differences }
    }
    return { kind: 'new' }
  }

  async #reasonOf(scene: Scene, info: DatumInfo, cause: Cause): Promise<string> {
    const { job, earlier, input } = scene
    switch (cause.kind) {
      case 'known':
        return `its result was known: job ${cause.job} had processed it`
      case 'new': {
        const [before] = earlier
        if (before === undefined) return `job ${job.id} is the first of its pipeline`
        const { trees } = this.#ports
        const shown = input ? await shownMembers(trees, input, info.members) : info.members
        return `there was nothing at ${filesText(shown)} in job ${before.id}`
      }
      case 'again':
        return await this.#againText(info.key, cause.job)
      case 'differs':
        return differenceText(cause, info.members, input)
    }
  }

  async #againText(key: DatumKey, id: JobId): Promise<string> {
    const { job, infos } = await this.#ports.database.read(async (tx) => {
      const found = await findJob(tx, id)
      const datums = [{ key, members: [] }]
      return { job: found, infos: found && (await describeDatums(tx, found, datums)) }
    })
    const [before] = infos ?? []
    if (before?.state === 'failed') return `it failed in job ${id}: ${before.reason}`
    if (before?.state === 'recovered') {
      return `it failed in job ${id}, which went on without it: ${before.reason}`
    }
    if (before?.state === 'stopped') return `it ran in job ${id} when that was ended`
    if (job !== undefined && hasEnded(job.state) && job.state !== 'success') {
      return `job ${id} ended (${job.state}) before it had a result of the same datum`
    }
    return `the result that job ${id} had of the same datum is not there any more`
  }
}

async function findScene(tx: ReadTransaction, id: string): Promise<Scene> {
  const job = await getJob(tx, id)
  const base = job.baseJob && (await findJob(tx, job.baseJob))
  const [previous] = await selectJobs(
    tx,
    `WHERE pipeline = ? AND sequence < ? AND datum_set_root IS NOT NULL
      ORDER BY sequence DESC LIMIT 1`,
    job.pipeline,
    job.sequence,
  )
  const spec = await specOfVersion(tx, job.pipelineId, job.pipelineVersion)
  const earlier = [previous, base].filter((one) => one !== undefined)
  return {
    job,
    input: spec?.input,
    base,
    earlier: previous?.id === base?.id ? earlier.slice(0, 1) : earlier,
  }
}

/** @throws {NotFoundError} */
async function jobThatRan(tx: ReadTransaction, datum: string): Promise<JobId> {
  const run = await latestRunOf(tx, datum)
  if (run === undefined) {
    throw new NotFoundError(
      `datum ${datum} not found: no job has run it; of one that waits, name the job, too`,
    )
  }
  if ((await findJob(tx, run.job)) !== undefined) return run.job
  throw new NotFoundError(
    `datum ${datum} was run by job ${run.job}, of which the record is not found any more; name a job that has the datum`,
  )
}

class Groups {
  readonly #groups = new Map<string, ExplainedGroup>()

  add(example: DatumExplanation): void {
    const { info, cause } = example
    const field = cause.kind === 'differs' ? cause.differences[0]?.field : undefined
    const name = field ?? cause.kind
    const key = `${info.state} ${name}`
    const known = this.#groups.get(key)
    this.#groups.set(key, {
      ...(known ?? { state: info.state, cause: name, example }),
      count: (known?.count ?? 0) + 1,
    })
  }

  all(): readonly ExplainedGroup[] {
    return [...this.#groups.values()].toSorted((left, right) => right.count - left.count)
  }
}

/** `former`: a job that read the same commits before. */
function madeBecause(job: JobRecord, former: JobId | undefined): string {
  const { isByHand, inputs, trigger, pipeline, pipelineVersion } = job
  if (inputs.length === 0) return 'it is a run of a spout, of which the code runs for ever'
  if (isByHand) return 'somebody asked for it with run-pipeline'
  if (former !== undefined) {
    return `pipeline ${pipeline} was updated to version ${pipelineVersion}, after job ${former} had read the same commits`
  }
  const { repo, commit, branch } = trigger
  return `commit ${repo}@${commit} came to branch ${branch}`
}

/** Files that one sentence names. */
const namedFileCountMax = 8

function filesText(members: readonly DatumMember[]): string {
  const names = members
    .slice(0, namedFileCountMax)
    .map(({ input, path }) => `${input}:${path || '/'}`)
  const leftOut = members.length - names.length
  return leftOut > 0 ? `${names.join(', ')} and ${leftOut} more` : names.join(', ')
}

const inputField = /^input\[(\d+)\]\.(name|path|hash)$/

function differenceText(
  { job, differences }: Extract<Cause, { readonly kind: 'differs' }>,
  members: readonly DatumMember[],
  input: Input | undefined,
): string {
  const [first] = differences
  if (first === undefined) return `it differs from the datum of job ${job}`
  const { field, before, now } = first
  if (field === 'pipeline id') {
    return `the pipeline was deleted since job ${job}, and made anew`
  }
  if (field === 'salt') return `the pipeline was told to reprocess since job ${job}`
  const [, index = '', part = ''] = inputField.exec(field) ?? []
  const member = members[Number(index)]
  if (part === 'hash' && member !== undefined && before !== '') {
    if (input !== undefined && groupOf(input, member) !== undefined) {
      return `what ${member.input} has in the group has changed since job ${job}`
    }
    return `${filesText([member])} has changed since job ${job}`
  }
  if (before === '') return `${field} is ${JSON.stringify(now)}, and was not there in job ${job}`
  if (now === '') return `${field} was ${JSON.stringify(before)} in job ${job}, and is gone`
  return `${field} is ${JSON.stringify(now)}, and was ${JSON.stringify(before)} in job ${job}`
}
