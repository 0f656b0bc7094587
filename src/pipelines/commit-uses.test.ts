import { expect, test } from 'vitest'
import { CheckRun } from '../base/check-run.ts'
import {
  atom,
  failDatum,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import type { Deletion } from '../versioning/deletions.ts'
import { checkPipelinesRows } from './pipelines-check.ts'

async function remove(world: TestProcessing, repo: string, commit: string): Promise<Deletion> {
  return world.versioning.deletions.delete([{ repo, commit }], { dryRun: false })
}

/** A repo `in`, and pipelines `up` and `down` in a row, which copy; each new file is a datum. */
async function openChain(): Promise<TestProcessing> {
  const world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  for (const [name, input] of [
    ['up', 'in'],
    ['down', 'up'],
  ] as const) {
    world.code(name, (files) =>
      Object.fromEntries([...files].map(([path, text]) => [path.slice(input.length), text])),
    )
    await world.pipeline(name, atom(input, '/*'))
  }
  return world
}

/** No job, arrival or history names a commit that is not there, unless the job was killed. */
async function expectSound({ database }: TestProcessing): Promise<void> {
  const dangling = await database.read((tx) =>
    tx.all(
      `SELECT 'input' AS what FROM job_inputs JOIN jobs ON jobs.id = job_inputs.job
          WHERE jobs.state <> 'killed' AND commit_id NOT IN (SELECT id FROM commits)
        UNION ALL SELECT 'output' FROM jobs
          WHERE state = 'success' AND output_commit NOT IN (SELECT id FROM commits)
        UNION ALL SELECT 'parent' FROM jobs
          WHERE parent_job IS NOT NULL AND parent_job NOT IN (SELECT id FROM jobs)
        UNION ALL SELECT 'arrival' FROM pipeline_arrivals
          WHERE commit_id NOT IN (SELECT id FROM commits)
        UNION ALL SELECT 'history' FROM pipeline_histories
          WHERE commit_id NOT IN (SELECT id FROM commits)`,
    ),
  )
  expect(dangling).toEqual([])
}

async function resultCount({ database }: TestProcessing): Promise<number> {
  return (await database.read((tx) => tx.all('SELECT datum FROM datum_results'))).length
}

test('all that was made from a head goes, and nothing is processed again', async () => {
  await using world = await openChain()
  const good = await world.commit('in', { a: 'good' })
  await world.flush('in', good)
  const wrong = await world.commit('in', { b: 'wrong' })
  await world.flush('in', wrong)
  const ranCount = world.ran.length
  const deletion = await remove(world, 'in', wrong)
  expect(deletion.commits.map(({ repo }) => repo).toSorted()).toEqual(['down', 'in', 'up'])
  expect(deletion.jobs.removed.map(({ pipeline }) => pipeline).toSorted()).toEqual(['down', 'up'])
  expect(deletion.jobs.results).toHaveLength(2)
  expect(await resultCount(world)).toBe(2)
  expect(await world.files('down', 'master')).toEqual({ '/a': 'good' })
  expect(await world.processing.jobs.list()).toHaveLength(2)
  await expectSound(world)
  const next = await world.commit('in', { c: 'next' })
  await world.flush('in', next)
  expect(await world.files('down', 'master')).toEqual({ '/a': 'good', '/c': 'next' })
  expect(world.ran.slice(ranCount)).toEqual(['in:/c', 'up:/c'])
})

test('results that later jobs have stay, those that none has go', async () => {
  await using world = await openChain()
  await world.flush('in', await world.commit('in', { a: '1' }))
  const wrong = await world.commit('in', { b: 'stays in children', c: 'is removed again' })
  await world.flush('in', wrong)
  await world.flush('in', await world.commit('in', { c: null, d: '4' }))
  const { jobs } = await remove(world, 'in', wrong)
  expect(jobs.results).toHaveLength(2) // of `c`, in both pipelines
  expect(await resultCount(world)).toBe(6)
  await expectSound(world)
  const ranCount = world.ran.length
  await world.flush('in', await world.commit('in', { e: '5', b: null }))
  expect(world.ran.slice(ranCount)).toEqual(['in:/e', 'up:/e'])
  expect(await world.files('down', 'master')).toEqual({ '/a': '1', '/d': '4', '/e': '5' })
})

test('a job that runs on it is killed, says why, and the next one runs', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const started = Promise.withResolvers<undefined>()
  const released = Promise.withResolvers<undefined>()
  world.code('up', async (files) => {
    if ([...files.values()].includes('wrong')) {
      started.resolve(undefined)
      await released.promise
    }
    return Object.fromEntries(files)
  })
  await world.pipeline('up', atom('in', '/*'))
  await world.flush('in', await world.commit('in', { a: 'good' }))
  const wrong = await world.commit('in', { a: 'wrong' })
  await started.promise
  const { jobs } = await remove(world, 'in', wrong)
  released.resolve(undefined)
  expect(jobs.removed).toEqual([])
  const [killed] = jobs.killed
  expect(await world.processing.jobs.inspect(killed?.id ?? '')).toMatchObject({
    state: 'killed',
    reason: `its input commit in/${wrong} was deleted`,
  })
  await expectSound(world)
  await world.flush('in', await world.commit('in', { b: 'next' }))
  expect(await world.files('up', 'master')).toEqual({ '/in/a': 'good', '/in/b': 'next' })
})

