import type { Datum } from '../datums.ts'
import { crossOrderKey } from '../datums/order-keys.ts'
import type { DatumSource } from './datum-source.ts'

type Stream = () => AsyncIterable<Datum>

/** A factor of at most this many datums is listed once and then replayed from memory. */
const replayedDatumCountMax = 10_000

/**
 * Every combination of one datum of each factor.
 *
 * What changed follows from what changed in the factors. A combination is new when one of its
 * members is: taking the first such factor as the pivot, the factors before it contribute what is
 * unchanged and those after it everything, so each combination is found once. The same rule, with
 * what went and what survives, finds the combinations that went. Cost: the changed combinations.
 */
export class CrossSource implements DatumSource {
  readonly #factors: readonly DatumSource[]

  constructor(factors: readonly DatumSource[]) {
    this.#factors = factors
  }

  before(): AsyncIterable<Datum> {
    return product(this.#factors.map((factor) => () => factor.before()))
  }

  after(): AsyncIterable<Datum> {
    return product(this.#factors.map((factor) => () => factor.after()))
  }

  unchanged(): AsyncIterable<Datum> {
    return product(this.#factors.map((factor) => () => factor.unchanged()))
  }

  surviving(): AsyncIterable<Datum> {
    return product(this.#factors.map((factor) => () => factor.surviving()))
  }

  added(): AsyncIterable<Datum> {
    return this.#pivoted({
      earlier: (factor) => factor.unchanged(),
      pivot: (factor) => factor.added(),
      later: (factor) => factor.after(),
    })
  }

  removed(): AsyncIterable<Datum> {
    return this.#pivoted({
      earlier: (factor) => factor.surviving(),
      pivot: (factor) => factor.removed(),
      later: (factor) => factor.before(),
    })
  }

  async *#pivoted(streams: {
    readonly earlier: (factor: DatumSource) => AsyncIterable<Datum>
    readonly pivot: (factor: DatumSource) => AsyncIterable<Datum>
    readonly later: (factor: DatumSource) => AsyncIterable<Datum>
  }): AsyncGenerator<Datum> {
    for (const pivot of this.#factors.keys()) {
      yield* product(
        this.#factors.map((factor, index) => () => {
          if (index < pivot) return streams.earlier(factor)
          return index === pivot ? streams.pivot(factor) : streams.later(factor)
        }),
        pivot,
      )
    }
  }
}

/**
 * The combinations of one datum of each stream, in the order of their keys where the streams are: the
 * last stream is read once, the others once for each combination of those behind them, from memory when
 * they are small. Nothing is combined when a stream is empty, `pivot` being the first that is looked at.
 */
async function* product(streams: readonly Stream[], pivot = 0): AsyncGenerator<Datum> {
  const first = streams[pivot]
  if (first === undefined || (await isEmpty(first))) return
  for (const stream of streams) if (stream !== first && (await isEmpty(stream))) return
  const last = streams.length - 1
  const sources = streams.map((stream, index) => (index === last ? stream : replayed(stream)))
  const chosen: Datum[] = []

  async function* choose(position: number): AsyncGenerator<Datum> {
    const source = sources[position]
    if (source === undefined) {
      yield combination(chosen)
      return
    }
    for await (const datum of source()) {
      chosen[position] = datum
      yield* choose(position - 1)
    }
  }

  yield* choose(last)
}

async function isEmpty(stream: Stream): Promise<boolean> {
  for await (const _ of stream()) return false
  return true
}

function combination(chosen: readonly Datum[]): Datum {
  return {
    orderKey: crossOrderKey(chosen.map((datum) => datum.orderKey)),
    members: chosen.flatMap((datum) => datum.members),
  }
}

/** The same stream, remembered at its first full reading unless it is large. */
function replayed(stream: Stream): Stream {
  let remembered: readonly Datum[] | undefined
  return async function* replay(): AsyncGenerator<Datum> {
    if (remembered !== undefined) {
      yield* remembered
      return
    }
    const seen: Datum[] = []
    for await (const datum of stream()) {
      if (seen.length <= replayedDatumCountMax) seen.push(datum)
      yield datum
    }
    if (seen.length <= replayedDatumCountMax) remembered = seen
  }
}
