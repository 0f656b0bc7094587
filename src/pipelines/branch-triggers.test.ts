import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesSumMax } from '../base/byte-sums.ts'
import { utf8 } from '../base/bytes.ts'
import { exactSizeText } from '../base/sizes.ts'
import { HeldClock } from '../testing/held-clock.ts'
import {
  atom,
  failDatum,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import type { Operation } from '../versioning/operations.ts'
import type { RequestedTrigger } from './branch-triggers.ts'
import type { RequestedInput } from './requested-specs.ts'

const none: RequestedTrigger = { branch: 'master', all: false, size: '', commits: 0, cronSpec: '' }
/** More than one slice of a history. */
const longCount = 120
const minuteMs = 60_000
/** 2023-11-14 22:00:00 UTC. */
const start = 1_699_999_200_000_000

async function openRepo(clock?: HeldClock): Promise<TestProcessing> {
  const world = await openTestProcessing(undefined, clock === undefined ? {} : { clock })
  await world.versioning.repos.create({ name: 'in' })
  return world
}

async function headOf(world: TestProcessing, branch: string): Promise<string | undefined> {
  const branches = await world.versioning.branches.list('in')
  return branches.find(({ name }) => String(name) === branch)?.head
}

async function follow(
  world: TestProcessing,
  branch: string,
  trigger: Partial<RequestedTrigger>,
): Promise<void> {
  await world.processing.branchTriggers.set('in', branch, { ...none, ...trigger })
}

/** A commit that adds a file of so many bytes. */
function add(file: string, bytes: number): readonly Operation[] {
  return [
    { kind: 'start-commit', repo: 'in', branch: 'master' },
    {
      kind: 'put-file',
      repo: 'in',
      commit: 'master',
      path: `/${file}`,
      bytes: utf8('x'.repeat(bytes)),
      overwrite: true,
    },
    { kind: 'finish-commit', repo: 'in', commit: 'master' },
  ]
}

/** An atom that is read through a trigger. */
function triggered(repo: string, trigger: Partial<RequestedTrigger>): RequestedInput {
  return { atom: { ...atom(repo, '/*').atom, trigger: { ...none, branch: '', ...trigger } } }
}

interface Line {
  readonly parent: Line | undefined
  readonly bytes: number
  id: string
}

/** What the line of one commit has and that of another has not. */
function beyond(head: Line | undefined, other: Line | undefined): readonly Line[] {
  const seen = new Set<Line>()
  for (let line = other; line !== undefined; line = line.parent) seen.add(line)
  const found: Line[] = []
  for (let line = head; line !== undefined && !seen.has(line); line = line.parent) found.push(line)
  return found
}

const change = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('add' as const),
      sizes: fc.array(fc.nat(40), { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('back' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('by-hand' as const), pick: fc.nat() }) },
)

test('a branch moves whenever what came since it moved is enough, and not before', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { minLength: 1, maxLength: 12 }),
      fc.nat(90),
      fc.nat(4),
      fc.boolean(),
      async (changes, size, commits, all) => {
        if (size === 0 && commits === 0) return
        await using world = await openRepo()
        const { versioning } = world
        await follow(world, 'staging', { size: size === 0 ? '' : String(size), commits, all })
        const known: Line[] = []
        let master: Line | undefined
        let staging: Line | undefined
        const look = (): void => {
          const added = beyond(master, staging)
          const bytes = added.reduce((sum, one) => sum + one.bytes, 0)
          const conditions = [
            ...(size === 0 ? [] : [bytes >= size]),
            ...(commits === 0 ? [] : [added.length >= commits]),
          ]
          const holds = all ? conditions.every(Boolean) : conditions.some(Boolean)
          if (added.length > 0 && holds) staging = master
        }
        for (const one of changes) {
          if (one.kind === 'add') {
            const steps: Operation[] = []
            for (const bytes of one.sizes) {
              master = { parent: master, bytes, id: '' }
              known.push(master)
              steps.push(...add(`f${known.length}`, bytes))
            }
            // All at one instant: the branch hears of the last.
            await versioning.transactions.run(steps)
            const line = (
              await Array.fromAsync(versioning.commits.list({ repo: 'in', to: 'master' }))
            ).values()
            for (let made = master; made?.id === ''; made = made.parent) {
              made.id = line.next().value?.id ?? ''
            }
            look()
          } else if (one.kind === 'back' && master?.parent !== undefined) {
            master = master.parent
            await versioning.branches.set('in', 'master', master.id)
            look()
          } else if (one.kind === 'by-hand' && known.length > 0) {
            staging = known[one.pick % known.length]
            await versioning.branches.set('in', 'staging', staging?.id ?? '')
          }
          expect(await headOf(world, 'staging')).toBe(staging?.id)
        }
      },
    ),
    { numRuns: 40 },
  )
})

