import { expect, test } from 'vitest'
import { NotFoundError, UnavailableError } from '../base/errors.ts'
import { egressUrl, ExportingWorld } from '../testing/exporting-world.ts'
import { atom, transform } from '../testing/test-processing.ts'

const { signal } = new AbortController()
const away = new UnavailableError('away')
const hopeless = new NotFoundError('no such bucket')

/** The files that the bucket was asked about. */
function lookedFor(asked: readonly string[]): readonly string[] {
  return asked
    .filter((call) => call.startsWith('find'))
    .map((call) => call.slice('find to/'.length))
}

/** Of `in`; all of it is exported when it resolves. */
async function exported(
  { test: processing }: ExportingWorld,
  files: Readonly<Record<string, string | null>>,
): Promise<void> {
  await processing.flush('in', await processing.commit('in', files))
}

async function update(
  { test: { processing } }: ExportingWorld,
  options: { readonly reprocess: boolean },
): Promise<void> {
  const spec = { name: 'p', input: atom('in', '/'), transform: transform('p'), egressUrl }
  await processing.pipelines.update(spec, options)
}

/** Has the bucket refuse to take one object. */
function refuse({ bucket }: ExportingWorld, refused: string, cause: Error): void {
  bucket.onCall = (call, key) => {
    if (call === 'write' && key === refused) throw cause
  }
}

test('of a thousand files, those that have changed since the last job are looked at', async () => {
  await using world = await ExportingWorld.open('/')
  const names = Array.from({ length: 1000 }, (_, index) => `d${index % 10}/f${index}`)
  await exported(world, Object.fromEntries(names.map((name) => [name, name])))
  const asked = world.listen()
  await exported(world, { 'd3/f3': 'another', 'd3/new': 'new', 'd4/f4': null })
  expect(asked.toSorted()).toEqual([
    'find to/d3/f3',
    'find to/d3/new',
    'list to/',
    'write to/d3/f3',
    'write to/d3/new',
  ])
  expect(Object.keys(world.objects())).toHaveLength(1001)
  expect(world.objects()).toMatchObject({ 'to/d3/f3': 'another', 'to/d4/f4': 'd4/f4' })
})

test('files that are known to be there count as such, from the start', async () => {
  await using world = await ExportingWorld.open('/')
  await exported(world, { a: '1', b: '2', c: '3' })
  const held = Promise.withResolvers<void>()
  world.bucket.write = async () => await held.promise
  const commit = await world.test.commit('in', { c: '4', d: '5' })
  await expect.poll(() => world.reason()).toBe(`exporting to ${egressUrl}: 2 of 4 files there`)
  held.resolve()
  await world.test.flush('in', commit)
})

test('an output that is the same as the last one is not looked at', async () => {
  await using world = await ExportingWorld.open('/')
  await exported(world, { a: '1' })
  const asked = world.listen()
  await world.test.versioning.commits.start({ repo: 'in', branch: 'master' })
  await world.test.versioning.commits.finish('in', 'master')
  await world.ended()
  expect(await world.test.processing.jobs.list('p')).toHaveLength(2)
  expect(asked).toEqual(['list to/'])
})

test('a file that went and comes back is looked at', async () => {
  await using world = await ExportingWorld.open('/')
  await exported(world, { a: '1', b: '1' })
  await exported(world, { a: null })
  world.bucket.objects.delete('to/a')
  const asked = world.listen()
  await exported(world, { a: '1' })
  expect(lookedFor(asked)).toEqual(['a'])
  expect(world.objects()).toEqual({ 'to/a': '1', 'to/b': '1' })
})

test.each(['failed', 'failed, and was deleted', 'was stopped'])(
  'after an export that %s everything is looked at: it may have written over anything',
  async (how) => {
    await using world = await ExportingWorld.open('/')
    await exported(world, { a: '1', b: '1', c: '1' })
    refuse(world, 'to/b', how === 'was stopped' ? away : hopeless)
    await world.test.commit('in', { a: '2', b: '2' })
    await expect.poll(() => world.objects()['to/a']).toBe('2')
    const { jobs } = world.test.processing
    const { id = '' } = (await world.newest()) ?? {}
    if (how === 'was stopped') await jobs.stop(id)
    await world.ended()
    if (how.endsWith('deleted')) await jobs.delete(id)
    const asked = world.listen()
    await exported(world, { a: '1', b: '1' })
    expect(world.objects()).toEqual({ 'to/a': '1', 'to/b': '1', 'to/c': '1' })
    expect(lookedFor(asked).toSorted()).toEqual(['a', 'b', 'c'])
    const next = world.listen()
    await exported(world, { a: '3' })
    expect(lookedFor(next), 'that one is known again').toEqual(['a'])
  },
)

test('a job whose datums failed has begun no export, and the next one goes by the last that did', async () => {
  await using world = await ExportingWorld.open('/')
  await exported(world, { a: '1', b: '1' })
  await world.test.commit('in', { a: 'bad' })
  expect(await world.ended()).toMatchObject({ state: 'failure' })
  const asked = world.listen()
  await exported(world, { a: '2' })
  expect(lookedFor(asked)).toEqual(['a'])
})

