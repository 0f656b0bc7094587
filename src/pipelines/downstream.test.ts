import { expect, test, vi } from 'vitest'
import {
  atom,
  atomNamed,
  failDatum,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import { JobDownstream } from './downstream.ts'

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

async function flushTo(world: TestProcessing, commit: string, repo: string): Promise<void> {
  const commits = [{ repo: 'in', commit }]
  const { signal } = new AbortController()
  await Array.fromAsync(world.versioning.subscriptions.flush({ commits, toRepos: [repo], signal }))
}

/** Does something once a flush that was begun has looked, and waits. */
async function afterLook(act: () => Promise<void>): Promise<void> {
  using state = vi.spyOn(JobDownstream.prototype, 'state')
  await expect.poll(() => state.mock.settledResults[0]?.type).toBe('fulfilled')
  await act()
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
    afterLook(async () => await world.processing.pipelines.delete('up', deleted)),
  ])
  await world.flush('in', commit)
  const later = await world.commit('in', { a: 'two' })
  await expect(flushTo(world, later, 'up'), 'nor of what comes later').rejects.toThrow(
    /pipeline up was deleted.*delete-repo up/,
  )
  await world.flush('in', later)
})

test('a flush tells of what a deleted pipeline made, and waits for the others', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await quick(world, 'up', 'in')
  await quick(world, 'beside', 'in')
  const commit = await world.commit('in', { a: 'one' })
  await world.flush('in', commit)
  await world.processing.pipelines.delete('up', { deleteJobs: false, deleteRepo: false })
  const reposOf = async (id: string): Promise<readonly string[]> => {
    const { signal } = new AbortController()
    const commits = [{ repo: 'in', commit: id }]
    const flushed = world.versioning.subscriptions.flush({ commits, signal })
    return (await Array.fromAsync(flushed)).map(({ repo }) => repo).toSorted()
  }
  expect(await reposOf(commit)).toEqual(['beside', 'up'])
  expect(await reposOf(await world.commit('in', { a: 'two' }))).toEqual(['beside'])
})

test('a flush that fails names every pipeline that fails, and what it keeps from others once', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  for (const name of ['left', 'right']) {
    world.code(name, () => failDatum(`${name} is wrong`))
    await world.pipeline(name, atom('in', '/*'), { datumTries: 1 })
  }
  await quick(world, 'below', 'left')
  const flushed = world.flush('in', await world.commit('in', { a: 'one' }))
  const text = await flushed.then(
    () => '',
    (error: unknown) => String(error),
  )
  expect(text.match(/^.*left is wrong.*$/gm)).toEqual([
    expect.stringContaining('no commit will come to repos below, left from the flushed commits'),
  ])
  expect(text.match(/^.*right is wrong.*$/gm)).toEqual([
    expect.stringContaining('no commit will come to repo right from the flushed commits'),
  ])
})

test('a flush of a commit that a trigger holds back names the trigger', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('up', () => ({ x: '1' }))
  const trigger = { branch: '', size: '', commits: 3, cronSpec: '', all: false }
  await world.pipeline('up', { atom: { ...atom('in', '/').atom, trigger } })
  await expect(world.flush('in', await world.commit('in', { a: 'one' }))).rejects.toThrow(
    /: the trigger of branch up-trigger, which the pipeline reads, has not let it through yet; inspect-branch in up-trigger shows/,
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

test('a flush of an open commit on a branch that is not read ends when it finishes', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await quick(world, 'up', 'in')
  const { id } = await world.versioning.commits.start({ repo: 'in', branch: 'aside' })
  await Promise.all([
    expect(world.flush('in', id)).rejects.toThrow(/it is not on branch master/),
    afterLook(async () => void (await world.versioning.commits.finish('in', id))),
  ])
})

test('a flush of an open commit ends when that is deleted', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await quick(world, 'up', 'in')
  const { id } = await world.versioning.commits.start({ repo: 'in', branch: 'master' })
  await Promise.all([
    expect(world.flush('in', id)).rejects.toThrow(`commit in/${id} was deleted`),
    afterLook(async () => await world.versioning.commits.delete('in', id)),
  ])
})

test('a flush ends when a branch between loses the trigger that might have brought the commit', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const zero = await world.commit('in', { a: 'zero' })
  await world.versioning.branches.set('in', 'slow', zero)
  await quick(world, 'side', 'in')
  world.code('both', () => ({ x: '1' }))
  const { branchTriggers } = world.processing
  const conditions = { branch: 'master', size: '', commits: 5, cronSpec: '', all: false }
  await branchTriggers.set('in', 'slow', conditions)
  const input = { cross: [atom('side', '/'), atomNamed('in', '/', { branch: 'slow' })] }
  await world.pipeline('both', input)
  const commit = await world.commit('in', { a: 'one' })
  await flushTo(world, commit, 'side')
  await Promise.all([
    expect(flushTo(world, commit, 'both')).rejects.toThrow(/no job of pipeline both will process/),
    afterLook(async () => void (await branchTriggers.remove('in', 'slow'))),
  ])
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
  await expect(world.flush('in', commit)).rejects.toThrow(/pipeline left was deleted/)
  const only = world.versioning.subscriptions.flush({
    commits: [{ repo: 'in', commit }],
    toRepos: ['down'],
    signal: new AbortController().signal,
  })
  await expect(Array.fromAsync(only)).rejects.toThrow(/no job of pipeline (both|down) will process/)
})