test('the older head is combined with what it had not met', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'left' })
  await world.versioning.repos.create({ name: 'right' })
  world.code('both', (files) => Object.fromEntries(files))
  const inputs = [atom('left', '/'), atom('right', '/')]
  await world.pipeline('both', { cross: inputs })
  await world.commit('left', { a: 'old' })
  await world.flush('right', await world.commit('right', { b: '1' }))
  const wrong = await world.commit('left', { a: 'wrong' })
  await world.flush('left', wrong)
  const right = await world.commit('right', { b: '2' })
  await world.flush('right', right)
  await remove(world, 'left', wrong)
  await world.flush('right', right)
  expect(await world.files('both', 'master')).toEqual({ '/left/a': 'old', '/right/b': '2' })
  await expectSound(world)
})

test('a pipeline owns its output, and needs the commit that it begins behind', async () => {
  await using world = await openChain()
  const first = await world.commit('in', { a: '1' })
  await world.flush('in', first)
  await expect(remove(world, 'up', 'master')).rejects.toThrow(
    `of pipeline up: delete the commit that it is made from (in/${first})`,
  )
  world.code('late', () => ({}))
  const late = atom('in', '/*')
  await world.pipeline('late', { atom: { ...late.atom, fromCommit: first } })
  await expect(remove(world, 'in', first)).rejects.toThrow('is the from_commit of pipeline late')
  await world.processing.pipelines.delete('late', { deleteJobs: true, deleteRepo: true })
  await world.processing.pipelines.delete('down', { deleteJobs: false, deleteRepo: false })
  const { commits, jobs } = await remove(world, 'down', 'master')
  expect([commits.length, jobs.removed.length]).toEqual([1, 1])
  await expectSound(world)
})

test('a pipeline that catches up goes on before the commit that went', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const first = await world.commit('in', { a: '1' })
  const wrong = await world.commit('in', { a: '2' })
  const last = await world.commit('in', { a: '3' })
  world.code('up', (files) => Object.fromEntries(files))
  await world.pipeline('up', atom('in', '/none'))
  await world.processing.pipelines.stop('up')
  await world.database.transact(async (tx) => {
    await tx.run('DELETE FROM pipeline_arrivals')
    await tx.run(`INSERT INTO pipeline_histories VALUES ('up', 0, ?)`, wrong)
  })
  await remove(world, 'in', wrong)
  const rows = await world.database.read((tx) => tx.all('SELECT commit_id FROM pipeline_histories'))
  expect(rows).toEqual([{ commit_id: first }])
  expect(last).not.toBe(first)
})

test('people and pipelines write different branches', async () => {
  await using world = await openChain()
  await world.flush('in', await world.commit('in', { a: '1' }))
  const { branchChanges, branches } = world.versioning
  await branches.set('up', 'mine', 'master')
  const options = { message: '', dryRun: false, prefer: undefined }
  const merge = async (from: string, into: string) =>
    branchChanges.merge({ repo: 'up', from, into }, options)
  await expect(merge('mine', 'master')).rejects.toThrow('is written by pipeline up')
  expect(await merge('master', 'mine')).toMatchObject({ outcome: 'unchanged' })
})

