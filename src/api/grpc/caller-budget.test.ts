import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { HeldClock } from '../../testing/held-clock.ts'
import type { Status } from './errors.ts'
import { type BudgetHolder, CallerBudget } from './caller-budget.ts'

/** A call that says what a test tells it to. */
class TestHolder implements BudgetHolder {
  readonly #ended = new AbortController()
  readonly #budget: CallerBudget
  movedBytes = 0
  isWaitingForCaller = true
  status: Status | undefined

  constructor(budget: CallerBudget) {
    this.#budget = budget
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

function stage(bytesMax: number): {
  readonly clock: HeldClock
  readonly budget: CallerBudget
  readonly holder: () => TestHolder
} {
  const clock = new HeldClock()
  const budget = new CallerBudget(bytesMax, clock, 'upload')
  return { clock, budget, holder: () => new TestHolder(budget) }
}

/** Whether a call has been let in yet. */
async function isIn(taking: Promise<void> | undefined): Promise<boolean> {
  await turn()
  const waits = Symbol('waits')
  return (
    (await Promise.race([taking ?? Promise.resolve(undefined), Promise.resolve(waits)])) !== waits
  )
}

test('what fits is had at once; the rest waits its turn, small ones behind large ones', async () => {
  const { budget, holder } = stage(100)
  const [first, second, third] = [holder(), holder(), holder()]
  expect(budget.take(first, 70)).toBeUndefined()
  const large = budget.take(second, 60)
  const small = budget.take(third, 10)
  expect([await isIn(large), await isIn(small), budget.heldBytes]).toEqual([false, false, 70])
  budget.release(first)
  expect([await isIn(large), await isIn(small), budget.heldBytes]).toEqual([true, true, 70])
  budget.release(second)
  budget.release(third)
  budget.release(third)
  expect(budget.heldBytes).toBe(0)
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
  sending.movedBytes += 64 * 1024
  clock.advance(29_999)
  expect(await isIn(waiting)).toBe(false)
  clock.advance(1)
  expect(await isIn(waiting)).toBe(true)
  expect(silent.status?.message).toContain('sent less than 64 KiB in 30 seconds')
  expect([sending.status, ours.status, later.status]).toEqual([undefined, undefined, undefined])
  expect(clock.sleeperCount).toBe(0)
})

test('more than a thousand do not wait', async () => {
  const { budget, holder } = stage(1)
  void budget.take(holder(), 1)
  const waiting = Array.from({ length: 1000 }, () => budget.take(holder(), 1))
  expect(() => budget.take(holder(), 1)).toThrow('1000 uploads are waiting')
  expect(waiting).toHaveLength(1000)
})
