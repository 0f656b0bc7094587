import { expect, test } from 'vitest'
import { utf8, utf8Text } from '../base/bytes.ts'
import { MemoryBucket } from '../testing/memory-bucket.ts'
import {
  atom,
  failDatum,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import type { RequestedSpec } from './requested-specs.ts'
import type { TrialResults } from './trials.ts'

const { signal } = new AbortController()

function spec(name: string, repo: string, code: string, more: RequestedSpec = {}): RequestedSpec {
  return { name, input: atom(repo, '/*'), transform: transform(code), ...more }
}

/** Writes each file under its own path, with its text changed. */
function each(change: (text: string) => string) {
  return (files: ReadonlyMap<string, string>): Readonly<Record<string, string>> =>
    Object.fromEntries(
      [...files].map(([path, text]) => [path.slice(path.indexOf('/')), change(text)]),
    )
}

/** in → up → down, where `up` has another code, `louder`; three files have gone through. */
async function openChain(): Promise<TestProcessing> {
  const world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code(
    'up',
    each((text) => text.toUpperCase()),
  )
  world.code(
    'louder',
    each((text) => `${text.toUpperCase()}!`),
  )
  world.code(
    'down',
    each((text) => `<${text}>`),
  )
  await world.pipeline('up', atom('in', '/*'))
  await world.pipeline('down', atom('up', '/*'))
  await world.flush('in', await world.commit('in', { a: 'one', b: 'two', c: 'three' }))
  return world
}

async function tryOut(
  world: TestProcessing,
  specs: readonly RequestedSpec[],
  {
    data = [],
    results = 'same-code',
    name = 'try',
  }: {
    readonly data?: readonly {
      readonly repo: string
      readonly branch: string
      readonly other: string
    }[]
    readonly results?: TrialResults
    readonly name?: string
  } = {},
) {
  await world.processing.trials.create({ name, specs, data, results })
  return await world.processing.trials.settled(name, signal)
}

async function commitTo(
  { versioning: { commits, writes } }: TestProcessing,
  branch: string,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const { id } = await commits.start({ repo: 'in', branch })
  for (const [path, text] of Object.entries(files)) {
    await writes.put({ repo: 'in', commit: id, path }, utf8(text), { overwrite: true })
  }
  await commits.finish('in', id)
  return id
}

const fixed = [{ repo: 'in', branch: 'master', other: 'fixed' }]

/** A branch `fixed` of `in`, one file of which is another than on `master`. */
async function fix(world: TestProcessing): Promise<void> {
  await world.versioning.branches.set('in', 'fixed', 'master')
  await commitTo(world, 'fixed', { b: 'zwei' })
}

test('a trial of changed data runs the datums that differ, goes on from the jobs of the main line, and changes nothing of it', async () => {
  await using world = await openChain()
  await fix(world)
  const before = world.ran.length
  const { outcomes, obstacles } = await tryOut(world, [], { data: fixed })
  expect(world.ran.slice(before)).toEqual(['in:/b', 'up:/b'])
  expect(await world.files('down--try', 'master')).toEqual({
    '/a': '<ONE>',
    '/b': '<ZWEI>',
    '/c': '<THREE>',
  })
  expect(await world.files('down', 'master')).toMatchObject({ '/b': '<TWO>' })
  expect(obstacles).toEqual([])
  const [main] = await world.processing.jobs.list('up')
  expect(outcomes[0]?.job).toMatchObject({
    baseJob: main?.id,
    counts: { total: 3, processed: 1, skipped: 2 },
  })
})

test('what a trial has computed is not computed again by the merge, nor by the next commit', async () => {
  await using world = await openChain()
  await fix(world)
  await tryOut(world, [spec('up', 'in', 'louder')], { data: fixed })
  const tried = await world.files('down--try', 'master')
  expect(tried).toEqual({ '/a': '<ONE!>', '/b': '<ZWEI!>', '/c': '<THREE!>' })
  const oldHead = (await world.versioning.commits.inspect('down', 'master')).id
  const trialHead = (await world.versioning.commits.inspect('down--try', 'master')).id
  const jobs = await world.processing.jobs.list('down--try')
  const before = world.ran.length
  await world.processing.trials.merge('try')

  const head = await world.versioning.commits.inspect('down', 'master')
  expect(head).toMatchObject({ id: trialHead, parent: oldHead, repo: 'down' })
  expect(head.provenance.map(({ repo }) => String(repo)).toSorted()).toEqual(['in', 'up'])
  expect(await world.files('down', 'master')).toEqual(tried)
  expect(await world.files('down', 'master-v1')).toMatchObject({ '/a': '<ONE>' })
  expect(await world.files('in', 'master')).toMatchObject({ '/b': 'zwei' })
  const [merged, ...others] = await world.processing.jobs.list('down')
  expect(merged).toMatchObject({ id: jobs[0]?.id, outputRepo: 'down', pipelineVersion: 2 })
  expect(merged?.inputs.map(({ repo, branch }) => `${repo}@${branch}`)).toEqual(['up@master'])
  expect(others).toHaveLength(1)
  expect(await world.processing.pipelines.inspect('up')).toMatchObject({
    version: 2,
    spec: { transform: { command: ['louder'] }, name: 'up' },
  })
  await world.flush('in', await world.commit('in', { d: 'four' }))
  expect(world.ran.slice(before)).toEqual(['in:/d', 'up:/d'])
  expect(await world.files('down', 'master')).toEqual({ ...tried, '/d': '<FOUR!>' })
})

test('statistics of the jobs of a trial go on from those of the main line after the merge, and their readers run', async () => {
  await using world = await openChain()
  world.code('watch', (files) => ({ '/x': [...files.keys()].join(' ') }))
  const withStats = spec('up', 'in', 'louder', { enableStats: true })
  await world.processing.pipelines.update(withStats, { reprocess: true })
  await expect.poll(async () => await world.versioning.branches.list('up')).toHaveLength(3)
  await world.pipeline('watch', { atom: { ...atom('up', '/stats').atom, branch: 'stats' } })
  await expect.poll(async () => await world.processing.jobs.list('watch')).toHaveLength(1)
  const { commits } = world.versioning
  const oldHead = (await commits.inspect('up', 'stats')).id
  await tryOut(world, [{ ...withStats, transform: transform('up') }])
  const trialHead = (await commits.inspect('up--try', 'stats')).id
  const trialOutput = (await commits.inspect('up--try', 'master')).id
  const oldOutput = (await commits.inspect('up', 'master')).id
  await world.processing.trials.merge('try')

  const [merged] = await world.processing.jobs.list('up')
  expect(merged).toMatchObject({ statsCommit: trialHead, outputCommit: trialOutput })
  expect(await commits.inspect('up', 'stats')).toMatchObject({ id: trialHead, parent: oldHead })
  expect(await commits.inspect('up', 'master')).toMatchObject({ parent: oldOutput })
  await expect.poll(async () => await world.processing.jobs.list('watch')).toHaveLength(2)
  const [read] = await world.processing.jobs.list('watch')
  expect(read?.inputs).toEqual([{ repo: 'up', branch: 'stats', commit: trialHead }])
})

test('other code runs on all datums unless results are to be kept; the same code reuses them unless told', async () => {
  await using world = await openChain()
  const ranBy = async (specs: readonly RequestedSpec[], results: TrialResults) => {
    const before = world.ran.length
    await tryOut(world, specs, { results })
    await world.processing.trials.delete('try')
    return world.ran.slice(before).filter((datum) => datum.startsWith('in'))
  }
  const louder = spec('up', 'in', 'louder')
  expect(await ranBy([louder], 'same-code')).toHaveLength(3)
  expect(await ranBy([louder], 'all')).toEqual([])
  const narrower = spec('up', 'in', 'up', { input: atom('in', '/[ab]') })
  expect(await ranBy([narrower], 'same-code')).toEqual([])
  expect(await ranBy([narrower], 'none')).toHaveLength(2)
})

test('a trial that is deleted leaves nothing behind but results that the main line can reuse', async () => {
  await using world = await openChain()
  await fix(world)
  const counts = async (): Promise<unknown> =>
    await world.database.read(async (tx) => {
      const found: Record<string, unknown> = {}
      const kept = ['repos', 'branches', 'commits', 'commit_provenance', 'repo_provenance', 'jobs']
      const more = ['pipelines', 'pipeline_versions', 'pipeline_inputs', 'pipeline_arrivals']
      const trials = ['trials', 'trial_data', 'trial_pipelines', 'deleted_pipelines']
      const ofJobs = ['job_inputs', 'job_provenance', 'datum_failures']
      for (const table of [...kept, ...more, ...trials, ...ofJobs]) {
        found[table] = await tx.get(`SELECT COUNT(*) AS count FROM ${table}`)
      }
      return found
    })
  const before = await counts()
  await tryOut(world, [spec('up', 'in', 'louder'), spec('new', 'down', 'down')])
  expect(await world.files('new--try', 'master')).toMatchObject({ '/a': '<<ONE!>>' })
  expect(await counts()).not.toEqual(before)
  await world.processing.trials.delete('try')
  expect(await counts()).toEqual(before)
  await expect(world.processing.trials.inspect('try')).rejects.toThrow('trial try not found')
  const ran = world.ran.length
  await tryOut(world, [spec('up', 'in', 'louder')])
  // What `down` made of the same files is known.
  expect(world.ran.slice(ran).toSorted()).toEqual(['in:/a', 'in:/b', 'in:/c'])
})

test('a new pipeline of a trial comes to the main line by the merge', async () => {
  await using world = await openChain()
  await tryOut(world, [spec('new', 'up', 'down')])
  const before = world.ran.length
  await world.processing.trials.merge('try')
  expect(await world.files('new', 'master')).toMatchObject({ '/a': '<ONE>' })
  expect(await world.processing.pipelines.inspect('new')).toMatchObject({ version: 1 })
  await world.flush('in', await world.commit('in', { a: 'uno' }))
  expect(await world.files('new', 'master')).toMatchObject({ '/a': '<UNO>' })
  expect(world.ran.slice(before).toSorted()).toEqual(['in:/a', 'up:/a', 'up:/a'])
})

test('a trial that does not fit the main line any more is refused, with what to do', async () => {
  await using world = await openChain()
  await fix(world)
  const { trials, pipelines } = world.processing
  await tryOut(world, [], { data: fixed })
  await world.flush('in', await world.commit('in', { d: 'four' }))
  await expect(trials.merge('try')).rejects.toThrow(
    'trial try cannot be merged: in@master has commits that in@fixed does not have: bring them in with merge-branch in master fixed, which the trial then follows',
  )
  const before = await world.files('down', 'master')
  await world.versioning.branchChanges.merge(
    { repo: 'in', from: 'master', into: 'fixed' },
    { message: '', dryRun: false, prefer: undefined },
  )
  expect((await trials.settled('try', signal)).obstacles).toEqual([])
  await pipelines.update(spec('up', 'in', 'up', { description: 'newer' }), { reprocess: false })
  await expect(trials.merge('try')).rejects.toThrow(
    'pipeline up has been updated since, from version 1 to 2: delete-trial try and create it again',
  )
  expect(await world.files('down', 'master')).toEqual(before)
  await trials.delete('try')
  await tryOut(world, [], { data: fixed })
  await trials.merge('try')
  expect(await world.files('down', 'master')).toMatchObject({ '/b': '<ZWEI>', '/d': '<FOUR>' })
})

test('a trial that fails says so, is not merged, and does not fail who waits for the main line', async () => {
  await using world = await openChain()
  world.code('broken', () => failDatum('no good'))
  const info = await tryOut(world, [spec('up', 'in', 'broken')])
  expect(info.outcomes).toMatchObject([
    { state: 'failed', reason: expect.stringContaining('no good') },
    { state: 'waiting', reason: 'for up--try' },
  ])
  await expect(world.processing.trials.merge('try')).rejects.toThrow(
    /pipeline up--try has failed: job .*no good.*; pipeline down--try waits for up--try/,
  )
  await world.flush('in', await world.commit('in', { a: 'uno' }))
  expect(await world.files('down', 'master')).toMatchObject({ '/a': '<UNO>' })
})

test('a trial is merged when nothing of it runs, and not before', async () => {
  await using world = await openChain()
  const released = Promise.withResolvers<undefined>()
  world.code('held', async () => {
    await released.promise
    return { '/a': 'held' }
  })
  await world.processing.trials.create({
    name: 'try',
    specs: [spec('up', 'in', 'held', { input: atom('in', '/') })],
    data: [],
    results: 'same-code',
  })
  await expect(world.processing.trials.merge('try')).rejects.toThrow(
    'pipeline up--try is still running: wait for it; pipeline down--try waits for up--try',
  )
  const settled = world.processing.trials.settled('try', signal)
  released.resolve(undefined)
  expect((await settled).obstacles).toEqual([])
  await world.processing.trials.merge('try')
  expect(await world.files('down', 'master')).toEqual({ '/a': '<held>' })
})

test('a trial is hidden among pipelines, and held together', async () => {
  await using world = await openChain()
  const { pipelines, trials } = world.processing
  await tryOut(world, [spec('up', 'in', 'louder')])
  expect((await pipelines.list()).map(({ name }) => String(name))).toEqual(['down', 'up'])
  const all = { deleteJobs: true, deleteRepo: true }
  await expect(pipelines.delete('up--try', all)).rejects.toThrow(
    'pipeline up--try is a part of trial try: use delete-trial try',
  )
  await expect(pipelines.delete('down', all)).rejects.toThrow(
    'pipeline down is tried by trial try: merge-trial or delete-trial try first',
  )
  const own = spec('up--try', 'in', 'up')
  await expect(pipelines.update(own, { reprocess: false })).rejects.toThrow('a part of trial try')
  await expect(tryOut(world, [spec('up', 'in', 'up')])).rejects.toThrow('trial try already exists')
  await pipelines.create(spec('reader', 'up--try', 'down'))
  await expect(trials.merge('try')).rejects.toThrow('repo reader is made from up--try')
  await expect(trials.delete('try')).rejects.toThrow('repo reader is made from up--try')
  await pipelines.deleteAll({ deleteJobs: true, deleteRepo: false })
  const repos = await world.versioning.repos.list()
  expect(repos.map(({ name }) => String(name)).toSorted()).toEqual(['down', 'in', 'reader', 'up'])
  expect(await Array.fromAsync(trials.pages())).toEqual([])
})

test('of two trials the second is refused once the first was merged', async () => {
  await using world = await openChain()
  const { trials } = world.processing
  await tryOut(world, [spec('up', 'in', 'louder')], { name: 'one' })
  await tryOut(world, [spec('down', 'up', 'louder')], { name: 'two' })
  const listed = (await Array.fromAsync(trials.pages())).flat()
  expect(listed.map(({ name }) => String(name))).toEqual(['one', 'two'])
  await trials.merge('one')
  await expect(trials.merge('two')).rejects.toThrow('pipeline down has been updated since')
  await world.flush('up', 'master')
  const info = await trials.settled('two', signal)
  expect(info.outcomes[0]?.state).toBe('ready')
  await expect
    .poll(async () => await world.files('down--two', 'master'))
    .toMatchObject({ '/a': 'ONE!!' })
})

test('nothing of a trial leaves it before the merge: it exports nothing, and no clock ticks for it', async () => {
  const bucket = new MemoryBucket()
  await using world = await openTestProcessing(undefined, { bucket })
  world.code('up', (files) => ({ '/x': [...files.keys()].join(' ') }))
  world.code('other', () => ({ '/x': 'other' }))
  const cron = {
    name: 'tick',
    repo: '',
    spec: '@yearly',
    start: 0,
    timeZone: '',
    missedTicks: 'latest',
  }
  const ticking = (code: string): RequestedSpec => ({
    name: 'up',
    input: { cron },
    transform: transform(code),
    egressUrl: 's3://bucket/place',
  })
  await world.processing.pipelines.create(ticking('up'))
  await expect.poll(async () => await world.versioning.branches.list('up')).toHaveLength(1)
  const ticks = async () =>
    await Array.fromAsync(world.versioning.commits.list({ repo: 'up_tick' }))
  const exported = (): readonly string[] =>
    [...bucket.objects].map(([key, { bytes }]) => `${key}: ${utf8Text(bytes)}`)
  const before = await ticks()
  const { pipelines } = await tryOut(world, [ticking('other')])
  expect(await world.files('up--try', 'master')).toEqual({ '/x': 'other' })
  const tried = await world.processing.pipelines.inspect('up--try')
  expect(tried.spec.egressUrl).toBeUndefined()
  expect(JSON.stringify(tried.spec.input)).not.toContain('schedule')
  expect(pipelines[0]?.spec.egressUrl).toBe('s3://bucket/place')
  expect(exported()).toEqual([expect.stringMatching('place/x: .*tick')])
  await world.processing.trials.merge('try')
  expect(await ticks()).toEqual(before)
  const merged = await world.processing.pipelines.inspect('up')
  expect(merged.spec.egressUrl).toBe('s3://bucket/place')
  await expect.poll(exported).toEqual(['place/x: other'])
  expect(JSON.stringify(merged.spec.input)).toContain('schedule')
})

test('the code of a trial is told the name that it has outside', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('up', (_files, { environment }) => ({
    '/name': environment['PPS_PIPELINE_NAME'] ?? '',
  }))
  await world.pipeline('up', atom('in', '/'))
  await world.flush('in', await world.commit('in', { a: '1' }))
  await tryOut(world, [spec('up', 'in', 'up')], { results: 'none' })
  expect(await world.files('up--try', 'master')).toEqual({ '/name': 'up' })
})

