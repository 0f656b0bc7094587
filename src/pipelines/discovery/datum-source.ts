import { compareBytes } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import type { Datum } from '../datums.ts'

/**
 * The datums of one input, before and after a change of what it reads. Every stream starts anew at
 * each call and holds a bounded part in memory.
 */
export interface DatumSource {
  /** All datums of the earlier state. */
  before(): AsyncIterable<Datum>
  /** All datums of the later state. */
  after(): AsyncIterable<Datum>
  /** Datums of the later state that are new or have other members than before. */
  added(): AsyncIterable<Datum>
  /** Datums of the earlier state whose place is empty in the later one. */
  removed(): AsyncIterable<Datum>
  /** Datums of the later state that are not `added`. */
  unchanged(): AsyncIterable<Datum>
  /** Datums of the earlier state that are not `removed`. */
  surviving(): AsyncIterable<Datum>
}

/** `all` less `without`, which is a part of it; both in the order of their keys. */
export async function* lessThose(
  all: () => AsyncIterable<Datum>,
  without: () => AsyncIterable<Datum>,
): AsyncGenerator<Datum> {
  const others = without()[Symbol.asyncIterator]()
  try {
    let other = await others.next()
    for await (const datum of all()) {
      const order = other.done === true ? 1 : compareBytes(other.value.orderKey, datum.orderKey)
      assert(order >= 0, 'datums come in the order of their keys')
      if (order === 0) other = await others.next()
      else yield datum
    }
    assert(other.done === true, 'what is taken from datums is among them')
  } finally {
    await others.return?.()
  }
}
