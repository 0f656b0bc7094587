import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { HeldClock } from '../testing/held-clock.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'

const start = 1_700_000_000_000_000
const yearMicros = 365 * 86_400 * 1_000_000
const secondMicros = 1_000_000

async function openWorld(clock: HeldClock): Promise<TestVersioning> {
  const world = await openTestVersioning(new MemoryChunkStore(), clock)
  await world.versioning.repos.create({ name: 'r' })
  return world
}

async function put({ versioning }: TestVersioning, path: string): Promise<void> {
  await versioning.writes.put({ repo: 'r', commit: 'master', path }, utf8(path))
}

test('whatever the clock is set to, commits keep their order, and what was put is there', async () => {
  const clock = new HeldClock(start)
  await using world = await openWorld(clock)
  const { commits } = world.versioning
  const ids: string[] = []
  const steps = [0, -yearMicros, yearMicros, -start, 50 * yearMicros, 0]
  for (const [at, step] of steps.entries()) {
    ids.unshift((await commits.start({ repo: 'r', branch: 'master' })).id)
    await put(world, `before-${at}`)
    clock.set(start + step)
    await put(world, `after-${at}`)
    await commits.finish('r', 'master')
  }
  for (const options of [{ repo: 'r' }, { repo: 'r', to: 'master' }]) {
    const listed = await Array.fromAsync(commits.list(options))
    expect(listed.map(({ id }) => id)).toEqual(ids)
  }
  const paths = steps.flatMap((_step, at) => [`/after-${at}`, `/before-${at}`])
  expect(await world.paths('r', 'master')).toEqual(paths.toSorted())
})

test.each([
  ['a year back', -yearMicros],
  ['a second more back than a seal lasts', -31 * secondMicros],
  ['a year ahead', yearMicros],
])(
  'puts do not wait for the seal of somebody who died, once the clock is set %s',
  async (_what, step) => {
    const clock = new HeldClock(start)
    await using world = await openWorld(clock)
    await world.versioning.commits.start({ repo: 'r', branch: 'master' })
    const sealedUntil = clock.now() + 30 * secondMicros
    await world.database.transact((tx) =>
      tx.run('UPDATE commits SET sealed_until = ?', sealedUntil),
    )
    const waiting = put(world, 'waited')
    await expect.poll(() => clock.sleeperCount).toBe(1)
    clock.set(start + step)
    clock.advance(20)
    await waiting
    await put(world, 'next')
    await world.versioning.commits.finish('r', 'master')
    expect(await world.paths('r', 'master')).toEqual(['/next', '/waited'])
  },
)