test('commit tags of a trial come along, unless their name is taken', async () => {
  await using world = await openChain()
  await tryOut(world, [spec('up', 'in', 'louder')])
  const { commitTags } = world.versioning
  await commitTags.set({ repo: 'up', commit: 'master', tag: 'good', move: false })
  await commitTags.set({ repo: 'up--try', commit: 'master', tag: 'good', move: false })
  await expect(world.processing.trials.merge('try')).rejects.toThrow(
    'commit tag good of repo up--try',
  )
  expect(await world.files('up', 'master')).toMatchObject({ '/a': 'ONE' })
  await commitTags.delete('up', 'good')
  await world.processing.trials.merge('try')
  expect(await world.files('up', 'good')).toMatchObject({ '/a': 'ONE!' })
})

test('what makes no sense to try is refused, and nothing is made', async () => {
  await using world = await openChain()
  await fix(world)
  const refused = async (
    specs: readonly RequestedSpec[],
    data: readonly { readonly repo: string; readonly branch: string; readonly other: string }[],
    reason: string,
  ): Promise<void> => {
    await expect(tryOut(world, specs, { data })).rejects.toThrow(reason)
  }
  await refused([], [], 'trial try would change nothing')
  await refused([{ name: 'x', spout: true, transform: transform('up') }], [], 'is a spout')
  const service = { internalPort: 80, externalPort: 31_080 }
  await refused([{ ...spec('x', 'in', 'up'), service }], [], 'is a service')
  await refused([spec('x', 'nowhere', 'up')], [], 'nowhere not found')
  await refused([spec('x', 'in', 'up'), spec('x', 'in', 'up')], [], 'two specs of pipeline x')
  await refused([], [{ repo: 'in', branch: 'master', other: 'no' }], 'no')
  await refused([], [{ repo: 'in', branch: 'master', other: 'master' }], 'to be read as itself')
  await refused([], [{ repo: 'in', branch: 'x', other: 'fixed' }], 'no pipeline reads in@x')
  await refused([], [...fixed, ...fixed], 'two branches are to be read as in@master')
  await refused([], [{ repo: 'up', branch: 'master', other: 'x' }], 'x')
  await expect(tryOut(world, [], { name: 'a b', data: fixed })).rejects.toThrow('trial name')
  await world.versioning.repos.create({ name: 'up--try' })
  await refused([], fixed, 'the trial needs the name up--try')
  expect(await Array.fromAsync(world.processing.trials.pages())).toEqual([])
})