test('commits that have been deleted count no more', async () => {
  await using world = await openRepo()
  await follow(world, 'staging', { commits: 4, size: '40', all: true })
  const { deletions, transactions } = world.versioning
  for (const file of ['a', 'b', 'c']) await transactions.run(add(file, 10))
  const { id } = await world.versioning.commits.inspect('in', 'master~1')
  await deletions.delete([{ repo: 'in', commit: id }], { dryRun: false })
  const [[trigger] = []] = await Array.fromAsync(world.processing.branchTriggers.pages('in'))
  expect(trigger).toMatchObject({ addedCount: 2, addedBytes: 20 })
  await transactions.run(add('d', 10))
  expect(await headOf(world, 'staging')).toBeUndefined()
  await transactions.run(add('e', 10))
  expect(await headOf(world, 'staging')).toBe(await headOf(world, 'master'))
})

test('what the branch has already counts no more when the followed branch was set back', async () => {
  await using world = await openRepo()
  await follow(world, 'staging', { commits: 1 })
  const { branches, commits, transactions } = world.versioning
  for (const file of ['a', 'b', 'c']) await transactions.run(add(file, 10))
  const head = await headOf(world, 'staging')
  for (const name of ['master~2', `${head}~1`]) {
    const { id } = await commits.inspect('in', name)
    await branches.set('in', 'master', id)
    expect(await headOf(world, 'staging')).toBe(head)
  }
  await transactions.run(add('d', 10))
  expect(await headOf(world, 'staging')).toBe(await headOf(world, 'master'))
})

test('a chain of branches moves in the transaction that finishes the commit, with the jobs that follow', async () => {
  await using world = await openRepo()
  world.code('up', (files) => Object.fromEntries(files))
  await follow(world, 'staging', { commits: 2 })
  await follow(world, 'production', { branch: 'staging', commits: 1 })
  await world.processing.pipelines.create({
    name: 'up',
    transform: transform('up'),
    input: { atom: { ...atom('in', '/').atom, branch: 'production' } },
  })
  await world.commit('in', { a: '1' })
  expect(await headOf(world, 'production')).toBeUndefined()
  const second = await world.commit('in', { b: '2' })
  expect(await headOf(world, 'staging')).toBe(second)
  expect(await headOf(world, 'production')).toBe(second)
  const [job] = await world.processing.jobs.list('up')
  expect(job?.trigger).toMatchObject({ branch: 'production', commit: second })
  await world.flush('in', second)
})

