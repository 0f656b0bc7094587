import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { HeldClock } from '../../testing/held-clock.ts'
import type { Status } from './errors.ts'
import { type BudgetBounds, type BudgetHolder, CallerBudget } from './caller-budget.ts'

/** A call that says what a test tells it to. */
class TestHolder implements BudgetHolder {
  readonly #ended = new AbortController()
  readonly #budget: CallerBudget
  readonly connection: object
  movedBytes = 0
  isWaitingForCaller = true
  status: Status | undefined

  constructor(budget: CallerBudget, connection: object) {
    this.#budget = budget
    this.connection = connection
  }

  get signal(): AbortSignal {
    return this.#ended.signal
  }

  abandon(status: Status): void {
    this.status = status
    this.leave()
  }

  leave(): void {
    this.#ended.abort()
    this.#budget.release(this)
  }
}

interface Stage {
  readonly clock: HeldClock
  readonly budget: CallerBudget
  /** A call of a connection; of one of its own, if none is given. */
  readonly holder: (connection?: object) => TestHolder
}

function stage(bounds: BudgetBounds | number): Stage {
  const clock = new HeldClock()
  const budget = new CallerBudget(
    typeof bounds === 'number' ? { bytesMax: bounds } : bounds,
    clock,
    'upload',
  )
  return { clock, budget, holder: (connection = {}) => new TestHolder(budget, connection) }
}

/** Whether a call has been let in yet. */
async function isIn(taking: Promise<void> | undefined): Promise<boolean> {
  await turn()
  const waits = Symbol('waits')
  return (
    (await Promise.race([taking ?? Promise.resolve(undefined), Promise.resolve(waits)])) !== waits
  )
}

test('what fits is had at once; the rest waits its turn, which comes later for large shares', async () => {
  const { budget, holder } = stage(100)
  const [first, second, third] = [holder(), holder(), holder()]
  expect(budget.take(first, 70)).toBeUndefined()
  const large = budget.take(second, 60)
  expect([await isIn(large), budget.heldBytes]).toEqual([false, 70])
  expect(budget.take(third, 10)).toBeUndefined()
  budget.release(first)
  expect([await isIn(large), budget.heldBytes]).toEqual([true, 70])
  budget.release(second)
  budget.release(third)
  budget.release(third)
  expect(budget.heldBytes).toBe(0)
})

test('small shares come before a large one until it has waited for as much', async () => {
  const { budget, holder } = stage(100)
  const first = holder()
  void budget.take(first, 60)
  const large = budget.take(holder(), 90)
  let passed = 0
  for (; passed < 100; passed += 1) {
    const small = holder()
    if (budget.take(small, 20) !== undefined) break
    budget.release(small)
  }
  // Two share the turns: each of the small ones has moved them on by 10, and comes 20 after that.
  expect(passed).toBe(7)
  budget.release(first)
  expect(await isIn(large)).toBe(true)
})

test('places are had besides bytes, and kept when those are given back', async () => {
  const { clock, budget, holder } = stage({
    bytesMax: 100,
    connectionBytesMax: 100,
    places: 3,
    connectionPlaces: 2,
  })
  const connection = {}
  const [one, two, three, four, five] = [
    holder(connection),
    holder(connection),
    holder(connection),
    holder(),
    holder(),
  ]
  expect([budget.take(one, 10, 1), budget.take(two, 10, 1)]).toEqual([undefined, undefined])
  const third = budget.take(three, 10, 1)
  expect(await isIn(third)).toBe(false)
  expect(budget.take(four, 10, 1)).toBeUndefined()
  const fifth = budget.take(five, 10, 1)
  budget.releaseBytes(one)
  budget.releaseBytes(two)
  expect([await isIn(third), await isIn(fifth), budget.heldBytes]).toEqual([false, false, 10])
  // Those with places can have bytes, though others wait before them for a place.
  expect(budget.take(one, 90)).toBeUndefined()
  budget.release(two)
  budget.releaseBytes(one)
  expect(await isIn(third)).toBe(true)
  four.movedBytes += 16 * 1024
  clock.advance(10_000)
  expect(await isIn(fifth)).toBe(true)
  expect([one.status === undefined, four.status]).toEqual([false, undefined])
})