test('a flush ends when an input has lost its pipeline, however many commits wait at the others', async () => {
  await using world = await openTestProcessing()
  const repos = ['left', 'middle', 'right']
  for (const name of repos) await world.versioning.repos.create({ name })
  await quick(world, 'unmade', 'left')
  world.code('all', () => ({ x: '1' }))
  await world.pipeline('all', { cross: [...repos, 'unmade'].map((name) => atom(name, '/')) })
  await world.processing.pipelines.delete('unmade', { deleteJobs: false, deleteRepo: false })
  let last = ''
  for (let count = 0; count < 25; count += 1) {
    for (const repo of repos) last = await world.commit(repo, { a: `${count}` })
  }
  await expect(world.flush('right', last)).rejects.toThrow(
    /no job of pipeline all will process commit right\/.*pipeline unmade was deleted/,
  )
})
test('a flush ends when another input is a branch that its pipeline writes no more', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  for (const name of ['left', 'right']) await quick(world, name, 'in')
  world.code('both', () => ({ x: '1' }))
  await world.pipeline('both', { cross: [atom('left', '/'), atom('right', '/')] })
  await world.flush('in', await world.commit('in', { a: 'one' }))
  const moved = { input: atom('in', '/*'), transform: transform('right'), outputBranch: 'other' }
  await world.processing.pipelines.update({ name: 'right', ...moved }, { reprocess: false })
  await expect(world.flush('in', await world.commit('in', { a: 'two' }))).rejects.toThrow(
    /no job of pipeline both will process.*pipeline right writes branch other, and nothing comes to right\/master/,
  )
})

test('a flush ends when a trigger has let a newer commit through in place of the flushed one', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await quick(world, 'side', 'in')
  world.code('both', () => ({ x: '1' }))
  const trigger = { branch: '', size: '', commits: 2, cronSpec: '', all: false }
  const slow = { atom: { ...atom('in', '/').atom, trigger } }
  await world.pipeline('both', { cross: [atom('side', '/'), slow] })
  const passed = await world.commit('in', { a: 'one' })
  await world.flush('in', await world.commit('in', { a: 'two' }))
  await expect(world.flush('in', passed)).rejects.toThrow(/no job of pipeline both will process/)
})

test('a flush of several commits names the job that failed over one of them', async () => {
  await using world = await openTestProcessing()
  for (const name of ['in', 'other']) await world.versioning.repos.create({ name })
  world.code('left', () => failDatum('it is wrong'))
  await world.pipeline('left', atom('in', '/*'), { datumTries: 1 })
  await quick(world, 'right', 'other')
  world.code('both', () => ({ x: '1' }))
  await world.pipeline('both', { cross: [atom('left', '/'), atom('right', '/')] })
  const commits = []
  for (const repo of ['in', 'other']) {
    commits.push({ repo, commit: await world.commit(repo, { a: 'one' }) })
  }
  const { signal } = new AbortController()
  const flushed = world.versioning.subscriptions.flush({ commits, signal })
  await expect(Array.fromAsync(flushed)).rejects.toThrow(/job .* of pipeline left.*it is wrong/)
})

test('a flush does not wait for what reads only statistics of what comes', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('up', () => ({ x: '1' }))
  await world.pipeline('up', atom('in', '/*'), { enableStats: true })
  for (const name of ['report', 'both']) world.code(name, () => ({ x: '1' }))
  await world.pipeline('report', atomNamed('up', '/', { branch: 'stats' }))
  await quick(world, 'below', 'report')
  await world.pipeline('both', { cross: [atom('up', '/'), atom('report', '/')] })
  const { signal } = new AbortController()
  const commits = [{ repo: 'in', commit: await world.commit('in', { a: 'one' }) }]
  const flushed = world.versioning.subscriptions.flush({ commits, signal })
  expect((await Array.fromAsync(flushed)).map(({ repo }) => repo).toSorted()).toEqual([
    'both',
    'up',
  ])
})

/** Commits to both repos that become heads at once: their ids. */
async function together(world: TestProcessing, ...repos: readonly string[]): Promise<string[]> {
  const results = await world.versioning.transactions.run(
    repos.flatMap((repo) => [
      { kind: 'start-commit', repo, branch: 'master' },
      { kind: 'finish-commit', repo, commit: 'master' },
    ]),
  )
  const heads = new Map(results.flatMap((made) => (made === undefined ? [] : [[made.repo, made]])))
  return repos.map((repo) => heads.get(repo)?.id ?? '')
}

