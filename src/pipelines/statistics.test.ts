import { expect, test } from 'vitest'
import { atom, openTestProcessing, transform } from '../testing/test-processing.ts'

test('statistics of a pipeline have nothing of a trial until it is merged, and those of the trial nothing else', async () => {
  await using world = await openTestProcessing()
  const { statistics, trials } = world.processing
  const countOf = async (name: string) => {
    const { datumCounts, datums } = await statistics.ofPipeline(name)
    return [datumCounts.processed, datums.processMs.count]
  }
  await world.versioning.repos.create({ name: 'in' })
  world.code('up', () => ({ '/x': 'x' }))
  world.code('other', () => ({ '/x': 'y' }))
  await world.pipeline('up', atom('in', '/*'))
  await world.flush('in', await world.commit('in', { a: '1', b: '2' }))
  expect(await countOf('up')).toEqual([2, 2])
  const specs = [{ name: 'up', input: atom('in', '/*'), transform: transform('other') }]
  await trials.create({ name: 'try', specs, data: [], results: 'same-code' })
  await trials.settled('try', new AbortController().signal)
  await world.flush('in', await world.commit('in', { c: '3' }))
  await trials.settled('try', new AbortController().signal)
  expect(await countOf('up')).toEqual([3, 3])
  expect(await countOf('up--try')).toEqual([3, 3])
  await trials.merge('try')
  expect(await countOf('up')).toEqual([6, 6])
})
