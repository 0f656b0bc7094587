import { expect, test } from 'vitest'
import { NotFoundError, UnavailableError } from '../base/errors.ts'
import { doublings, egressUrl, ExportingWorld } from '../testing/exporting-world.ts'

const { signal } = new AbortController()
const away = new UnavailableError('cannot write s3://memory/to: ECONNREFUSED')

test('an output is exported before its job succeeds; what it does not have any more stays there', async () => {
  await using world = await ExportingWorld.open()
  const { test: processing, bucket } = world
  let hadOutput: Promise<boolean> | undefined
  bucket.onCall = (call) => (call === 'write' ? (hadOutput ??= world.hasOutput()) : undefined)
  await processing.flush('in', await processing.commit('in', { a: '1', 'd/b': '2' }))
  expect(world.objects()).toEqual({ 'to/a': '1', 'to/d/b': '2' })
  expect(await hadOutput).toBe(false)
  expect(await world.newest()).toMatchObject({ state: 'success', reason: '' })
  bucket.written.length = 0
  await processing.flush('in', await processing.commit('in', { a: null, c: '3' }))
  expect(bucket.written, 'only what changed').toEqual(['to/c'])
  expect(world.objects()).toEqual({ 'to/a': '1', 'to/c': '3', 'to/d/b': '2' })
  expect(await processing.files('p', 'master')).toEqual({ '/c': '3', '/d/b': '2' })
})

test('a job that failed exports nothing', async () => {
  await using world = await ExportingWorld.open()
  await world.test.commit('in', { a: '1', b: 'bad' })
  expect(await world.ended()).toMatchObject({ state: 'failure' })
  expect(world.objects()).toEqual({})
})

test('an export that fails is tried again alone, and the job says why it still runs', async () => {
  await using world = await ExportingWorld.open()
  world.fail(away)
  const commit = await world.test.commit('in', { a: '1' })
  await expect
    .poll(() => world.reason())
    .toMatch(/^exporting to s3:\/\/memory\/to: .*ECONNREFUSED \(retrying\)$/)
  expect(await world.newest()).toMatchObject({ state: 'running', counts: { processed: 1 } })
  expect(await world.hasOutput()).toBe(false)
  world.fail(undefined)
  await world.test.flush('in', commit)
  expect(world.test.ran, 'no datum ran again').toEqual(['in:/a'])
  expect(world.objects()).toEqual({ 'to/a': '1' })
  expect(await world.newest()).toMatchObject({ state: 'success', reason: '', restartCount: 0 })
})

test('pauses grow up to a minute, and an export that gets nowhere fails its job', async () => {
  await using world = await ExportingWorld.open()
  world.fail(away)
  await world.test.commit('in', { a: '1' })
  expect(await world.ended()).toMatchObject({
    state: 'failure',
    reason: `the output could not be exported to ${egressUrl}: ${away.message} (tried 20 times)`,
  })
  expect(world.pauses()).toEqual(doublings)
  expect(Math.max(...world.clock.slept)).toBeLessThanOrEqual(90_000)
  expect(await world.hasOutput()).toBe(false)
})

test('an export that gets on is not given up, however often it fails', async () => {
  await using world = await ExportingWorld.open()
  const names = Array.from({ length: 250 }, (_, index) => `f${index}`)
  let failedAt = 0
  // A write fails whenever something has been written since the last failure.
  world.bucket.onCall = (call) => {
    const { length } = world.bucket.written
    if (call !== 'write' || length === failedAt) return
    failedAt = length
    throw away
  }
  const files = Object.fromEntries(names.map((name) => [name, name]))
  await world.test.flush('in', await world.test.commit('in', files))
  expect(Object.keys(world.objects())).toHaveLength(names.length)
  expect(new Set(world.bucket.written).size, 'each is written once').toBe(
    world.bucket.written.length,
  )
})

test('an export goes on after a restart: no datum runs again, nor is written what is there', async () => {
  await using world = await ExportingWorld.open()
  world.bucket.onCall = (call, key) => {
    if (call === 'write' && key === 'to/b') throw away
  }
  const commit = await world.test.commit('in', { a: '1', b: '2' })
  await expect.poll(() => world.reason()).toMatch(/retrying/)
  await world.test.restart()
  await expect.poll(() => world.reason()).toMatch(/retrying/)
  world.fail(undefined)
  await world.test.flush('in', commit)
  expect(world.test.ran.toSorted()).toEqual(['in:/a', 'in:/b'])
  expect(world.bucket.written).toEqual(['to/a', 'to/b'])
  expect(await world.newest()).toMatchObject({ state: 'success', restartCount: 1 })
})

test('a hopeless export fails its job at once; the next one, which works, processes nothing anew', async () => {
  await using world = await ExportingWorld.open()
  world.fail(new NotFoundError('cannot write s3://memory/to: not found (NoSuchBucket)'))
  const commit = await world.test.commit('in', { a: '1' })
  await expect(world.test.flush('in', commit)).rejects.toThrow(
    /job \S+ of pipeline p failed: the output could not be exported to s3:\/\/memory\/to: cannot write s3:\/\/memory\/to: not found \(NoSuchBucket\)$/,
  )
  expect(world.pauses()).toEqual([])
  expect(await world.hasOutput()).toBe(false)
  world.fail(undefined)
  await world.test.flush('in', await world.test.commit('in', { b: '2' }))
  expect(world.test.ran).toEqual(['in:/a', 'in:/b'])
  expect(world.objects()).toEqual({ 'to/a': '1', 'to/b': '2' })
})

test.each([
  ['stop-job', 'killed'],
  ['delete-pipeline', 'killed'],
  ['stop-pipeline', 'running'],
] as const)('%s interrupts an export', async (what, state) => {
  await using world = await ExportingWorld.open()
  const begun = Promise.withResolvers<void>()
  let stopped = false
  // A store that answers when it is told that nobody waits.
  world.bucket.write = async (_object, stop?: AbortSignal) => {
    begun.resolve()
    await new Promise<void>((resolve) => stop?.addEventListener('abort', () => resolve()))
    stopped = true
    throw stop?.reason
  }
  await world.test.commit('in', { a: '1' })
  await begun.promise
  const { id = '' } = (await world.newest()) ?? {}
  expect((await world.newest())?.reason).toBe(`exporting to ${egressUrl}: 0 of 1 file there`)
  const { jobs, pipelines } = world.test.processing
  if (what === 'stop-job') await jobs.stop(id)
  if (what === 'stop-pipeline') await pipelines.stop('p')
  if (what === 'delete-pipeline') {
    await pipelines.delete('p', { deleteJobs: false, deleteRepo: false })
  }
  await expect.poll(() => stopped).toBe(true)
  expect((await jobs.inspect(id)).state).toBe(state)
  expect(world.objects()).toEqual({})
})

test('run-pipeline exports again', async () => {
  await using world = await ExportingWorld.open()
  await world.test.flush('in', await world.test.commit('in', { a: '1' }))
  world.bucket.objects.clear()
  const { jobs, pipelines } = world.test.processing
  const job = await pipelines.run('p', [])
  expect(await jobs.waitForEnd(job, signal)).toMatchObject({ state: 'success' })
  expect(world.objects()).toEqual({ 'to/a': '1' })
  expect(world.test.ran).toEqual(['in:/a'])
})