/** A pipeline `up` whose code waits, for a file whose text is `slow`, until `release` is called. */
async function openHeld(): Promise<{
  readonly world: TestProcessing
  readonly begun: Promise<void>
  readonly release: () => void
}> {
  const world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const [begun, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  world.code('up', async (files, { signal }) => {
    if ([...files.values()].includes('slow')) {
      begun.resolve()
      signal.addEventListener('abort', () => released.resolve(), { once: true })
      await released.promise
      signal.throwIfAborted()
    }
    return Object.fromEntries(files)
  })
  await world.pipeline('up', atom('in', '/*'))
  return { world, begun: begun.promise, release: () => released.resolve() }
}

test('the record of a job that was killed because its input was deleted is no damage', async () => {
  const { world, begun } = await openHeld()
  await using _ = world
  const commit = await world.commit('in', { a: 'slow' })
  await begun
  await remove(world, 'in', commit)
  const jobs = await world.processing.jobs.list('up')
  expect(jobs).toMatchObject([{ state: 'killed', reason: expect.stringContaining('was deleted') }])
  const found: string[] = []
  const options = { full: true, fix: false, exclusive: true }
  const { signal } = new AbortController()
  const run = new CheckRun(options, signal, async ({ what }) => void found.push(what))
  await checkPipelinesRows({ database: world.database, run })
  expect(found).toEqual([])
})

test('a job goes on though the one that it starts from is deleted while it runs', async () => {
  const { world, begun, release } = await openHeld()
  await using _ = world
  const first = await world.commit('in', { a: 'one', b: 'two' })
  await world.flush('in', first)
  const second = await world.commit('in', { a: null, c: 'slow' })
  await begun
  await remove(world, 'in', first)
  release()
  await world.flush('in', second)
  expect(await world.files('up', 'master')).toEqual({ '/in/b': 'two', '/in/c': 'slow' })
  expect(world.errors, 'and nothing goes wrong on the way').toEqual([])
})

test('a job is planned anew when the one that it starts from is deleted while it is planned', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('up', (files) => Object.fromEntries(files))
  await world.pipeline('up', atom('in', '/*'))
  const first = await world.commit('in', { a: 'one', b: 'two' })
  await world.flush('in', first)
  await world.processing.pipelines.stop('up')
  const second = await world.commit('in', { a: null, c: 'three' })
  const deleted = Promise.withResolvers<void>()
  world.duringNextFlush(async () => {
    await remove(world, 'in', first)
    deleted.resolve()
  })
  await world.processing.pipelines.start('up')
  await deleted.promise
  await world.flush('in', second)
  expect(await world.files('up', 'master')).toEqual({ '/in/b': 'two', '/in/c': 'three' })
  const [job] = await world.processing.jobs.list('up')
  expect([job?.baseJob, job?.counts.total]).toEqual([undefined, 2])
})

/** What each job of a pipeline read, oldest first: the names of commits, by repo. */
async function readBy(
  world: TestProcessing,
  pipeline: string,
  names: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const jobs = (await world.processing.jobs.list(pipeline)).toReversed()
  return jobs.map(({ inputs, state }) => {
    const read = inputs.map(({ repo, commit }) => names[commit] ?? repo)
    return `${state}: ${read.join(' ')}`
  })
}

test('what goes with the commit before one that was deleted is found, also where it is no head', async () => {
  await using world = await openTestProcessing()
  for (const name of ['a', 'z']) await world.versioning.repos.create({ name })
  world.code('b', (files) => {
    if ([...files.values()].includes('bad')) failDatum('it is bad')
    return Object.fromEntries(files)
  })
  world.code('d', (files) => Object.fromEntries(files))
  await world.pipeline('b', atom('a', '/*'))
  await world.pipeline('d', { cross: [atom('a', '/'), atom('b', '/'), atom('z', '/')] })
  const z1 = await world.commit('z', { z: '1' })
  const a1 = await world.commit('a', { a: '1' })
  await world.flush('a', a1)
  const a2 = await world.commit('a', { a: '2' })
  await world.flush('a', a2)
  const a3 = await world.commit('a', { a: 'bad' })
  await expect(world.flush('a', a3)).rejects.toThrow('it is bad')
  const names = { [z1]: 'z1', [a1]: 'a1', [a2]: 'a2', [a3]: 'a3' }
  expect(await readBy(world, 'd', names)).toEqual(['success: a1 b z1', 'success: a2 b z1'])
  await remove(world, 'a', a2)
  await expectSound(world)
  const z2 = await world.commit('z', { z: '2' })
  await world.flush('z', z2)
  expect(await readBy(world, 'd', { ...names, [z2]: 'z2' })).toEqual([
    'success: a1 b z1',
    'success: a1 b z2',
  ])
  expect(await world.files('d', 'master')).toMatchObject({ '/a/a': '1', '/z/z': '2' })
})

