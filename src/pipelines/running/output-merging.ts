import { inBatches } from '../../base/batched.ts'
import { groupedText } from '../../base/counts.ts'
import { assert } from '../../base/errors.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import type { MapEdit, MapRoot } from '../../storage/prolly-map.ts'
import { decodeDatum } from '../datums/datum-sets.ts'
import type { DatumKey } from '../datums.ts'
import type { JobStep } from '../job-steps.ts'
import {
  OutputClashError,
  OutputMerge,
  type MergePass,
  type Output,
  type OutputChange,
} from '../outputs/outputs.ts'
import { changesOf, type JobPlan } from './plan.ts'
import type { ResultRecorder } from './result-recorder.ts'
import type { RunPorts } from './run-ports.ts'

/** Datum keys that are looked up in one query. */
const lookupCountMax = 500
/** Outputs that are kept for the second pass of a merge. */
const keptOutputsMax = 5000

/** The job's datums but for those that were recovered, which have no part in its output. */
export async function goodSetOf(
  ports: RunPorts,
  plan: JobPlan,
  recorder: ResultRecorder,
): Promise<MapRoot> {
  if (recorder.tally.recovered === 0) return plan.datumSet
  async function* removals(): AsyncGenerator<MapEdit> {
    for await (const batch of inBatches(changesOf(ports, plan)(), lookupCountMax)) {
      const added = batch.flatMap(({ key, after }) =>
        after === undefined ? [] : [{ key, datum: decodeDatum(after).key }],
      )
      const keys = added.map(({ datum }) => datum)
      const recovered = await ports.database.read(async (tx) => {
        const results = await recorder.find(tx, keys)
        const failed = await recorder.findFailed(tx, keys)
        return keys.filter((datum) => failed.has(datum) && !results.has(datum))
      })
      for (const { key, datum } of added) {
        if (recovered.includes(datum)) yield { key, value: undefined }
      }
    }
  }
  return await ports.maps.edit(plan.datumSet, removals())
}

interface MergeScene {
  readonly goodSet: MapRoot
  readonly step: JobStep
  readonly signal: AbortSignal
}

export interface Merged {
  readonly output: Output
  readonly addedBytes: number
}

/** The output of the base job with what the job's datums have otherwise. */
export async function mergeOutputs(
  ports: RunPorts,
  plan: JobPlan,
  recorder: ResultRecorder,
  { goodSet, step, signal }: MergeScene,
): Promise<Merged | { readonly clash: OutputClashError }> {
  const merge = new OutputMerge({ ...ports, signal })
  const base = plan.base?.output ?? (await merge.empty())
  const outputs = new KnownOutputs(ports, recorder)
  try {
    return await merge.apply(base, (pass) =>
      outputChanges(ports, plan, outputs, { goodSet, step, pass }),
    )
  } catch (error) {
    if (error instanceof OutputClashError) return { clash: error }
    throw error
  }
}

/** What datums wrote; what one pass has looked up is there for the other, unless it is much. */
class KnownOutputs {
  readonly #database: RunPorts['database']
  readonly #recorder: ResultRecorder
  readonly #kept = new Map<DatumKey, DirectoryEntry>()

  constructor({ database }: RunPorts, recorder: ResultRecorder) {
    this.#database = database
    this.#recorder = recorder
  }

  async find(datums: readonly DatumKey[]): Promise<ReadonlyMap<DatumKey, DirectoryEntry>> {
    const missing = datums.filter((datum) => !this.#kept.has(datum))
    if (missing.length === 0) return this.#kept
    const found = new Map(
      await this.#database.read((tx) => this.#recorder.findOutputs(tx, missing)),
    )
    if (this.#kept.size + found.size <= keptOutputsMax) {
      for (const [datum, output] of found) this.#kept.set(datum, output)
      return this.#kept
    }
    for (const datum of datums) {
      const output = this.#kept.get(datum)
      if (output !== undefined) found.set(datum, output)
    }
    return found
  }
}

async function* outputChanges(
  ports: RunPorts,
  plan: JobPlan,
  outputs: KnownOutputs,
  { goodSet, step, pass }: Omit<MergeScene, 'signal'> & { readonly pass: MergePass },
): AsyncGenerator<OutputChange> {
  if (pass === 'remove' && plan.base === undefined) return
  let count = 0
  for await (const batch of inBatches(changesOf(ports, plan, goodSet)(), lookupCountMax)) {
    count += batch.length
    if (pass === 'add') step.set(`merging the outputs of its datums: ${groupedText(count)} so far`)
    const changes = batch
      .filter(({ before }) => pass === 'add' || before !== undefined)
      .map(({ key: orderKey, before, after }) => ({
        orderKey,
        before: before === undefined ? undefined : decodeDatum(before).key,
        after: after === undefined ? undefined : decodeDatum(after).key,
      }))
    const keys = changes.flatMap(({ before, after }) => [before, after])
    const known = keys.filter((key) => key !== undefined)
    const found = await outputs.find(known)
    const outputOf = (key: DatumKey | undefined): OutputChange['after'] => {
      if (key === undefined) return undefined
      const output = found.get(key)
      assert(output !== undefined, `datum ${key} of a good job has a result`)
      return output
    }
    for (const { orderKey, before, after } of changes) {
      yield { orderKey, before: outputOf(before), after: outputOf(after) }
    }
  }
}
