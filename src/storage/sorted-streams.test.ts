import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { mergeSorted } from './sorted-streams.ts'

async function* streamOf(numbers: readonly number[], log: string[] = []): AsyncGenerator<number> {
  log.push('opened')
  try {
    yield* numbers
  } finally {
    log.push('closed')
  }
}

test('merged streams are their items by key and then by stream', async () => {
  const numbers = fc.uniqueArray(fc.nat(30)).map((list) => list.toSorted((a, b) => a - b))
  await fc.assert(
    fc.asyncProperty(fc.array(numbers, { maxLength: 6 }), async (lists) => {
      const streams = lists.map((list) => streamOf(list))
      const merged = await Array.fromAsync(mergeSorted(streams, (item) => Uint8Array.of(item)))
      const expected = Array.from({ length: 31 }, (_, key) =>
        lists.flatMap((list, streamIndex) =>
          list.includes(key) ? { streamIndex, item: key } : [],
        ),
      )
      expect(merged.map(({ members }) => members)).toEqual(
        expected.filter((members) => members.length > 0),
      )
    }),
  )
})

test('streams are opened at the first pull, and closed when the reader leaves early', async () => {
  const log: string[] = []
  const merged = mergeSorted([streamOf([1, 2], log), streamOf([1, 3], log)], (item) =>
    Uint8Array.of(item),
  )
  expect(log).toEqual([])
  await merged.next()
  expect(log).toEqual(['opened', 'opened'])
  await merged.return(undefined)
  expect(log).toEqual(['opened', 'opened', 'closed', 'closed'])
})
