import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { HeldClock } from '../testing/held-clock.ts'
import { openTestVersioning } from '../testing/test-versioning.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { keptDays, KeptTransfers, sweepKeptTransfers } from './kept-transfers.ts'

const text = 'long enough to be a chunk '.repeat(9)

test('what was kept is there for whoever goes on, and gone for whoever begins anew', async () => {
  await using world = await openTestVersioning()
  const { ports } = world
  const transfers = new KeptTransfers(ports)
  using lease = ports.leases.begin()
  const first = await transfers.open('key', { lease, resumes: false })
  expect(first.hasEarlier).toBe(false)
  const content = await ports.contents.writeBytes(utf8(text))
  first.keep('one', content)
  expect(await first.find('one')).toEqual(content)
  await first.save()
  first.keep('two', content)
  await Promise.all([first.save(), first.save()])
  expect(first.counts.fileCount).toBe(2)
  const second = await transfers.open('key', { lease, resumes: true })
  expect(second.hasEarlier).toBe(true)
  expect(await second.find('one')).toEqual(content)
  expect(await second.find('three')).toBeUndefined()
  expect(
    await (await transfers.open('other', { lease, resumes: true })).find('one'),
  ).toBeUndefined()
  await transfers.open('key', { lease, resumes: false })
  expect((await transfers.open('key', { lease, resumes: true })).hasEarlier).toBe(false)
})

test('what is kept is not collected, until it is forgotten', async () => {
  const clock = new HeldClock()
  await using world = await openTestVersioning(new MemoryChunkStore(), clock)
  const { ports, versioning, database } = world
  const transfers = new KeptTransfers(ports)
  using lease = ports.leases.begin()
  const transfer = await transfers.open('key', { lease, resumes: false })
  transfer.keep('one', await ports.contents.writeBytes(utf8(text)))
  await transfer.save()
  expect(await Array.fromAsync(versioning.collectionRoots())).toHaveLength(1)
  const stop = new AbortController()
  const sweep = async (): Promise<void> => {
    const swept = sweepKeptTransfers({ clock, database }, stop.signal)
    swept.catch(() => undefined)
    while (clock.sleeperCount === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await sweep()
  expect(await Array.fromAsync(versioning.collectionRoots())).toHaveLength(1)
  clock.advance((keptDays * 24 + 2) * 3600 * 1000)
  await expect.poll(() => Array.fromAsync(versioning.collectionRoots())).toEqual([])
  stop.abort()
})
