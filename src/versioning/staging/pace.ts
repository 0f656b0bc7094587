import type { Clock } from '../../base/clock.ts'
import { Turns } from '../../base/turns.ts'

/** Turns of the event loop, for work on what somebody puts that waits for nothing. */
export function eventLoopTurns(clock: Clock): Turns {
  // A turn, not a time: no clock could say it.
  // oxlint-disable-next-line no-restricted-globals
  return new Turns(clock, setImmediate)
}

/** The same items, as fast as others get their turns. */
export async function* paced<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  turns: Turns,
): AsyncGenerator<Item> {
  for await (const item of items) {
    const turn = turns.nextOfMany()
    if (turn !== undefined) await turn
    yield item
  }
}
