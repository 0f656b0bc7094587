import { expect, test } from 'vitest'
import { atom, openTestProcessing, type TestProcessing } from '../testing/test-processing.ts'

/** A pipeline that does not end its jobs before it is told to. */
async function held(world: TestProcessing, name: string, repo: string): Promise<() => void> {
  const released = Promise.withResolvers<undefined>()
  world.code(name, async (_files, { signal }) => {
    signal.addEventListener('abort', () => released.resolve(undefined), { once: true })
    await released.promise
    signal.throwIfAborted()
    return { x: '1' }
  })
  await world.pipeline(name, atom(repo, '/*'))
  return () => released.resolve(undefined)
}

async function quick(world: TestProcessing, name: string, repo: string): Promise<void> {
  world.code(name, () => ({ x: '1' }))
  await world.pipeline(name, atom(repo, '/*'))
}

test('a flush ends when the job that it waits for is deleted', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await held(world, 'up', 'in')
  const flushed = world.flush('in', await world.commit('in', { a: 'one' }))
  const [job] = await world.processing.jobs.list('up')
  await Promise.all([
    expect(flushed).rejects.toThrow(/no job of pipeline up will process commit in\/.*deleted/),
    world.processing.jobs.delete(job?.id ?? ''),
  ])
})

test('a flush ends when the pipeline that it waits for is deleted with its jobs', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await held(world, 'up', 'in')
  await quick(world, 'down', 'up')
  const commit = await world.commit('in', { a: 'one' })
  const flushed = world.flush('in', commit)
  const deleted = { deleteJobs: true, deleteRepo: false }
  await Promise.all([
    expect(flushed).rejects.toThrow(/pipeline up was deleted|no job of pipeline down/),
    world.processing.pipelines.delete('up', deleted),
  ])
  await expect(world.flush('in', commit), 'and a later one ends at once').rejects.toThrow(
    /no commit will come/,
  )
})

test('a flush of a commit that is on no branch that is read says so', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await quick(world, 'up', 'in')
  const { id } = await world.versioning.commits.start({ repo: 'in', branch: 'aside' })
  await world.versioning.commits.finish('in', id)
  await expect(world.flush('in', id)).rejects.toThrow(/it is not on branch master/)
  await quick(world, 'down', 'up')
  await expect(world.flush('in', id)).rejects.toThrow(/no job of pipeline/)
})

test('a flush of an open commit waits for it, through a chain of pipelines', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const release = await held(world, 'up', 'in')
  await quick(world, 'down', 'up')
  const { id } = await world.versioning.commits.start({ repo: 'in', branch: 'master' })
  const flushed = world.flush('in', id)
  await world.versioning.commits.finish('in', id)
  release()
  await flushed
  expect(await world.files('down', 'master')).toEqual({})
})

test('a flush waits for the other input of a cross, which has nothing yet', async () => {
  await using world = await openTestProcessing()
  for (const name of ['left', 'right']) await world.versioning.repos.create({ name })
  world.code('both', () => ({ x: '1' }))
  await world.pipeline('both', { cross: [atom('left', '/'), atom('right', '/')] })
  const flushed = world.flush('left', await world.commit('left', { a: 'one' }))
  await world.commit('right', { a: 'one' })
  await flushed
  expect(await world.files('both', 'master')).toEqual({ '/x': '1' })
})

test('a flush ends when one arm of a diamond has lost its input for good', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await quick(world, 'left', 'in')
  await quick(world, 'right', 'in')
  await world.pipeline('both', { cross: [atom('left', '/'), atom('right', '/')] })
  world.code('both', () => ({ done: '1' }))
  await world.flush('in', await world.commit('in', { a: 'one' }))
  await world.processing.pipelines.stop('left')
  await world.versioning.repos.delete('in', { force: true })
  const stateOf = async (): Promise<string> =>
    (await world.processing.pipelines.inspect('right')).state
  await expect.poll(stateOf).toBe('failure')
  await world.versioning.repos.create({ name: 'in' })
  await world.processing.pipelines.start('left')
  const flushed = world.flush('in', await world.commit('in', { a: 'two' }))
  await expect(flushed).rejects.toThrow(/pipeline right has failed: the input repo in/)
})

test('pipelines that read a repo fail when it is deleted, whether or not they have work', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await quick(world, 'up', 'in')
  await world.versioning.repos.delete('in', { force: true })
  const stateOf = async (): Promise<string> =>
    (await world.processing.pipelines.inspect('up')).state
  await expect.poll(stateOf).toBe('failure')
})

test('a flush ends when another input of a diamond has lost its pipeline, and so will never come', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await quick(world, 'left', 'in')
  world.code('both', () => ({ x: '1' }))
  await world.pipeline('both', { cross: [atom('in', '/'), atom('left', '/')] })
  await quick(world, 'down', 'both')
  await world.flush('in', await world.commit('in', { a: 'one' }))
  await world.processing.pipelines.delete('left', { deleteJobs: false, deleteRepo: false })
  const commit = await world.commit('in', { a: 'two' })
  await expect(world.flush('in', commit)).rejects.toThrow(
    /pipeline left was deleted|an input that should come from the same commit has lost its pipeline/,
  )
  const only = world.versioning.subscriptions.flush({
    commits: [{ repo: 'in', commit }],
    toRepos: ['down'],
    signal: new AbortController().signal,
  })
  await expect(Array.fromAsync(only)).rejects.toThrow(/no job of pipeline (both|down) will process/)
})
