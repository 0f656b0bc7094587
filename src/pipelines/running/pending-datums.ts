import { oneAhead } from '../../base/parallel.ts'
import type { ReusableResult } from '../datum-results.ts'
import { isFirstPlace, type PlacedDatum } from '../datums/datum-places.ts'
import { decodeDatum } from '../datums/datum-sets.ts'
import type { DatumKey } from '../datums.ts'
import { atomsOf, type Input } from '../inputs.ts'
import { type PendingDatum, withInputs } from './inputs-ahead.ts'
import { changesOf, type JobPlan } from './plan.ts'
import type { ResultRecorder } from './result-recorder.ts'
import type { RunPorts } from './run-ports.ts'

/** Datums are looked up together: few at first, so that user code runs while others are. */
const firstCount = 8
/** To look up as many takes about as long as a program that does nothing. */
const pendingCount = 64
/** While all that are found have been processed. */
const doneCount = 500

/**
 * Datums without a result, in order; those with one are counted. Each that is handed on is put into
 * `inFlight`, for the caller to take out when the recorder has its end.
 */
export async function* pendingDatums(
  ports: RunPorts,
  plan: JobPlan,
  recorder: ResultRecorder,
  inFlight: Set<DatumKey>,
): AsyncGenerator<PendingDatum> {
  // Only where two branches of a union have one name can two places hold the same datum.
  const mayRepeat = namesRepeat(plan.spec.input)
  const looks = looksAt(ports, plan, recorder, mayRepeat ? inFlight : undefined)
  for await (const { reused, skippedCount, pending } of mayRepeat ? looks : oneAhead(looks)) {
    for (const result of reused) recorder.count(result)
    recorder.skip(skippedCount)
    for (const datum of pending) {
      inFlight.add(datum.key)
      yield datum
    }
  }
}

/** Some datums of a job, by what is to be done. */
interface Look {
  readonly reused: readonly ReusableResult[]
  /** Those that are in another place, too. */
  readonly skippedCount: number
  readonly pending: readonly PendingDatum[]
}

/** `inFlight` is given for a job whose datums may be in two places. */
async function* looksAt(
  ports: RunPorts,
  plan: JobPlan,
  recorder: ResultRecorder,
  inFlight: ReadonlySet<DatumKey> | undefined,
): AsyncGenerator<Look> {
  let batch: PlacedDatum[] = []
  let batchCount = firstCount
  for await (const { key: orderKey, after } of changesOf(ports, plan)()) {
    if (after !== undefined) batch.push({ orderKey, datum: decodeDatum(after) })
    if (batch.length < batchCount) continue
    const look = await lookAt(ports, plan, recorder, { datums: batch, inFlight })
    yield look
    batch = []
    batchCount = look.pending.length === 0 ? doneCount : pendingCount
  }
  if (batch.length > 0) yield await lookAt(ports, plan, recorder, { datums: batch, inFlight })
}

async function lookAt(
  ports: RunPorts,
  plan: JobPlan,
  recorder: ResultRecorder,
  {
    datums: placed,
    inFlight,
  }: {
    readonly datums: readonly PlacedDatum[]
    readonly inFlight: ReadonlySet<DatumKey> | undefined
  },
): Promise<Look> {
  const datums = placed.map(({ datum }) => datum)
  const keys = datums.map(({ key }) => key)
  // Those handed on that may have no end yet when it is looked for: few, however many there are.
  const seen = new Set(inFlight)
  const results = await ports.database.read(async (tx) => {
    if (inFlight !== undefined) {
      for (const key of await recorder.findFailed(tx, keys)) seen.add(key)
    }
    return await recorder.find(tx, keys)
  })
  const reused: ReusableResult[] = []
  for (const place of placed) {
    const result = results.get(place.datum.key)
    if (result === undefined) continue
    // Of a datum that this job processes itself, be it in this run or in one before, one place counts.
    const mayBeTwin = inFlight !== undefined && result.job === plan.job.id
    if (mayBeTwin && !(await isFirstPlace(ports, plan, place))) continue
    reused.push(result)
  }
  const pending = datums.filter(({ key }) => {
    if (results.has(key) || seen.has(key)) return false
    if (inFlight !== undefined) seen.add(key)
    return true
  })
  return {
    reused,
    skippedCount: datums.length - reused.length - pending.length,
    pending: await withInputs(ports, plan, pending),
  }
}

function namesRepeat(input: Input): boolean {
  const names = atomsOf(input).map(({ name }) => name)
  return new Set(names).size < names.length
}
