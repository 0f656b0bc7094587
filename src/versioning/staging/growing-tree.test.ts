import { expect, test } from 'vitest'
import type { Batched } from '../../base/batched.ts'
import { utf8 } from '../../base/bytes.ts'
import { GrowingTree } from './growing-tree.ts'
import type { RunRecord } from './runs.ts'

function record(index: number): RunRecord {
  return {
    key: utf8(String(index).padStart(6, '0')),
    overwrite: false,
    content: { kind: 'inline', bytes: utf8('x') },
  }
}

async function keysOf(records: Batched<RunRecord>): Promise<number[]> {
  return (await Array.fromAsync(records)).map(({ key }) => Number(Buffer.from(key).toString()))
}

test.each([0, 255, 256, 257, 20_000])(
  'of %i records, all come by their order, or none',
  async (count) => {
    await using growing = new GrowingTree(keysOf)
    for (let index = 0; index < count; index += 1) await growing.add(record(index))
    const expected = count < 256 ? undefined : Array.from({ length: count }, (_, index) => index)
    expect(await growing.end()).toEqual(expected)
  },
)

test('puts wait for a build that is behind, and for none that has failed', async () => {
  const gate = Promise.withResolvers<undefined>()
  const slow = new GrowingTree(async (records) => {
    await gate.promise
    return keysOf(records)
  })
  let index = 0
  let waiting: Promise<void> | undefined
  for (; waiting === undefined && index < 100_000; index += 1) waiting = slow.add(record(index))
  expect(index).toBeLessThan(10_000)
  gate.resolve(undefined)
  await waiting
  expect((await slow.end())?.length).toBe(index)

  const failing = new GrowingTree(async () => Promise.reject(new Error('no tree')))
  for (let at = 0; at < 20_000; at += 1) await failing.add(record(at))
  expect(await failing.end()).toBeUndefined()
})

test('what is given up ends what is built, also while it waits', async () => {
  for (const count of [300, 20_000]) {
    let seen = 0
    let isOver = false
    const growing = new GrowingTree(async (records) => {
      try {
        for await (const batch of records.batches) seen += batch.length
      } finally {
        isOver = true
      }
    })
    for (let index = 0; index < count; index += 1) void growing.add(record(index))
    await growing[Symbol.asyncDispose]()
    expect(isOver).toBe(true)
    expect(seen).toBeLessThan(count)
    expect(growing.add(record(count))).toBeUndefined()
    expect(await growing.end()).toBeUndefined()
  }
})
