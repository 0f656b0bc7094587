import { expect, test } from 'vitest'
import { SystemClock } from '../../base/clock.ts'
import { UnavailableError } from '../../base/errors.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import { Connection } from './connection.ts'
import { Reader } from './reader.ts'

test('a read answers, or fails, only when what it saw is durable; other reads go on meanwhile', async () => {
  await using directory = await TemporaryDirectory.create()
  using connection = new Connection(directory.join('test.db'), { cacheBytes: 1024 })
  const durable: PromiseWithResolvers<void>[] = []
  const reader = new Reader({
    connection,
    clock: new SystemClock(),
    durable: async () => {
      const ended = Promise.withResolvers<void>()
      durable.push(ended)
      await ended.promise
    },
  })
  const settled: string[] = []
  const reading = reader.read((tx) => tx.get('SELECT 1 AS one'))
  const failing = reader.read(() => Promise.reject(new Error('on purpose')))
  const never = reader.read((tx) => tx.get('SELECT 2 AS two'))
  reading.then(
    () => settled.push('answer'),
    () => undefined,
  )
  failing.catch(() => settled.push('failure'))
  never.catch(() => settled.push('never'))
  while (durable.length < 3) {
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
  expect(settled).toEqual([])
  durable[1]?.resolve()
  await expect(failing).rejects.toThrow('on purpose')
  expect(settled).toEqual(['failure'])
  durable[0]?.resolve()
  expect(await reading).toEqual({ one: 1 })
  durable[2]?.reject(new UnavailableError('the sync failed'))
  await expect(never).rejects.toThrow('the sync failed')
})
