import { expect, test } from 'vitest'
import {
  atom,
  failDatum,
  openTestProcessing,
  type TestProcessing,
} from '../../testing/test-processing.ts'

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

test('a flush says that a job waits behind one that is held up, and why that is', async () => {
  await using world = await openTestProcessing()
  await chain(world)
  const released = Promise.withResolvers<undefined>()
  world.code('up', async () => {
    await released.promise
    return { x: '1' }
  })
  await world.commit('in', { a: 'one' })
  const commit = await world.commit('in', { a: 'two' })
  const [later, first] = await world.processing.jobs.list('up')
  await expect.poll(() => world.ran.length).toBe(1)
  await world.database.transact((tx) =>
    tx.run(
      `UPDATE job_rows SET reason = 'the disk is full (retrying)' WHERE id = ?`,
      first?.id ?? '',
    ),
  )
  expect(await causesOf(world, commit)).toEqual([
    `job ${later?.id} of pipeline up waits behind job ${first?.id}: the disk is full (retrying)`,
  ])
  released.resolve(undefined)
  await world.flush('in', commit)
})

test('a flush says which trigger holds back what goes with the commit', async () => {
  await using world = await openTestProcessing()
  await chain(world)
  world.code('both', () => ({ x: '1' }))
  const trigger = { branch: '', size: '', commits: 2, cronSpec: '', all: false }
  const slow = { atom: { ...atom('in', '/').atom, trigger } }
  await world.pipeline('both', { cross: [atom('up', '/'), slow] })
  const commit = await world.commit('in', { a: 'one' })
  await expect
    .poll(async () => await causesOf(world, commit))
    .toEqual([
      `pipeline both has no job over commit in/${commit} yet: what goes with it has to come to in/both-trigger (its trigger holds back what is newer: inspect-branch in both-trigger shows what it waits for)`,
    ])
})

test('a flush says that people are to commit to a repo that no pipeline writes', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await world.versioning.repos.create({ name: 'mid', provenance: ['in'] })
  world.code('down', () => ({ x: '1' }))
  await world.pipeline('down', atom('mid', '/*'))
  const commit = await world.commit('in', { a: 'one' })
  expect(await causesOf(world, commit)).toEqual([
    `no pipeline writes repo mid: a finished commit made from commit in/${commit} is still to be made there`,
  ])
})

test('a flush says what else is still to come, and from which stopped pipeline', async () => {
  await using world = await openTestProcessing()
  await chain(world)
  await world.versioning.repos.create({ name: 'other' })
  world.code('side', (files) => {
    if (files.get('other/a') === 'bad') failDatum('it is bad')
    return { x: '1' }
  })
  await world.pipeline('side', atom('other', '/*'), { datumTries: 1 })
  for (const name of ['main', 'both']) world.code(name, () => ({ x: '1' }))
  await world.pipeline('main', { cross: [atom('up', '/'), atom('other', '/')] })
  await world.pipeline('both', { cross: [atom('main', '/'), atom('side', '/')] })
  await world.commit('other', { a: 'good' })
  await world.flush('in', await world.commit('in', { a: 'one' }))
  const bad = await world.commit('other', { a: 'bad' })
  const commits = [{ repo: 'other', commit: bad }]
  await expect(world.flush('other', bad)).rejects.toThrow(/pipeline side failed/)
  expect(await world.versioning.subscriptions.flushCauses({ commits })).toEqual([])
  const commit = await world.commit('in', { a: 'two' })
  const cause = `pipeline both has no job over commit in/${commit} yet: what goes with it has to come to`
  await expect.poll(async () => await causesOf(world, commit)).toEqual([`${cause} side/master`])
  await world.processing.pipelines.stop('side')
  expect(await causesOf(world, commit)).toEqual([
    `${cause} side/master (pipeline side is stopped: start-pipeline side)`,
  ])
})