test('what came after a commit that was deleted is combined with what was before it', async () => {
  await using world = await openTestProcessing()
  for (const name of ['a', 'z']) await world.versioning.repos.create({ name })
  const held = Promise.withResolvers<undefined>()
  world.code('b', async (files) => {
    if ([...files.values()].includes('held')) await held.promise
    return Object.fromEntries(files)
  })
  world.code('d', (files) => Object.fromEntries(files))
  await world.pipeline('b', atom('a', '/*'))
  await world.pipeline('d', { cross: [atom('a', '/'), atom('b', '/'), atom('z', '/')] })
  const z1 = await world.commit('z', { z: '1' })
  const a1 = await world.commit('a', { a: '1' })
  await world.flush('a', a1)
  const a2 = await world.commit('a', { a: '2' })
  await world.flush('a', a2)
  const z2 = await world.commit('z', { z: '2' })
  await world.flush('z', z2)
  const a3 = await world.commit('a', { a: 'held' })
  await remove(world, 'a', a2)
  await world.flush('z', z2)
  const names = { [z1]: 'z1', [z2]: 'z2', [a1]: 'a1', [a3]: 'a3' }
  const both = ['success: a1 b z1', 'success: a1 b z2']
  expect(await readBy(world, 'd', names)).toEqual(both)
  held.resolve(undefined)
  await world.flush('a', a3)
  expect(await readBy(world, 'd', names)).toEqual([...both, 'success: a3 b z2'])
})

test('a commit up to which nothing is read does not come in place of one that was deleted', async () => {
  await using world = await openTestProcessing()
  for (const name of ['in', 'z']) await world.versioning.repos.create({ name })
  world.code('up', (files) => Object.fromEntries(files))
  await world.commit('in', { a: '1' })
  const second = await world.commit('in', { a: '2' })
  const { atom: plain } = atom('in', '/')
  const begun = { atom: { ...plain, fromCommit: second } }
  await world.pipeline('up', { cross: [begun, atom('z', '/')] })
  await world.commit('z', { z: '1' })
  const third = await world.commit('in', { a: '3' })
  await world.flush('in', third)
  await world.processing.pipelines.stop('up')
  const fourth = await world.commit('in', { a: '4' })
  await remove(world, 'in', third)
  await world.processing.pipelines.start('up')
  await world.flush('in', fourth)
  const jobs = await world.processing.jobs.list('up')
  expect(jobs.map(({ trigger }) => trigger.commit)).toEqual([fourth])
})

test('a job that was killed with its input does not have the one before it run again', async () => {
  await using world = await openTestProcessing()
  for (const name of ['a', 'z']) await world.versioning.repos.create({ name })
  const started = Promise.withResolvers<undefined>()
  world.code('up', async (files, { signal }) => {
    if (![...files.values()].includes('slow')) return Object.fromEntries(files)
    started.resolve(undefined)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    signal.throwIfAborted()
    return {}
  })
  const z = await world.commit('z', { z: '1' })
  const a1 = await world.commit('a', { a: '1' })
  const a2 = await world.commit('a', { a: 'slow' })
  const spec = {
    name: 'up',
    transform: transform('up'),
    input: { cross: [atom('a', '/'), atom('z', '/')] },
  }
  await world.processing.pipelines.create(spec)
  await started.promise
  await remove(world, 'a', a2)
  await world.flush('a', a1)
  const names = { [z]: 'z', [a1]: 'a1', [a2]: 'a2' }
  const once = ['success: a1 z', 'killed: a2 z']
  expect(await readBy(world, 'up', names)).toEqual(once)
  const sequences = await world.database.read((tx) =>
    tx.all("SELECT sequence FROM pipeline_arrivals WHERE commit_id = ? AND state = 'used'", a1),
  )
  expect(sequences, 'what comes after a history is none of it').toEqual([{ sequence: 1 }])
  await world.processing.pipelines.update(spec, { reprocess: false })
  await world.flush('a', a1)
  expect(await readBy(world, 'up', names), 'nor does an update').toEqual(once)
})