test('a share that is larger than all there is counts as all', async () => {
  const { budget, holder } = stage(100)
  expect(budget.take(holder(), 1000)).toBeUndefined()
  expect(budget.heldBytes).toBe(100)
})

test('a call that ends while it waits makes room in the line', async () => {
  const { budget, clock, holder } = stage(100)
  const [first, second, third] = [holder(), holder(), holder()]
  void budget.take(first, 60)
  const large = budget.take(second, 60)
  const small = budget.take(third, 40)
  second.leave()
  await expect(large).rejects.toThrow('the call has ended')
  expect(await isIn(small)).toBe(true)
  expect(clock.sleeperCount).toBe(0)
  await expect(budget.take(second, 60)).rejects.toThrow('the call has ended')
})

test('who stalls is given up, but only while others wait, and not for the server’s own slowness', async () => {
  const { budget, clock, holder } = stage(100)
  const [silent, sending, ours, later] = [holder(), holder(), holder(), holder()]
  for (const one of [silent, sending, ours]) expect(budget.take(one, 30)).toBeUndefined()
  ours.isWaitingForCaller = false
  clock.advance(1_000_000)
  await turn()
  expect(silent.status).toBeUndefined()
  const waiting = budget.take(later, 30)
  expect(await isIn(waiting)).toBe(false)
  sending.movedBytes += 16 * 1024
  clock.advance(9_999)
  expect(await isIn(waiting)).toBe(false)
  clock.advance(1)
  expect(await isIn(waiting)).toBe(true)
  expect(silent.status?.message).toContain('sent less than 16 KiB in 10 seconds')
  expect([sending.status, ours.status, later.status]).toEqual([undefined, undefined, undefined])
  expect(clock.sleeperCount).toBe(0)
})

test('one connection cannot have all: its calls wait for each other, those of others do not', async () => {
  const { budget, clock, holder } = stage({ bytesMax: 100, connectionBytesMax: 60 })
  const hog = {}
  const calls = Array.from({ length: 10 }, () => holder(hog))
  const taken = calls.map((call) => budget.take(call, 20))
  expect(taken.filter((taking) => taking === undefined)).toHaveLength(3)
  const [slow, other] = [holder(), holder()]
  expect([budget.take(slow, 20), budget.take(other, 20)]).toEqual([undefined, undefined])
  clock.advance(10_000)
  // Those that kept the others of their connection waiting, and nobody else.
  expect(await isIn(taken[5])).toBe(true)
  expect(calls.map(({ status }) => status !== undefined)).toEqual(calls.map((_, at) => at < 3))
  expect([slow.status, other.status]).toEqual([undefined, undefined])
})

test('a connection with nothing may have a share larger than those of others', () => {
  const { budget, holder } = stage({ bytesMax: 100, connectionBytesMax: 60 })
  expect(budget.take(holder(), 80)).toBeUndefined()
})

test('turns go round between connections, by bytes, in the order of each', async () => {
  const { budget, holder } = stage(100)
  const first = holder()
  void budget.take(first, 100)
  const hog = {}
  const came: string[] = []
  const line = (name: string, bytes: number, connection: object): void => {
    const call = holder(connection)
    void budget.take(call, bytes)?.then(() => {
      came.push(name)
      budget.release(call)
    })
  }
  for (const at of [1, 2, 3, 4]) line(`hog ${at}`, 40, hog)
  line('small', 20, {})
  line('large', 90, {})
  budget.release(first)
  await expect.poll(() => came).toHaveLength(6)
  expect(came).toEqual(['small', 'hog 1', 'hog 2', 'large', 'hog 3', 'hog 4'])
  expect(budget.heldBytes).toBe(0)
})

test('more than a thousand do not wait: who has most of them has to give way', async () => {
  const { budget, holder } = stage(1)
  const kept = holder()
  void budget.take(kept, 1)
  const hog = {}
  const waiting = Array.from({ length: 1000 }, () => budget.take(holder(hog), 1))
  expect(() => budget.take(holder(hog), 1)).toThrow('1000 uploads are waiting')
  const other = budget.take(holder(), 1)
  await expect(waiting[999]).rejects.toThrow('no connection has more of them than this one')
  budget.release(kept)
  expect([await isIn(waiting[0]), await isIn(waiting[1])]).toEqual([true, false])
  expect(await isIn(other)).toBe(false)
})
