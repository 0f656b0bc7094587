import { expect, test } from 'vitest'
import type { Clock } from '../base/clock.ts'
import { SystemClock } from '../base/clock.ts'
import { atom, openTestProcessing, transform } from '../testing/test-processing.ts'

/** Seconds pass while somebody looks at it. */
class HastyClock extends SystemClock implements Clock {
  #aheadMs = 0
  isHasty = false

  override monotonicMs(): number {
    if (this.isHasty) this.#aheadMs += 2000
    return super.monotonicMs() + this.#aheadMs
  }
}

test('a plan that takes long says meanwhile how many datums it has looked at', async () => {
  const clock = new HastyClock()
  await using world = await openTestProcessing(undefined, { clock })
  await world.versioning.repos.create({ name: 'in' })
  await world.commit('in', { a: '1', b: '2', c: '3' })
  const spec = { name: 'p', transform: transform('p'), input: atom('in', '/*') }
  const { plans } = world.processing
  const { signal } = new AbortController()
  const steps = async (): Promise<readonly object[]> =>
    await Array.fromAsync(plans.plan({ request: spec, options: { reprocess: false } }, { signal }))
  expect(await steps()).toMatchObject([{ kind: 'outline' }, { kind: 'job' }])
  clock.isHasty = true
  expect(await steps()).toMatchObject([
    { kind: 'outline' },
    { kind: 'progress', datumCount: 3 },
    { kind: 'job', job: { datumCount: 3 } },
  ])
})

test('a plan may read what specs before it would write, and nothing of them is stored', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await world.commit('in', { a: '1' })
  const { plans, pipelines } = world.processing
  const { signal } = new AbortController()
  const options = { reprocess: false }
  const first = {
    request: { name: 'p', transform: transform('p'), input: atom('in', '/*') },
    options,
  }
  const second = {
    request: { name: 'q', transform: transform('q'), input: atom('p', '/*') },
    options,
  }
  await expect(Array.fromAsync(plans.plan(second, { signal }))).rejects.toThrow('p not found')
  const steps = await Array.fromAsync(plans.plan(second, { before: [first], signal }))
  expect(steps).toMatchObject([
    { outline: { pipeline: 'q', isUpdate: false, jobCount: 0, emptyBranches: ['p/master'] } },
  ])
  await expect(pipelines.inspect('p')).rejects.toThrow('not found')
  expect((await world.versioning.repos.list()).map(({ name }) => String(name))).toEqual(['in'])
  const tooMany = Array.from({ length: 101 }, () => first)
  await expect(Array.fromAsync(plans.plan(second, { before: tooMany, signal }))).rejects.toThrow(
    'at most 100 are allowed',
  )
})