test('an export goes on after a restart with the files that differ from the last job', async () => {
  await using world = await ExportingWorld.open('/')
  await exported(world, { a: '1', b: '1', c: '1' })
  refuse(world, 'to/b', away)
  const commit = await world.test.commit('in', { a: '2', b: '2' })
  await expect.poll(() => world.reason()).toMatch(/retrying/)
  await world.test.restart()
  const asked = world.listen()
  await world.test.flush('in', commit)
  expect(new Set(lookedFor(asked))).toEqual(new Set(['a', 'b']))
  expect(asked.filter((call) => call.startsWith('write'))).toEqual(['write to/b'])
  expect(world.objects()).toEqual({ 'to/a': '2', 'to/b': '2', 'to/c': '1' })
})

test.each([false, true])(
  'after an update everything is looked at (reprocess: %j)',
  async (reprocess) => {
    await using world = await ExportingWorld.open('/')
    await exported(world, { a: '1', b: '1' })
    world.bucket.objects.delete('to/b')
    await update(world, { reprocess })
    const asked = world.listen()
    await exported(world, { a: '2' })
    expect(new Set(lookedFor(asked))).toEqual(new Set(['a', 'b']))
    expect(world.objects()).toEqual({ 'to/a': '2', 'to/b': '1' })
  },
)

test('an update during an export has the job look at everything', async () => {
  await using world = await ExportingWorld.open('/')
  await exported(world, { a: '1', b: '1', c: '1' })
  refuse(world, 'to/b', away)
  const commit = await world.test.commit('in', { a: '2', b: '2' })
  await expect.poll(() => world.reason()).toMatch(/retrying/)
  world.test.code('p', () => ({ '/a': '1', '/b': '1', '/c': '1' }))
  await update(world, { reprocess: true })
  world.listen()
  await world.test.flush('in', commit)
  await world.ended()
  expect(world.objects()).toEqual({ 'to/a': '1', 'to/b': '1', 'to/c': '1' })
})

test('a job that was deleted leaves what is known; so does not a commit', async () => {
  await using world = await ExportingWorld.open('/')
  await exported(world, { a: '1', b: '1', c: '1' })
  await world.test.processing.jobs.delete((await world.newest())?.id ?? '')
  const asked = world.listen()
  const commit = await world.test.commit('in', { a: '2', b: '2' })
  await world.test.flush('in', commit)
  expect(lookedFor(asked).toSorted()).toEqual(['a', 'b'])
  // With its output; a job makes that of the commit before again, since its job is gone.
  await world.test.versioning.deletions.delete([{ repo: 'in', commit }], { dryRun: false })
  const next = world.listen()
  await exported(world, { a: '3' })
  expect(new Set(lookedFor(next))).toEqual(new Set(['a', 'b', 'c']))
  expect(world.objects()).toEqual({ 'to/a': '3', 'to/b': '1', 'to/c': '1' })
})

test('at another endpoint, everything is looked at', async () => {
  await using world = await ExportingWorld.open('/')
  await exported(world, { a: '1', b: '1' })
  world.bucket.endpoint = 'https://elsewhere'
  const asked = world.listen()
  await exported(world, { a: '2' })
  expect(lookedFor(asked).toSorted()).toEqual(['a', 'b'])
})

test('a bucket that was emptied is filled again, also when the server is stopped meanwhile', async () => {
  await using world = await ExportingWorld.open('/')
  await exported(world, { a: '1', b: '1', c: '1' })
  world.bucket.objects.clear()
  refuse(world, 'to/b', away)
  const commit = await world.test.commit('in', { a: '2' })
  await expect.poll(() => world.reason()).toMatch(/retrying/)
  await world.test.restart()
  world.listen()
  await world.test.flush('in', commit)
  expect(world.objects()).toEqual({ 'to/a': '2', 'to/b': '1', 'to/c': '1' })
})

test('run-pipeline looks at everything, also over older commits; the next job goes by what it wrote', async () => {
  await using world = await ExportingWorld.open('/')
  const first = await world.test.commit('in', { a: '1', b: '1', c: '1' })
  await world.test.flush('in', first)
  await exported(world, { a: '2' })
  world.bucket.objects.delete('to/c')
  const { jobs, pipelines } = world.test.processing
  const asked = world.listen()
  const job = await pipelines.run('p', [{ repo: 'in', commit: first }])
  expect(await jobs.waitForEnd(job, signal)).toMatchObject({ state: 'success' })
  expect(lookedFor(asked).toSorted()).toEqual(['a', 'b', 'c'])
  expect(world.objects()).toEqual({ 'to/a': '1', 'to/b': '1', 'to/c': '1' })
  const next = world.listen()
  await exported(world, { b: '2' })
  expect(lookedFor(next).toSorted(), 'from commit 1 to commit 3').toEqual(['a', 'b'])
  expect(world.objects()).toEqual({ 'to/a': '2', 'to/b': '2', 'to/c': '1' })
})

test('a pipeline that was deleted leaves nothing that another of its name goes by', async () => {
  await using world = await ExportingWorld.open('/')
  await exported(world, { a: '1', b: '1' })
  await world.test.processing.pipelines.delete('p', { deleteJobs: false, deleteRepo: false })
  const rows = await world.test.database.read((tx) => tx.all('SELECT * FROM exported_outputs'))
  expect(rows).toEqual([])
  await world.test.pipeline('p', atom('in', '/'), { egressUrl })
  await world.ended()
  const asked = world.listen()
  await exported(world, { a: '2' })
  expect(lookedFor(asked)).toEqual(['a'])
})
