import { expect, test } from 'vitest'
import { migrations } from '../server/migrations.ts'
import { openPackedStore } from '../testing/packed-store.ts'
import { atom, openTestProcessing } from '../testing/test-processing.ts'

test('user code that runs for long keeps nothing that others put meanwhile and give up', async () => {
  await using packed = await openPackedStore({ migrations })
  const { leases } = packed.store
  await using world = await openTestProcessing(packed)
  await world.versioning.repos.create({ name: 'in' })
  const begun = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  world.code('slow', async () => {
    begun.resolve()
    await go.promise
    return { made: 'of it' }
  })
  await world.pipeline('slow', atom('in', '/*'))
  const commit = await world.commit('in', { a: 'one' })
  await begun.promise
  let isDiscarded = false
  leases.giveUp(() => {
    isDiscarded = true
  })
  expect(isDiscarded).toBe(true)
  {
    using collection = leases.watch()
    expect(collection.keptFrom).toBe(collection.epoch)
  }
  go.resolve()
  await world.flush('in', commit)
  expect(await world.files('slow', 'master')).toEqual({ '/made': 'of it' })
})

test('what a datum has stored is kept until its result is recorded', async () => {
  await using packed = await openPackedStore({ migrations })
  const { leases } = packed.store
  await using world = await openTestProcessing(packed)
  await world.versioning.repos.create({ name: 'in' })
  const kept: boolean[] = []
  world.code('copy', (files) => {
    // The next flush is that of the datum's result.
    world.duringNextFlush(async () => {
      using collection = leases.watch()
      kept.push(collection.keptFrom < collection.epoch)
    })
    return { made: files.get('in/a') ?? '' }
  })
  await world.pipeline('copy', atom('in', '/*'))
  await world.flush('in', await world.commit('in', { a: 'one' }))
  expect(kept).toEqual([true])
})