/** `both` reads `left` and `right`, and `made`, which comes from `right` and is deleted after one commit. */
async function withLostMaker(world: TestProcessing): Promise<void> {
  for (const name of ['left', 'right']) await world.versioning.repos.create({ name })
  await quick(world, 'made', 'right')
  world.code('both', () => ({ x: '1' }))
  const input = { cross: [atom('left', '/'), atom('right', '/'), atom('made', '/')] }
  await world.pipeline('both', input)
  await world.commit('left', { a: 'one' })
  await world.flush('right', await world.commit('right', { a: 'one' }))
  await world.processing.pipelines.delete('made', { deleteJobs: false, deleteRepo: false })
}

test('a flush ends when what a lost pipeline left fits only older commits than those that came together', async () => {
  await using world = await openTestProcessing()
  await withLostMaker(world)
  await world.flush('left', await world.commit('left', { a: 'two' }))
  const [left = ''] = await together(world, 'left', 'right')
  await expect(world.flush('left', left)).rejects.toThrow(
    /no job of pipeline both will process commit left\/.*pipeline made was deleted/,
  )
})

test('a flush ends when a lost pipeline left only what is made from commits that are not read', async () => {
  await using world = await openTestProcessing()
  for (const name of ['left', 'right']) await world.versioning.repos.create({ name })
  await quick(world, 'made', 'right')
  const fromCommit = await world.commit('right', { a: 'one' })
  await world.flush('right', fromCommit)
  await world.processing.pipelines.delete('made', { deleteJobs: false, deleteRepo: false })
  const right = { atom: { ...atom('right', '/').atom, fromCommit } }
  await world.pipeline('both', { cross: [atom('left', '/'), right, atom('made', '/')] })
  await expect(world.flush('left', await world.commit('left', { a: 'one' }))).rejects.toThrow(
    /no job of pipeline both will process commit left\/.*pipeline made was deleted/,
  )
})

test('a flush ends below a pipeline that can make no more jobs', async () => {
  await using world = await openTestProcessing()
  await withLostMaker(world)
  await quick(world, 'up', 'left')
  await world.pipeline('below', { cross: [atom('up', '/'), atom('both', '/')] })
  world.code('below', () => ({ x: '1' }))
  const [left = ''] = await together(world, 'left', 'right')
  const below = world.versioning.subscriptions.flush({
    commits: [{ repo: 'left', commit: left }],
    toRepos: ['below'],
    signal: new AbortController().signal,
  })
  await expect(Array.fromAsync(below)).rejects.toThrow(/no job of pipeline below will process/)
})

/** `both` reads `side`, which fails over what is bad in `right`, and `main`, made from `left` and `right`. */
async function withPickySide(world: TestProcessing): Promise<void> {
  for (const name of ['left', 'right']) await world.versioning.repos.create({ name })
  world.code('side', (files) => {
    if (files.get('right/a') === 'bad') failDatum('it is bad')
    return { x: '1' }
  })
  await world.pipeline('side', atom('right', '/*'))
  for (const name of ['main', 'both']) world.code(name, () => ({ x: '1' }))
  await world.pipeline('main', { cross: [atom('left', '/'), atom('right', '/')] })
  await world.pipeline('both', { cross: [atom('main', '/'), atom('side', '/')] })
  await world.commit('right', { a: 'good' })
  await world.flush('left', await world.commit('left', { a: 'one' }))
  await expect(world.flush('right', await world.commit('right', { a: 'bad' }))).rejects.toThrow(
    /job .* of pipeline side failed/,
  )
}

test('a flush ends when a newer commit has come in place of one whose fellow failed', async () => {
  await using world = await openTestProcessing()
  await withPickySide(world)
  const flushed = world.flush('left', await world.commit('left', { a: 'two' }))
  await Promise.all([
    expect(flushed).rejects.toThrow(/no job of pipeline both will process commit left\//),
    world.commit('left', { a: 'three' }),
  ])
})

test('a flush waits for what a pipeline whose last job failed may still make', async () => {
  await using world = await openTestProcessing()
  await withPickySide(world)
  const flushed = world.flush('left', await world.commit('left', { a: 'two' }))
  await world.flush('right', await world.commit('right', { a: 'good again' }))
  await flushed
  expect(await world.files('both', 'master')).toEqual({ '/x': '1' })
})

test('a flush waits for the commits that a paused pipeline has not read yet', async () => {
  await using world = await openTestProcessing()
  await withPickySide(world)
  await world.processing.pipelines.stop('side')
  const right = await world.commit('right', { a: 'good again' })
  const flushed = world.flush('right', right)
  await world.commit('right', { a: 'and again' })
  await world.processing.pipelines.start('side')
  await flushed
  expect(await world.files('both', 'master')).toEqual({ '/x': '1' })
})
