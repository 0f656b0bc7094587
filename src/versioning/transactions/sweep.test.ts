import { expect, test } from 'vitest'
import type { Clock, Instant } from '../../base/clock.ts'
import { openTestVersioning, type TestVersioning } from '../../testing/test-versioning.ts'
import { sweepTransactions } from './sweep.ts'

const hourMicros = 3600 * 1_000_000

/** Sweeps once, as if so many hours had gone by. */
async function sweepAfter({ database, ports }: TestVersioning, hours: number): Promise<void> {
  const stop = new AbortController()
  const clock: Clock = {
    now: (): Instant => ports.clock.now() + hours * hourMicros,
    monotonicMs: () => 0,
    sleep: async () => {
      stop.abort()
      throw stop.signal.reason
    },
  }
  await expect(sweepTransactions({ clock, database }, stop.signal)).rejects.toThrow('abort')
}

async function idsOf({ versioning }: TestVersioning): Promise<readonly string[]> {
  const ids: string[] = []
  for await (const { id } of versioning.transactions.list()) ids.push(id)
  return ids
}

test('finished transactions are forgotten after a day, open ones after seven', async () => {
  await using world = await openTestVersioning()
  const { transactions } = world.versioning
  const finished = await transactions.start('')
  await transactions.add(finished.id, {
    kind: 'create-repo',
    name: 'kept',
    provenance: [],
    description: '',
    update: false,
  })
  await transactions.finish(finished.id)
  const open: string[] = []
  for (let count = 0; count < 25; count += 1) open.unshift((await transactions.start('')).id)
  await sweepAfter(world, 23)
  expect(await idsOf(world)).toEqual([...open, finished.id])
  await sweepAfter(world, 25)
  expect(await idsOf(world)).toEqual(open)
  await sweepAfter(world, 7 * 24 - 1)
  expect(await idsOf(world)).toEqual(open)
  await sweepAfter(world, 7 * 24 + 1)
  expect(await idsOf(world)).toEqual([])
  const rows = await world.database.read((tx) => tx.all('SELECT id FROM transaction_operations'))
  expect(rows).toEqual([])
  await world.versioning.repos.inspect('kept')
})

test('only so many transactions are open, and so many finished ones remembered', async () => {
  await using world = await openTestVersioning()
  const { transactions } = world.versioning
  const ids = await Promise.all(
    Array.from({ length: 1000 }, async () => (await transactions.start('')).id),
  )
  await expect(transactions.start('')).rejects.toThrow('1000 transactions are open already')
  for (const id of ids) await transactions.finish(id)
  const last = await transactions.start('')
  await transactions.finish(last.id)
  expect(await idsOf(world)).toHaveLength(1000)
  await expect(transactions.inspect(ids[0] ?? '')).rejects.toThrow('not found')
})
