import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { ChunkedContents } from '../../storage/chunked-contents.ts'
import type { Content } from '../../storage/contents.ts'
import { MemoryChunkStore } from '../../storage/memory-chunks.ts'
import { InputCache } from './input-cache.ts'

const sizeBytes = 300_000
const contents = new ChunkedContents(new MemoryChunkStore())

let home = ''
let cache: InputCache

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pachyderm-cache-'))
  cache = new InputCache({ directory: join(home, 'cache'), bytesMax: 2 * sizeBytes })
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

async function contentOf(letter: string): Promise<Content> {
  return await contents.writeBytes(Buffer.alloc(sizeBytes, letter))
}

let linkCount = 0
/** Links to the content; returns how often it was written. */
async function link(letter: string): Promise<number> {
  linkCount += 1
  const target = join(home, `link-${linkCount}`)
  let writeCount = 0
  const made = await cache.link(contents, await contentOf(letter), target, async (path) => {
    writeCount += 1
    writeFileSync(path, letter.repeat(sizeBytes))
  })
  expect(made).toBe(true)
  expect(readFileSync(target, 'latin1')).toBe(letter.repeat(sizeBytes))
  return writeCount
}

test('what is not used for longest goes first, and what is linked stays', async () => {
  expect(await link('a')).toBe(1)
  expect(await link('b')).toBe(1)
  expect(await link('a')).toBe(0)
  expect(await link('c')).toBe(1)
  expect(readdirSync(join(home, 'cache')).length).toBe(2)
  expect(await link('a')).toBe(0)
  expect(await link('b')).toBe(1)
})

test('those that come together for the same write it once', async () => {
  const counts = await Promise.all(['a', 'a', 'a'].map(link))
  expect(counts.toSorted((left, right) => left - right)).toEqual([0, 0, 1])
})

test('a write that fails leaves nothing, and the next one tries again', async () => {
  const content = await contentOf('a')
  const failing = cache.link(contents, content, join(home, 'l'), async (path) => {
    writeFileSync(path, 'half')
    throw new Error('cancelled')
  })
  const waiting = link('a')
  await expect(failing).rejects.toThrow('cancelled')
  expect(await waiting).toBe(1)
  expect(existsSync(join(home, 'l'))).toBe(false)
  expect(readdirSync(join(home, 'cache')).length).toBe(1)
})

test('it takes neither small files nor those that it has no room for, and begins empty', async () => {
  expect(cache.takes(await contentOf('a'))).toBe(true)
  expect(cache.takes(await contents.writeBytes(Buffer.alloc(1000, 'x')))).toBe(false)
  expect(cache.takes(await contents.writeBytes(Buffer.alloc(3 * sizeBytes, 'x')))).toBe(false)
  await link('a')
  cache = new InputCache({ directory: join(home, 'cache'), bytesMax: 2 * sizeBytes })
  expect(readdirSync(join(home, 'cache'))).toEqual([])
})

async function write(path: string): Promise<void> {
  writeFileSync(path, '')
}

test('whenever another takes the room of one that was just written, it is linked, or not in the cache', async () => {
  const [first, second] = [await contentOf('a'), await contentOf('b')]
  const outcomes = new Set<boolean>()
  // So many microtasks after it was written.
  for (let delay = 0; delay < 12; delay += 1) {
    const small = new InputCache({ directory: join(home, `${delay}`), bytesMax: sizeBytes })
    let other: Promise<boolean> | undefined
    const made = small.link(contents, first, join(home, `first-${delay}`), async (path) => {
      await write(path)
      let turn = Promise.resolve()
      for (let count = 0; count < delay; count += 1) turn = turn.then(() => {})
      other = turn.then(() => small.link(contents, second, join(home, `second-${delay}`), write))
    })
    outcomes.add(await made)
    expect(existsSync(join(home, `first-${delay}`))).toBe(await made)
    expect(await other).toBe(true)
  }
  expect(outcomes).toEqual(new Set([false, true]))
})
