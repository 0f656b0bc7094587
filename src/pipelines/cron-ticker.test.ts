import { expect, test, vi } from 'vitest'
import { HeldClock } from '../testing/held-clock.ts'
import { openTestProcessing, type TestProcessing } from '../testing/test-processing.ts'
import type { RequestedInput } from './requested-specs.ts'

const micros = 1000
const minuteMs = 60_000
const start: number = Date.parse('2026-01-01T00:00:00Z') * micros

const patience = { timeout: 60_000, interval: 5 }

function cron(
  spec: string,
  more: { name?: string; repo?: string; missedTicks?: string; start?: number } = {},
): RequestedInput {
  const { name = 'tick', repo = '', missedTicks = '' } = more
  return { cron: { name, repo, spec, start: more.start, timeZone: '', missedTicks } }
}

interface CronWorld extends AsyncDisposable {
  readonly world: TestProcessing
  readonly clock: HeldClock
}

/** A world whose clock stands still; the code `up` writes what it finds. */
async function open(): Promise<CronWorld> {
  const clock = new HeldClock(start)
  const world = await openTestProcessing(undefined, { clock })
  world.code('up', (files) => ({ seen: [...files].join(' ') }))
  return { world, clock, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() }
}

/** The texts in `time` of a repo's commits, oldest first. */
async function ticksIn({ versioning }: TestProcessing, repo: string): Promise<string[]> {
  const found: string[] = []
  for await (const { id, state } of versioning.commits.list({ repo })) {
    expect(state.kind).toBe('finished')
    const { bytes } = await versioning.files.read({ repo, commit: id, path: '/time' })
    found.unshift(Buffer.concat(await Array.fromAsync(bytes)).toString())
  }
  return found
}

/** Waits until the repo has as many ticks, and returns them. */
async function untilTicks(world: TestProcessing, repo: string, count: number): Promise<string[]> {
  return await vi.waitFor(async () => {
    const found = await ticksIn(world, repo)
    expect(found.length).toBeGreaterThanOrEqual(count)
    return found
  }, patience)
}

async function untilRecentError(world: TestProcessing, text: RegExp): Promise<void> {
  await vi.waitFor(async () => await expectRecentError(world, text), patience)
}

async function expectRecentError(world: TestProcessing, text: RegExp): Promise<void> {
  const { recentError } = await world.processing.pipelines.inspect('up')
  expect(recentError).toMatch(text)
}

/** Each look is a second later: a tick that could not be made, also just now, is tried again after a pause. */
async function untilTicking({ world, clock }: CronWorld): Promise<void> {
  await vi.waitFor(async () => {
    clock.advance(1000)
    await expectRecentError(world, /^$/)
  }, patience)
}

test('a tick is a commit of the time, made when it has come, and starts a job', async () => {
  await using cronWorld = await open()
  const { world, clock } = cronWorld
  await world.pipeline('up', cron('0 */10 * * * *'))
  const repo = await world.versioning.repos.inspect('up_tick')
  expect(repo.provenance).toEqual([])
  clock.advance(9 * minuteMs)
  clock.advance(minuteMs - 1)
  expect(await ticksIn(world, 'up_tick')).toEqual([])
  clock.advance(1)
  expect(await untilTicks(world, 'up_tick', 1)).toEqual(['"2026-01-01T00:10:00Z"'])
  const head = await world.versioning.commits.inspect('up_tick', 'master')
  await world.flush('up_tick', head.id)
  expect(await world.files('up', 'master')).toEqual({
    '/seen': 'tick/time,"2026-01-01T00:10:00Z"',
  })
  const [job] = await world.processing.jobs.list('up')
  expect(job?.inputs).toEqual([{ repo: 'up_tick', branch: 'master', commit: head.id }])
})

