import { expect, test } from 'vitest'

import { atom, openTestProcessing } from '../../testing/test-processing.ts'

test('a datum that has ended is recorded soon, however long the others run', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const mayEnd = Promise.withResolvers<void>()
  const hasBegun = Promise.withResolvers<void>()
  world.code('p', async (files) => {
    if (files.has('in/slow')) {
      hasBegun.resolve()
      await mayEnd.promise
    } else {
      await hasBegun.promise
    }
    return {}
  })
  await world.pipeline('p', atom('in', '/*'), { parallelism: { constant: 2, coefficient: 0 } })
  const commit = await world.commit('in', { quick: '1', slow: '2' })
  const recorded = async (): Promise<readonly unknown[]> =>
    await world.database.read((tx) => tx.all('SELECT datum FROM datum_results'))
  try {
    await expect.poll(recorded).toHaveLength(1)
  } finally {
    mayEnd.resolve()
  }
  await world.flush('in', commit)
  expect(await recorded()).toHaveLength(2)
})
