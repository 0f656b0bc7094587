import { expect, test } from 'vitest'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'

async function causesOf(world: TestProcessing, commit: string): Promise<readonly string[]> {
  return await world.versioning.subscriptions.flushCauses({ commits: [{ repo: 'in', commit }] })
}

async function chain(world: TestProcessing): Promise<void> {
  await world.versioning.repos.create({ name: 'in' })
  for (const [name, repo] of [
    ['up', 'in'],
    ['down', 'up'],
  ] as const) {
    world.code(name, () => ({ x: '1' }))
    await world.pipeline(name, atom(repo, '/*'))
  }
}

test('a flush says which stopped pipeline it waits for, once for all that is behind it', async () => {
  await using world = await openTestProcessing()
  await chain(world)
  await world.processing.pipelines.stop('up')
  const commit = await world.commit('in', { a: 'one' })
  expect(await causesOf(world, commit)).toEqual([
    'pipeline up is stopped: start-pipeline up has it go on',
  ])
  await world.processing.pipelines.start('up')
  await world.flush('in', commit)
  expect(await causesOf(world, commit)).toEqual([])
})

test('a flush does not wait for a stopped pipeline that has done its part', async () => {
  await using world = await openTestProcessing()
  await chain(world)
  await world.processing.pipelines.stop('down')
  const commit = await world.commit('in', { a: 'one' })
  await expect
    .poll(async () => (await world.processing.jobs.list('up')).map(({ state }) => state))
    .toEqual(['success'])
  await world.processing.pipelines.stop('up')
  expect(await causesOf(world, commit)).toEqual([
    'pipeline down is stopped: start-pipeline down has it go on',
  ])
})

test('a flush says that a commit is open, and which other input is empty', async () => {
  await using world = await openTestProcessing()
  for (const name of ['in', 'other']) await world.versioning.repos.create({ name })
  world.code('both', () => ({ x: '1' }))
  await world.pipeline('both', { cross: [atom('in', '/'), atom('other', '/')] })
  const { id } = await world.versioning.commits.start({ repo: 'in', branch: 'master' })
  expect(await causesOf(world, id)).toEqual([
    `commit in/${id} is open: finish-commit in ${id} has pipelines read it`,
  ])
  await world.versioning.commits.finish('in', id)
  expect(await causesOf(world, id)).toEqual([
    'pipeline both also reads other/master, where there is no finished commit yet',
  ])
})

test('a flush says what the job that it waits for says of itself', async () => {
  await using world = await openTestProcessing()
  await chain(world)
  const released = Promise.withResolvers<undefined>()
  world.code('up', async () => {
    await released.promise
    return { x: '1' }
  })
  const commit = await world.commit('in', { a: 'one' })
  const [job] = await world.processing.jobs.list('up')
  const isRunning = async (): Promise<boolean> => world.ran.length > 0
  await expect.poll(isRunning).toBe(true)
  expect(await causesOf(world, commit)).toEqual([])
  await world.database.transact((tx) =>
    tx.run(
      `UPDATE job_rows SET reason = 'the disk is full (retrying)' WHERE id = ?`,
      job?.id ?? '',
    ),
  )
  expect(await causesOf(world, commit)).toEqual([
    `job ${job?.id} of pipeline up: the disk is full (retrying)`,
  ])
  released.resolve(undefined)
  await world.flush('in', commit)
})