test('ticks that were missed are made one after the other, also after a restart', async () => {
  await using cronWorld = await open()
  const { world, clock } = cronWorld
  await world.pipeline('up', cron('@every 1m'))
  clock.advance(minuteMs)
  await untilTicks(world, 'up_tick', 1)
  await world.processing.pipelines.stop('up')
  clock.advance(3 * minuteMs)
  await world.restart()
  await world.processing.pipelines.start('up')
  expect(await untilTicks(world, 'up_tick', 4)).toEqual([
    '"2026-01-01T00:01:00Z"',
    '"2026-01-01T00:02:00Z"',
    '"2026-01-01T00:03:00Z"',
    '"2026-01-01T00:04:00Z"',
  ])
})

test('of missed ticks the latest alone is made, or none, where the input says so', async () => {
  await using cronWorld = await open()
  const { world, clock } = cronWorld
  world.code('none', () => ({}))
  await world.pipeline('up', cron('@every 1m', { missedTicks: 'latest' }))
  await world.pipeline('none', cron('@every 1m', { missedTicks: 'none' }))
  for (const name of ['up', 'none']) await world.processing.pipelines.stop(name)
  clock.advance(10 * minuteMs + 30_000)
  for (const name of ['up', 'none']) await world.processing.pipelines.start(name)
  expect(await untilTicks(world, 'up_tick', 1)).toEqual(['"2026-01-01T00:10:00Z"'])
  // A tick that is less than a minute late has not been missed.
  expect(await untilTicks(world, 'none_tick', 1)).toEqual(['"2026-01-01T00:10:00Z"'])
  clock.advance(30_000)
  expect(await untilTicks(world, 'up_tick', 2)).toHaveLength(2)
  expect(await untilTicks(world, 'none_tick', 2)).toHaveLength(2)
})

test('the next tick follows from the file in the repo, which people may write', async () => {
  await using cronWorld = await open()
  const { world, clock } = cronWorld
  await world.versioning.repos.create({ name: 'times' })
  await world.commit('times', { time: '"2026-01-01T05:00:00Z"' })
  await world.pipeline('up', cron('@hourly', { repo: 'times' }))
  clock.advance(4 * 60 * minuteMs)
  clock.advance(2 * 60 * minuteMs)
  const found = await untilTicks(world, 'times', 2)
  expect(found).toEqual(['"2026-01-01T05:00:00Z"', '"2026-01-01T06:00:00Z"'])
})

test('a time that nobody can read makes no ticks, and the pipeline says so until it is mended', async () => {
  await using cronWorld = await open()
  const { world, clock } = cronWorld
  await world.versioning.repos.create({ name: 'times' })
  await world.commit('times', { time: 'no time at all' })
  await world.pipeline('up', cron('@hourly', { repo: 'times' }))
  clock.advance(60 * minuteMs)
  const trouble =
    /^cron input tick cannot tick: times@master:\/time holds "no time at all", which is no time of a tick: put one there, such as "1970-01-01T00:00:00Z" with its quotes, or delete the file/
  await untilRecentError(world, trouble)
  expect(await ticksIn(world, 'times')).toHaveLength(1)
  expect(world.errors.splice(0)).toHaveLength(1)
  await world.restart()
  await world.commit('times', { time: '"2026-01-01T00:00:00Z"' })
  await untilTicking(cronWorld)
  expect((await untilTicks(world, 'times', 3))[2]).toBe('"2026-01-01T01:00:00Z"')
  world.errors.splice(0)
})

test('a commit that somebody left open is named where people look, as long as it is in the way', async () => {
  await using cronWorld = await open()
  const { world, clock } = cronWorld
  await world.pipeline('up', cron('@hourly'))
  const { commits } = world.versioning
  const { id } = await commits.start({ repo: 'up_tick', branch: 'master' })
  clock.advance(60 * minuteMs)
  await untilRecentError(
    world,
    new RegExp(
      `^cron input tick cannot tick: parent commit ${id} has not been finished; finish it`,
    ),
  )
  await commits.finish('up_tick', id)
  await untilTicking(cronWorld)
  expect(world.errors.splice(0)).toHaveLength(1)
})

