import { expect, test, vi } from 'vitest'
import {
  atom,
  failDatum,
  openTestProcessing,
  type TestProcessing,
} from '../testing/test-processing.ts'
import { JobDownstream } from './downstream.ts'

interface Code {
  /** The next job runs until it is released; others go on at once. */
  readonly hold: () => () => void
}

/** A pipeline over the whole of each repo; its job fails where a file that it reads is `bad`. */
async function pipelineOver(
  world: TestProcessing,
  name: string,
  ...repos: readonly string[]
): Promise<Code> {
  let until: Promise<undefined> | undefined
  world.code(name, async (files, { signal }) => {
    const released = until
    until = undefined
    const aborted = Promise.withResolvers<undefined>()
    signal.addEventListener('abort', () => aborted.resolve(undefined), { once: true })
    await (released && Promise.race([released, aborted.promise]))
    signal.throwIfAborted()
    const texts = [...files.values()].join(' ')
    if (texts.includes('bad')) failDatum('it is bad')
    return { [`/${name}`]: texts }
  })
  await world.pipeline(name, { cross: repos.map((repo) => atom(repo, '/')) }, { datumTries: 1 })
  return {
    hold: () => {
      const released = Promise.withResolvers<undefined>()
      until = released.promise
      return () => released.resolve(undefined)
    },
  }
}

async function worldWith(...repos: readonly string[]): Promise<TestProcessing> {
  const world = await openTestProcessing()
  for (const name of repos) await world.versioning.repos.create({ name })
  return world
}

async function flushTo(world: TestProcessing, commit: string, repo: string): Promise<void> {
  const commits = [{ repo: 'a', commit }]
  const { signal } = new AbortController()
  await Array.fromAsync(world.versioning.subscriptions.flush({ commits, toRepos: [repo], signal }))
}

/** Flushes a commit of `a` to a repo, and does something once that has looked, and waits. */
async function flushAround(
  world: TestProcessing,
  { commit, repo }: { readonly commit: string; readonly repo: string },
  act: () => void | Promise<void>,
): Promise<void> {
  using state = vi.spyOn(JobDownstream.prototype, 'state')
  const actOnceLooked = async (): Promise<void> => {
    await expect.poll(() => state.mock.settledResults[0]?.type).toBe('fulfilled')
    await act()
  }
  await Promise.all([flushTo(world, commit, repo), actOnceLooked()])
}

/** Waits until so many jobs of a pipeline are in a state. */
async function reached(
  world: TestProcessing,
  pipeline: string,
  state: string,
  count = 1,
): Promise<void> {
  const jobsThere = async (): Promise<number> =>
    (await world.processing.jobs.list(pipeline)).filter((job) => job.state === state).length
  await expect.poll(jobsThere).toBe(count)
}

test('a flush waits for an older job over the commit when a newer one was stopped', async () => {
  await using world = await worldWith('a', 'y')
  const { hold } = await pipelineOver(world, 'p', 'a', 'y')
  const release = hold()
  await world.commit('y', { k: 'one' })
  const commit = await world.commit('a', { f: '1' })
  await reached(world, 'p', 'running')
  await world.commit('y', { k: 'two' })
  const [newest] = await world.processing.jobs.list('p')
  await world.processing.jobs.stop(newest?.id ?? '')
  const causes = await world.versioning.subscriptions.flushCauses({
    commits: [{ repo: 'a', commit }],
  })
  expect(causes, 'its job just runs').toEqual([])
  await expect(flushAround(world, { commit, repo: 'p' }, release)).resolves.toBe(undefined)
})

test('a flush ends once the older job over the commit has failed, too', async () => {
  await using world = await worldWith('a', 'y')
  const { hold } = await pipelineOver(world, 'p', 'a', 'y')
  const release = hold()
  await world.commit('y', { k: 'one' })
  const commit = await world.commit('a', { f: 'bad' })
  await reached(world, 'p', 'running')
  await world.commit('y', { k: 'two' })
  const [newest] = await world.processing.jobs.list('p')
  await world.processing.jobs.stop(newest?.id ?? '')
  const flushed = flushAround(world, { commit, repo: 'p' }, release)
  await expect(flushed).rejects.toThrow(/job .* of pipeline p was stopped/)
  await reached(world, 'p', 'failure')
})

test('a flush waits for a job downstream when a newer one upstream has failed', async () => {
  await using world = await worldWith('a', 'y')
  await pipelineOver(world, 'up', 'a', 'y')
  const { hold } = await pipelineOver(world, 'down', 'up')
  const release = hold()
  await world.commit('y', { k: 'one' })
  const commit = await world.commit('a', { f: '1' })
  await reached(world, 'down', 'running')
  await world.commit('y', { k: 'bad' })
  await reached(world, 'up', 'failure')
  await expect(flushAround(world, { commit, repo: 'down' }, release)).resolves.toBe(undefined)
})

test('a flush waits for what goes with an output upstream, though a newer job there has failed', async () => {
  await using world = await worldWith('a', 'y')
  await pipelineOver(world, 'b', 'a', 'y')
  const { hold } = await pipelineOver(world, 'c', 'a')
  await pipelineOver(world, 'd', 'b', 'c')
  const release = hold()
  await world.commit('y', { k: 'one' })
  const commit = await world.commit('a', { f: '1' })
  await reached(world, 'b', 'success')
  await world.commit('y', { k: 'bad' })
  await reached(world, 'b', 'failure')
  await expect(flushAround(world, { commit, repo: 'd' }, release)).resolves.toBe(undefined)
})

test('a flush waits for another try when a job upstream runs again over the commit', async () => {
  await using world = await worldWith('a', 'y')
  const { hold } = await pipelineOver(world, 'up', 'a', 'y')
  world.code('down', (files) => {
    if ([...files.values()].join('').includes('first')) failDatum('it is the first')
    return { '/down': '' }
  })
  await world.pipeline('down', atom('up', '/'), { datumTries: 1 })
  await world.commit('y', { k: 'first' })
  const commit = await world.commit('a', { f: '1' })
  await reached(world, 'down', 'failure')
  const release = hold()
  await world.commit('y', { k: 'second' })
  await reached(world, 'up', 'running')
  await expect(flushAround(world, { commit, repo: 'down' }, release)).resolves.toBe(undefined)
})

test('a flush waits for a pipeline that was made anew, whatever the one before came to', async () => {
  await using world = await worldWith('a', 'o')
  await pipelineOver(world, 'p', 'a')
  const commit = await world.commit('a', { f: 'bad' })
  await reached(world, 'p', 'failure')
  await world.processing.pipelines.delete('p', { deleteJobs: false, deleteRepo: false })
  world.code('p', () => ({ '/p': '' }))
  await world.pipeline('p', { cross: [atom('a', '/'), atom('o', '/')] })
  const flushed = flushAround(world, { commit, repo: 'p' }, async () => {
    await world.commit('o', { x: '1' })
  })
  await expect(flushed).resolves.toBe(undefined)
})