test('a branch moves when its clock ticks, if there is something new; a missed tick counts once', async () => {
  const clock = new HeldClock(start)
  await using world = await openRepo(clock)
  await follow(world, 'hourly', { cronSpec: '@hourly' })
  const first = await world.commit('in', { a: '1' })
  expect(await headOf(world, 'hourly')).toBeUndefined()
  await expect.poll(() => clock.sleeperCount).toBeGreaterThan(0)
  const pass = async (minutes: number): Promise<void> => {
    for (let count = 0; count < minutes; count += 1) {
      clock.advance(minuteMs)
      await expect.poll(() => clock.sleeperCount).toBeGreaterThan(0)
    }
  }
  await pass(59)
  expect(await headOf(world, 'hourly')).toBeUndefined()
  clock.advance(minuteMs)
  await expect.poll(async () => await headOf(world, 'hourly')).toBe(first)
  clock.advance(60 * minuteMs)
  await expect.poll(async () => await lastTick(world)).toBe(start + 120 * minuteMs * 1000)
  // That tick found nothing: what comes now waits for the next.
  const second = await world.commit('in', { a: '2' })
  expect(await headOf(world, 'hourly')).toBe(first)
  await world.processing.ticker[Symbol.asyncDispose]()
  clock.advance(10 * 60 * minuteMs)
  await world.restart()
  await expect.poll(async () => await headOf(world, 'hourly')).toBe(second)
  expect(await lastTick(world)).toBe(start + 720 * minuteMs * 1000)
})

async function lastTick(world: TestProcessing): Promise<number | undefined> {
  const [page] = await Array.fromAsync(world.processing.branchTriggers.pages('in'))
  return page?.[0]?.lastTick
}

test('where all conditions must hold, a tick waits for the commits, and commits for a tick', async () => {
  const clock = new HeldClock(start)
  await using world = await openRepo(clock)
  await follow(world, 'both', { cronSpec: '@hourly', commits: 2, all: true })
  const ticked = async (): Promise<boolean | undefined> => {
    const [page] = await Array.fromAsync(world.processing.branchTriggers.pages('in'))
    return page?.[0]?.hasTicked
  }
  await world.commit('in', { a: '1' })
  await expect.poll(() => clock.sleeperCount).toBeGreaterThan(0)
  clock.advance(60 * minuteMs)
  await expect.poll(ticked).toBe(true)
  expect(await headOf(world, 'both')).toBeUndefined()
  const second = await world.commit('in', { a: '2' })
  expect(await headOf(world, 'both')).toBe(second)
  expect(await ticked()).toBe(false)
  await world.commit('in', { a: '3' })
  const fourth = await world.commit('in', { a: '4' })
  expect(await headOf(world, 'both')).toBe(second)
  await expect.poll(() => clock.sleeperCount).toBeGreaterThan(0)
  clock.advance(60 * minuteMs)
  await expect.poll(async () => await headOf(world, 'both')).toBe(fourth)
})

test('a pipeline reads through a trigger of its spec, over what was there and what comes', async () => {
  await using world = await openRepo()
  world.code('up', (files) => ({ '/n': String([...files.keys()].length) }))
  await world.commit('in', { a: '1', b: '2' })
  const input = triggered('in', { commits: 2 })
  await world.processing.pipelines.create({ name: 'up', transform: transform('up'), input })
  expect(await world.processing.jobs.list('up')).toEqual([])
  const second = await world.commit('in', { c: '3' })
  await world.flush('in', second)
  const third = await world.commit('in', { d: '4' })
  expect(await world.processing.jobs.list('up')).toHaveLength(1)
  expect(await headOf(world, 'up-trigger')).toBe(second)
  await expect(world.versioning.branches.delete('in', 'up-trigger')).rejects.toThrow(
    'belongs to the trigger in the spec of pipeline up',
  )
  await expect(follow(world, 'up-trigger', { commits: 1 })).rejects.toThrow('pipeline up')
  const sooner = triggered('in', { commits: 1 })
  await world.processing.pipelines.update(
    { name: 'up', transform: transform('up'), input: sooner },
    { reprocess: false },
  )
  await world.flush('in', third)
  expect(await headOf(world, 'up-trigger')).toBe(third)
  const plain = atom('in', '/*')
  await world.processing.pipelines.update(
    { name: 'up', transform: transform('up'), input: plain },
    { reprocess: false },
  )
  expect(await headOf(world, 'up-trigger')).toBeUndefined()
  expect(await Array.fromAsync(world.processing.branchTriggers.pages(''))).toEqual([])
  await world.processing.pipelines.update(
    { name: 'up', transform: transform('up'), input: sooner },
    { reprocess: false },
  )
  expect(await headOf(world, 'up-trigger')).toBe(third)
  // Of commits that were there before, the head is read, and not those that the branch has skipped.
  world.code('late', () => ({}))
  await world.pipeline('late', sooner)
  await world.flush('in', third)
  expect(await world.processing.jobs.list('late')).toHaveLength(1)
  await world.processing.pipelines.delete('late', { deleteJobs: true, deleteRepo: true })
  await world.processing.pipelines.delete('up', { deleteJobs: true, deleteRepo: true })
  expect(await headOf(world, 'up-trigger')).toBeUndefined()
  expect(await Array.fromAsync(world.processing.branchTriggers.pages(''))).toEqual([])
})