test('what came after a deleted commit is considered anew, also where no head is deleted', async () => {
  await using world = await openTestProcessing()
  for (const name of ['a', 'k', 'z']) await world.versioning.repos.create({ name })
  // What `b` and `m` make of the third commit of `a` is from different commits of `k`.
  for (const [name, bad] of [
    ['b', '3 2'],
    ['m', '3 1'],
  ] as const) {
    world.code(name, (files) => {
      const texts = [files.get('a/a'), files.get('k/k')].join(' ')
      if (texts === bad) failDatum('it is bad')
      return { '/x': texts }
    })
    await world.pipeline(name, { cross: [atom('a', '/'), atom('k', '/')] })
  }
  world.code('d', (files) => Object.fromEntries(files))
  await world.pipeline('d', { cross: [atom('b', '/'), atom('m', '/'), atom('z', '/')] })
  await world.commit('z', { z: '1' })
  await world.commit('k', { k: '1' })
  await world.flush('a', await world.commit('a', { a: '1' }))
  const wrong = await world.commit('a', { a: '2' })
  await world.flush('a', wrong)
  const z2 = await world.commit('z', { z: '2' })
  await world.flush('z', z2)
  const last = await world.commit('a', { a: '3' })
  await expect(world.flush('a', last)).rejects.toThrow('it is bad')
  await expect(world.flush('k', await world.commit('k', { k: '2' }))).rejects.toThrow('it is bad')
  expect(await world.processing.jobs.list('d')).toHaveLength(3)
  await remove(world, 'a', wrong)
  await world.flush('z', z2)
  await expectSound(world)
  const jobs = await world.processing.jobs.list('d')
  expect(jobs.map(({ trigger }) => trigger.repo)).toEqual(['z', expect.stringMatching(/^[bm]$/)])
  expect(await world.files('d', 'master')).toEqual({ '/b/x': '1 1', '/m/x': '1 1', '/z/z': '2' })
})

test('a stopped pipeline goes on before commits that were deleted one after the other', async () => {
  await using world = await openTestProcessing()
  for (const name of ['in', 'z']) await world.versioning.repos.create({ name })
  world.code('up', (files) => Object.fromEntries(files))
  await world.pipeline('up', { cross: [atom('in', '/'), atom('z', '/')] })
  const z1 = await world.commit('z', { z: '1' })
  const ids: string[] = []
  for (const text of ['1', '2', '3']) ids.push(await world.commit('in', { a: text }))
  const [first = '', second = '', third = ''] = ids
  await world.flush('in', third)
  await world.processing.pipelines.stop('up')
  const z2 = await world.commit('z', { z: '2' })
  const last = await world.commit('in', { a: '4' })
  await remove(world, 'in', third)
  await remove(world, 'in', second)
  await world.processing.pipelines.start('up')
  await world.flush('in', last)
  const names = { [z1]: 'z1', [z2]: 'z2', [first]: 'first', [last]: 'last' }
  expect(await readBy(world, 'up', names)).toEqual([
    'success: first z1',
    'success: first z2',
    'success: last z2',
  ])
})

test('what came to a branch after a deleted commit waits on, and is not considered anew', async () => {
  await using world = await openTestProcessing()
  const { commits, repos } = world.versioning
  await repos.create({ name: 'x' })
  for (const name of ['b', 'c']) await repos.create({ name, provenance: ['x'] })
  world.code('d', () => ({}))
  await world.pipeline('d', { cross: [atom('b', '/'), atom('c', '/')] })
  const names: Record<string, string> = {}
  for (const [at, from] of ['1', '2', '3'].entries()) {
    const x = await world.commit('x', { a: from })
    for (const repo of at < 2 ? ['b', 'c'] : ['b']) {
      const provenance = [{ repo: 'x', id: x }]
      const { id } = await commits.start({ repo, branch: 'master', provenance })
      await commits.finish(repo, id)
      names[id] = `${repo}${from}`
    }
    names[x] = `x${from}`
  }
  await world.processing.pipelines.stop('d')
  await remove(world, 'x', 'master~1')
  const states = await world.database.read((tx) =>
    tx.all<{ readonly commit_id: string; readonly state: string }>(
      'SELECT commit_id, state FROM pipeline_arrivals ORDER BY sequence',
    ),
  )
  expect(states.map(({ commit_id, state }) => `${names[commit_id]} ${state}`)).toEqual([
    'b1 new',
    'b3 waiting',
    'c1 new',
  ])
  await world.processing.pipelines.start('d')
  await expect.poll(async () => await readBy(world, 'd', names)).toEqual(['success: b1 c1'])
})
