import { compareBytes } from '../../base/bytes.ts'
import { FailedPreconditionError, NotFoundError } from '../../base/errors.ts'
import type { Database, ReadTransaction } from '../../database/database.ts'
import type { FileTrees } from '../../storage/file-trees.ts'
import type { MapRoot, ProllyMaps } from '../../storage/prolly-map.ts'
import { treesOf } from '../jobs/base-jobs.ts'
import { membersOf } from '../datum-results.ts'
import { decodeDatum, type DatumRecord } from './datum-sets.ts'
import type { DatumKey } from '../datums.ts'
import type { JobRecord } from '../job-records.ts'
import { specOfVersion } from '../pipeline-records.ts'
import { matchingInputs } from '../discovery/match-index.ts'
import type { Input } from '../inputs.ts'
import type { InputTreesOfJob } from './member-entries.ts'
import { datumsAmong, type ReadInputs, type ReadPorts } from './restricted-datums.ts'

/** A datum and its place in a job. */
export interface PlacedDatum {
  readonly orderKey: Uint8Array
  readonly datum: DatumRecord
}

/** Where the datums of jobs are. */
export interface DatumPorts {
  readonly database: Database
  readonly maps: ProllyMaps
  readonly trees: FileTrees
}

/**
 * A datum of a job by its key; the first, when it stands in several places. Cost: a few look-ups
 * for one that was run, and going through all of the job for one that was not.
 *
 * @throws {NotFoundError} for one that the job does not have.
 * @throws {FailedPreconditionError} before the job has been planned.
 */
export async function findDatum(
  ports: DatumPorts,
  job: JobRecord,
  key: string,
): Promise<PlacedDatum> {
  const root = job.datumSet
  if (root === undefined) {
    throw new FailedPreconditionError(
      `job ${job.id} has not been planned yet, so its datums are not known; try again in a moment`,
    )
  }
  const found = (await findByMembers(ports, job, root, key)) ?? (await scanFor(ports, root, key))
  if (found === undefined) throw new NotFoundError(`datum ${key} not found in job ${job.id}`)
  return found
}

/** Where its members say that it stands, if they are known and what it is made of is there. */
async function findByMembers(
  ports: DatumPorts,
  job: JobRecord,
  root: MapRoot,
  key: string,
): Promise<PlacedDatum | undefined> {
  const { database, maps } = ports
  const { inputs, members } = await database.read(async (tx) => ({
    inputs: await readInputsOf(tx, job),
    members: await membersOf(tx, job.id, key),
  }))
  if (inputs === undefined || members === undefined) return undefined
  for await (const { orderKey } of datumsAmong(ports, inputs, members)) {
    const value = await maps.get(root, orderKey)
    const datum = value && decodeDatum(value)
    // The cast: what is no key is found nowhere.
    if (datum?.key === (key as DatumKey)) return { orderKey, datum }
  }
  return undefined
}

/** Whether no earlier place of a job holds the same datum. Cost: a look along the path of each member. */
export async function isFirstPlace(
  ports: ReadPorts,
  {
    spec,
    inputTrees,
    matches,
    datumSet,
  }: {
    readonly spec: { readonly input: Input }
    readonly inputTrees: InputTreesOfJob
    readonly matches: MapRoot | undefined
    readonly datumSet: MapRoot
  },
  { orderKey, datum }: PlacedDatum,
): Promise<boolean> {
  const inputs = { input: spec.input, trees: inputTrees, matches }
  for await (const other of datumsAmong(ports, inputs, datum.members)) {
    if (compareBytes(other.orderKey, orderKey) >= 0) continue
    const value = await ports.maps.get(datumSet, other.orderKey)
    if (value !== undefined && decodeDatum(value).key === datum.key) return false
  }
  return true
}

async function scanFor(
  { maps }: DatumPorts,
  root: MapRoot,
  key: string,
): Promise<PlacedDatum | undefined> {
  for await (const { key: orderKey, value } of maps.scan(root)) {
    const datum = decodeDatum(value)
    if (datum.key === (key as DatumKey)) return { orderKey, datum }
  }
  return undefined
}

/** What a job that has been planned reads; undefined when the commits, or its spec, are gone. */
export async function readInputsOf(
  tx: ReadTransaction,
  job: JobRecord,
): Promise<ReadInputs | undefined> {
  const spec = await specOfVersion(tx, job.pipelineId, job.pipelineVersion)
  const trees = await treesOf(tx, job.inputs)
  if (spec === undefined || trees === undefined) return undefined
  const { input } = spec
  const { matches } = job
  if (matches === undefined && matchingInputs(input).length > 0) return undefined
  return { input, trees, matches }
}