test('what has come is counted up to the largest size that is stored, and commits are finished', async () => {
  await using world = await openRepo()
  await world.commit('in', { a: '1' })
  await follow(world, 'late', { size: exactSizeText(bytesSumMax), commits: 4, all: true })
  await world.commit('in', { b: '2' })
  // As if that commit had brought so much.
  await world.database.transact((tx) =>
    tx.run('UPDATE branch_triggers SET added_bytes = ?', bytesSumMax),
  )
  const counted = async () => {
    const pages = await Array.fromAsync(world.processing.branchTriggers.pages('in'))
    return pages.flat().map(({ addedBytes, addedCount }) => [addedBytes, addedCount])
  }
  expect(await counted()).toEqual([[bytesSumMax, 2]])
  await world.commit('in', { c: '3' })
  expect(await counted()).toEqual([[bytesSumMax, 3]])
  const last = await world.commit('in', { d: '4' })
  expect(await headOf(world, 'late')).toBe(last)
})

test('triggers that cannot work are refused, and change nothing', async () => {
  await using world = await openRepo()
  world.code('up', () => ({}))
  await world.pipeline('up', atom('in', '/*'))
  const refused = async (branch: string, trigger: Partial<RequestedTrigger>, reason: string) => {
    await expect(follow(world, branch, trigger)).rejects.toThrow(reason)
  }
  await refused('x', {}, 'a trigger needs a condition')
  await refused('x', { commits: -1 }, 'cannot wait for -1 commits')
  await refused('x', { size: 'big' }, 'the size "big" of a trigger makes no sense')
  await refused('x', { size: '0' }, 'makes no sense')
  await refused('x', { cronSpec: 'often' }, 'Expected 5 to 6 fields')
  await refused('x', { cronSpec: '0 0 0 31 2 *' }, 'never ticks')
  await refused('master', { commits: 1 }, 'in a circle: master ← master')
  await refused('a b/c', { commits: 1 }, 'invalid')
  await follow(world, 'b', { branch: 'a', commits: 1 })
  await follow(world, 'c', { branch: 'b', commits: 1 })
  await refused('a', { branch: 'c', commits: 1 }, 'in a circle: a ← c ← b ← a')
  const own = { ...none, commits: 1 }
  await expect(world.processing.branchTriggers.set('up', 'master', own)).rejects.toThrow(
    'branch master of repo up is written by pipeline up',
  )
  await expect(world.processing.branchTriggers.set('no', 'x', own)).rejects.toThrow('not found')
  const two = {
    cross: [triggered('in', { commits: 1 }), { atom: { ...atom('in', '/a').atom, name: 'a' } }],
  }
  const spec = { name: 'two', transform: transform('up'), input: two }
  await expect(world.processing.pipelines.create(spec)).rejects.toThrow('different branches')
  const empty = { ...spec, input: triggered('in', {}) }
  await expect(world.processing.pipelines.create(empty)).rejects.toThrow(
    'pipeline two: input in: a trigger needs a condition',
  )
  const [page = []] = await Array.fromAsync(world.processing.branchTriggers.pages(''))
  expect(page.map(({ branch, source }) => `${branch} ← ${source}`)).toEqual(['b ← a', 'c ← b'])
  await world.versioning.branches.delete('in', 'b')
  await world.versioning.repos.delete('in', { force: true })
  expect(await Array.fromAsync(world.processing.branchTriggers.pages(''))).toEqual([])
})

