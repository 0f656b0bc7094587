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

/** The string form of an order key: one character a byte, for sets and maps. */
export function orderKeyText(datum: Datum): string {
  let text = ''
  for (const byte of datum.orderKey) text += String.fromCharCode(byte)
  return text
}

/** `all` less the datums at the places of `without`, which are held in memory. */
export async function* lessThose(
  all: () => AsyncIterable<Datum>,
  without: () => AsyncIterable<Datum>,
): AsyncGenerator<Datum> {
  const places = new Set<string>()
  for await (const datum of without()) places.add(orderKeyText(datum))
  for await (const datum of all()) {
    if (!places.has(orderKeyText(datum))) yield datum
  }
}
