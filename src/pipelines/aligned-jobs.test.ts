import { expect, test } from 'vitest'
import {
  atom,
  failDatum,
  openTestProcessing,
  type TestProcessing,
} from '../testing/test-processing.ts'

/** A pipeline whose only file is what it reads, behind one another. */
async function copies(world: TestProcessing, name: string, ...repos: string[]): Promise<void> {
  world.code(name, (files) => ({ a: [...files.values()].join(' ') }))
  await world.pipeline(name, { cross: repos.map((repo) => atom(repo, '/')) })
}

/** One that copies `m`, and does what a test says before it is done with the text `two`. */
async function copiesTwo(
  world: TestProcessing,
  name: string,
  beforeTwo: () => Promise<void> | void,
): Promise<void> {
  world.code(name, async (files) => {
    const text = [...files.values()].join(' ')
    if (text === '2') await beforeTwo()
    return { a: text }
  })
  await world.pipeline(name, atom('m', '/'), { datumTries: 1 })
}

/** What the jobs of a pipeline made, oldest first. */
async function made(world: TestProcessing, name: string): Promise<readonly string[]> {
  const texts: string[] = []
  for (const { outputCommit } of await world.processing.jobs.list(name)) {
    texts.push((await world.files(name, outputCommit))['/a'] ?? '')
  }
  return texts.toReversed()
}

/** Three commits to `m`, of which `c` is held up with the second, where `d` reads `b` and `c`. Returns what lets it go on. */
async function heldAtTwo(world: TestProcessing): Promise<() => void> {
  const [begun, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  await copies(world, 'b', 'm')
  await copiesTwo(world, 'c', async () => {
    begun.resolve()
    await released.promise
  })
  await copies(world, 'd', 'b', 'c')
  for (const a of ['1', '2', '3']) await world.commit('m', { a })
  await begun.promise
  await expect.poll(async () => await made(world, 'b')).toEqual(['1', '2', '3'])
  return () => released.resolve()
}

/** Repos and a pipeline that left its repo `m`, which is made from `x`. */
async function leftRepo(world: TestProcessing): Promise<void> {
  await world.versioning.repos.create({ name: 'x' })
  await copies(world, 'm', 'x')
  await world.processing.pipelines.delete('m', { deleteJobs: false, deleteRepo: false })
}

test.each([
  {
    what: 'made from no others',
    open: async (world: TestProcessing) => {
      await world.versioning.repos.create({ name: 'm' })
    },
  },
  {
    what: 'made from another',
    open: async (world: TestProcessing) => {
      await world.versioning.repos.create({ name: 'x' })
      await world.versioning.repos.create({ name: 'm', provenance: ['x'] })
    },
  },
  { what: 'left by its pipeline', open: leftRepo },
])('jobs are aligned over commits by hand to a repo that is $what', async ({ open }) => {
  await using world = await openTestProcessing()
  await open(world)
  const release = await heldAtTwo(world)
  release()
  await expect.poll(async () => await made(world, 'd')).toEqual(['1 1', '2 2', '3 3'])
  await expect.poll(async () => await made(world, 'c')).toEqual(['1', '2', '3'])
  expect(await made(world, 'd')).toHaveLength(3)
})

test('jobs stay aligned over the commits of a repo that a pipeline adopts meanwhile', async () => {
  await using world = await openTestProcessing()
  for (const name of ['m', 'x']) await world.versioning.repos.create({ name })
  const release = await heldAtTwo(world)
  await copies(world, 'm', 'x')
  release()
  await expect.poll(async () => await made(world, 'd')).toEqual(['1 1', '2 2', '3 3'])
})

test('jobs are aligned over the commits of a repo that was deleted', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'm' })
  await copies(world, 'b', 'm')
  await copiesTwo(world, 'c', () => failDatum('it is two'))
  await copies(world, 'd', 'b', 'c')
  await world.processing.pipelines.stop('d')
  for (const a of ['1', '2']) await world.commit('m', { a })
  await expect.poll(async () => await made(world, 'b')).toEqual(['1', '2'])
  const states = async (): Promise<readonly string[]> =>
    (await world.processing.jobs.list('c')).map(({ state }) => state)
  await expect.poll(states).toEqual(['failure', 'success'])
  await world.versioning.repos.delete('m', { force: true })
  await world.processing.pipelines.start('d')
  await expect.poll(async () => await made(world, 'd')).toEqual(['1 1'])
})