test.each([
  ['10', 10],
  ['1B', 1],
  ['2kB', 2000],
  ['2KB', 2000],
  ['3MB', 3_000_000],
  ['3M', 3_000_000],
  ['1GiB', 2 ** 30],
  ['1Gi', 2 ** 30],
])('the size %s is %d bytes', async (size, bytes) => {
  await using world = await openRepo()
  await follow(world, 'x', { size })
  const [page = []] = await Array.fromAsync(world.processing.branchTriggers.pages('in'))
  expect(page[0]?.sizeBytes).toBe(bytes)
})

/** Pipelines `b`, whose code waits, and `d`, which reads `in` through a trigger beside `b`. */
async function openHeld(): Promise<{
  readonly world: TestProcessing
  readonly release: () => void
  readonly update: () => Promise<void>
  /** What the jobs of `d` read of `in`, oldest first. */
  readonly read: () => Promise<readonly (string | undefined)[]>
}> {
  const world = await openRepo()
  const released = Promise.withResolvers<undefined>()
  world.code('b', async (files) => {
    const texts = [...files.values()]
    if (!texts.includes('1')) await released.promise
    if (texts.includes('bad')) failDatum('it is bad')
    return Object.fromEntries(files)
  })
  world.code('d', (files) => Object.fromEntries(files))
  await world.pipeline('b', atom('in', '/'))
  const input = { cross: [triggered('in', { commits: 1 }), atom('b', '/')] }
  const spec = { name: 'd', transform: transform('d'), input }
  await world.processing.pipelines.create(spec)
  return {
    world,
    release: () => released.resolve(undefined),
    update: async () => await world.processing.pipelines.update(spec, { reprocess: false }),
    read: async () => {
      const jobs = (await world.processing.jobs.list('d')).toReversed()
      return jobs.map(({ inputs }) => inputs.find(({ repo }) => String(repo) === 'in')?.commit)
    },
  }
}

test('an update keeps the commits of a trigger’s branch that wait for others', async () => {
  const { world, release, update, read } = await openHeld()
  await using _ = world
  const first = await world.commit('in', { a: '1' })
  await world.flush('in', first)
  const second = await world.commit('in', { a: '2' })
  const bad = await world.commit('in', { a: 'bad' })
  await update()
  await update()
  release()
  await expect(world.flush('in', bad)).rejects.toThrow('it is bad')
  await world.flush('in', second)
  expect(await read()).toEqual([first, second])
})

test('an update of a stopped pipeline keeps all commits of a trigger’s branch, however many', async () => {
  const { world, release, update, read } = await openHeld()
  await using _ = world
  release()
  await world.processing.pipelines.stop('d')
  const commits: string[] = []
  for (let count = 1; count <= longCount; count += 1) {
    commits.push(await world.commit('in', { a: `${count}` }))
  }
  const ended = async (): Promise<boolean> => {
    const jobs = await world.processing.jobs.list('b')
    return jobs.length === longCount && jobs.every(({ state }) => state === 'success')
  }
  await expect.poll(ended, { timeout: 30_000 }).toBe(true)
  await update()
  // More than a slice of the history: what comes meanwhile, and a second update, change nothing of it.
  const last = await world.commit('in', { a: 'last' })
  await update()
  await world.flush('in', last)
  expect(await read()).toEqual([...commits, last])
})