test('an input that starts in the past ticks from there, and one in the future waits', async () => {
  await using cronWorld = await open()
  const { world, clock } = cronWorld
  world.code('late', () => ({}))
  const hour = 3_600_000_000
  await world.pipeline('late', cron('@daily', { start: start + 48 * hour }))
  await world.pipeline('up', cron('@hourly', { start: start - 2 * hour - 1 }))
  expect(await untilTicks(world, 'up_tick', 3)).toEqual([
    '"2025-12-31T22:00:00Z"',
    '"2025-12-31T23:00:00Z"',
    '"2026-01-01T00:00:00Z"',
  ])
  clock.advance(60 * minuteMs)
  await untilTicks(world, 'up_tick', 4)
  expect(await ticksIn(world, 'late_tick')).toEqual([])
  const { pipelines } = world.processing
  expect((await pipelines.inspect('up')).notices).toEqual([
    expect.stringMatching(
      /^cron input tick starts in the past, at 2025-12-31T21:59:59.999Z: each tick/,
    ),
  ])
  expect((await pipelines.inspect('late')).notices).toEqual([])
})

test('a tick is beside what else a pipeline reads, and an update goes on from the last tick', async () => {
  await using cronWorld = await open()
  const { world, clock } = cronWorld
  await world.versioning.repos.create({ name: 'in' })
  const atom = {
    atom: { name: '', repo: 'in', branch: '', glob: '/*', lazy: false, fromCommit: '' },
  }
  const input = { cross: [atom, cron('@hourly')] }
  await world.pipeline('up', input)
  await world.commit('in', { a: 'one' })
  clock.advance(60 * minuteMs)
  await untilTicks(world, 'up_tick', 1)
  await world.flush('up_tick', (await world.versioning.commits.inspect('up_tick', 'master')).id)
  expect(world.ran).toEqual(['tick:/time in:/a'])
  const [pipeline] = await world.processing.pipelines.list()
  await world.processing.pipelines.update(
    { name: 'up', input, transform: pipeline && transformOf(pipeline.spec.transform.command) },
    { reprocess: false },
  )
  clock.advance(60 * minuteMs)
  expect(await untilTicks(world, 'up_tick', 2)).toEqual([
    '"2026-01-01T01:00:00Z"',
    '"2026-01-01T02:00:00Z"',
  ])
})

function transformOf(
  command: readonly string[],
): Parameters<TestProcessing['processing']['pipelines']['update']>[0]['transform'] {
  const none = { stdinLines: [], environment: {}, acceptedReturnCodes: [], secrets: [] }
  return { image: '', command, ...none, imagePullSecrets: [], debug: false }
}

test('a pipeline whose cron repo is gone fails as a whole', async () => {
  await using cronWorld = await open()
  const { world, clock } = cronWorld
  await world.pipeline('up', cron('@hourly'))
  await world.versioning.repos.delete('up_tick', { force: true })
  clock.advance(60 * minuteMs)
  await vi.waitFor(async () => {
    expect(await world.processing.pipelines.inspect('up')).toMatchObject({
      state: 'failure',
      recentError: expect.stringContaining('the input repo up_tick has been deleted') as string,
    })
  }, patience)
})

test('whatever people leave in the repo makes way', async () => {
  await using cronWorld = await open()
  const { world, clock } = cronWorld
  world.code('other', () => ({}))
  await world.versioning.repos.create({ name: 'times' })
  await world.commit('times', { 'time/is/a': 'directory' })
  await world.pipeline('up', cron('@hourly', { repo: 'times' }))
  await world.pipeline('other', cron('@hourly'))
  clock.advance(60 * minuteMs)
  await untilTicks(world, 'other_tick', 1)
  const file = { repo: 'times', commit: 'master', path: '/time' }
  const { bytes } = await vi.waitFor(() => world.versioning.files.read(file), patience)
  expect(Buffer.concat(await Array.fromAsync(bytes)).toString()).toBe('"2026-01-01T01:00:00Z"')
})
