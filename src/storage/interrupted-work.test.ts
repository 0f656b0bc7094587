import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { CancelledError } from '../base/errors.ts'
import { parseGlob } from '../base/globs.ts'
import { parseFilePath } from '../base/paths.ts'
import { fileOf } from '../testing/tree-model.ts'
import { FileTrees } from './file-trees.ts'
import { MemoryChunkStore } from './memory-chunks.ts'
import { type MapRoot, ProllyMaps } from './prolly-map.ts'

/** So many entries that they take many nodes. */
const entryCount = 20_000

function keyAt(index: number): Uint8Array {
  return utf8(`${100_000 + index}`)
}

/** Entries of which each says that it was asked for, and the one at `at` aborts. */
function* entriesAborting(
  at: number,
  stop: AbortController,
): Generator<{ key: Uint8Array; value: Uint8Array }> {
  for (let index = 0; index < entryCount; index += 1) {
    if (index === at) stop.abort()
    yield { key: keyAt(index), value: utf8('x'.repeat(40)) }
  }
}

async function bigMap(maps: ProllyMaps): Promise<MapRoot> {
  return await maps.build(entriesAborting(-1, new AbortController()))
}

async function countUntilError(items: AsyncIterable<unknown>, at: (count: number) => void) {
  let count = 0
  const walk = async (): Promise<void> => {
    for await (const _ of items) {
      count += 1
      at(count)
    }
  }
  const error: unknown = await walk().catch((met: unknown) => met)
  return { count, error }
}

test('an edit of a map ends soon after its signal has aborted, and later ones go on from its nodes', async () => {
  const maps = new ProllyMaps(new MemoryChunkStore())
  const stop = new AbortController()
  const until = maps.until(stop.signal)
  await expect(until.build(entriesAborting(entryCount / 2, stop))).rejects.toThrow(CancelledError)
  expect(await maps.size(await bigMap(maps))).toBe(entryCount)
})

test('a scan and a comparison of maps end at the next node once their signal has aborted', async () => {
  const maps = new ProllyMaps(new MemoryChunkStore())
  const [empty, root] = [await maps.empty(), await bigMap(maps)]
  for (const items of [
    (until: ProllyMaps) => until.scan(root),
    (until: ProllyMaps) => until.diff(empty, root),
  ]) {
    const stop = new AbortController()
    const { count, error } = await countUntilError(items(maps.until(stop.signal)), (seen) => {
      if (seen === 100) stop.abort()
    })
    expect(error).toBeInstanceOf(CancelledError)
    expect(count).toBeGreaterThanOrEqual(100)
    expect(count).toBeLessThan(1000)
  }
})

test('what is until two signals ends by either', async () => {
  const maps = new ProllyMaps(new MemoryChunkStore())
  const root = await bigMap(maps)
  for (const first of [true, false]) {
    const [outer, inner] = [new AbortController(), new AbortController()]
    const until = maps.until(outer.signal).until(inner.signal)
    expect(await until.size(root)).toBe(entryCount)
    ;(first ? outer : inner).abort()
    await expect(until.size(root)).rejects.toThrow(CancelledError)
  }
})

test('walks and edits of trees end once their signal has aborted, also where nodes ride in their parents', async () => {
  const trees = new FileTrees(new MemoryChunkStore())
  const edits = Array.from({ length: 3000 }, (_, index) => ({
    path: parseFilePath(`/${10_000 + index}/f`),
    entry: fileOf('x'),
  }))
  const root = await trees.edit(await trees.emptyRoot(), edits, { emptied: 'keep' })
  const stop = new AbortController()
  const until = trees.until(stop.signal)
  const { count, error } = await countUntilError(
    until.globDiff(undefined, root, parseGlob('/*/*')),
    (seen) => {
      if (seen === 10) stop.abort()
    },
  )
  expect(error).toBeInstanceOf(CancelledError)
  expect(count).toBeLessThan(1000)
  const [one] = edits
  await expect(
    until.edit(root, one === undefined ? [] : [one], { emptied: 'keep' }),
  ).rejects.toThrow(CancelledError)
  expect(await Array.fromAsync(trees.glob(root, parseGlob('/*/f')))).toHaveLength(3000)
})
