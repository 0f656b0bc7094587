import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { DataLossError } from '../base/errors.ts'
import { openPackedStore, type OpenedPackedStore } from '../testing/packed-store.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { ChunkedContents } from './chunked-contents.ts'
import type { Content } from './contents.ts'

const mib = 1024 * 1024

interface Stored extends AsyncDisposable {
  readonly parts: OpenedPackedStore
  readonly contents: ChunkedContents
  readonly content: Content
  readonly bytes: Uint8Array
}

async function stored(sizeBytes: number): Promise<Stored> {
  const parts = await openPackedStore()
  const contents = new ChunkedContents(parts.store)
  const bytes = seededBytes(7, sizeBytes)
  const content = await contents.writeBytes(bytes)
  await parts.store.flush()
  const close = async (): Promise<void> => parts[Symbol.asyncDispose]()
  return { parts, contents, content, bytes, [Symbol.asyncDispose]: close }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

test('lent pieces are the bytes, in memory that is used again', async () => {
  await using world = await stored(40 * mib)
  const { contents, content, bytes } = world
  const hash = createHash('sha256')
  const memories = new Set<ArrayBufferLike>()
  let pieceCount = 0
  for await (const piece of contents.read(content, { lent: true })) {
    hash.update(piece)
    pieceCount += 1
    memories.add(piece.buffer)
  }
  expect(hash.digest('hex')).toBe(sha256(bytes))
  expect(pieceCount).toBeGreaterThan(20)
  expect(memories.size).toBeLessThan(10)
})

test('any range of lent pieces is what it is', async () => {
  await using world = await stored(5 * mib)
  const { contents, content, bytes } = world
  for (const [offset, length] of [
    [0, 10],
    [1, 5 * mib],
    [mib - 3, 7],
    [700_000, 2 * mib],
    [5 * mib - 1, 1],
  ] as const) {
    const hash = createHash('sha256')
    for await (const piece of contents.read(content, { offset, length, lent: true })) {
      hash.update(piece)
    }
    expect(hash.digest('hex')).toBe(sha256(bytes.subarray(offset, offset + length)))
  }
})

test('many readers at once get memory of their own when all that is lent is lent', async () => {
  await using world = await stored(12 * mib)
  const { contents, content, bytes } = world
  const wanted = sha256(bytes)
  const read = async (): Promise<string> => {
    const hash = createHash('sha256')
    for await (const piece of contents.read(content, { lent: true })) {
      await new Promise((resolve) => setImmediate(resolve))
      hash.update(piece)
    }
    return hash.digest('hex')
  }
  const found = await Promise.all(Array.from({ length: 24 }, read))
  expect(new Set(found)).toEqual(new Set([wanted]))
})

test('a piece stays as it is for a reader that stops, whoever reads next', async () => {
  await using world = await stored(12 * mib)
  const { contents, content } = world
  const givenUp = new Set<ArrayBufferLike>()
  for (let round = 0; round < 50; round += 1) {
    let kept: Uint8Array | undefined
    for await (const piece of contents.read(content, { lent: true })) {
      kept = piece
      break
    }
    const before = kept && sha256(kept)
    for await (const _ of contents.read(content, { lent: true, offset: 2 * mib })) continue
    expect(kept && sha256(kept)).toBe(before)
    if (kept?.buffer instanceof SharedArrayBuffer) givenUp.add(kept.buffer)
  }
  // However many stop: then others get memory of their own.
  expect(givenUp.size).toBeLessThanOrEqual(16)
})

test('a lent chunk that is damaged, or whose pack is gone, is told', async () => {
  await using world = await stored(8 * mib)
  const { parts, contents, content } = world
  const folder = join(parts.directory, 'objects')
  const packs = await readdir(folder, { recursive: true, withFileTypes: true })
  for (const pack of packs.filter((entry) => entry.isFile())) {
    const path = join(pack.parentPath, pack.name)
    const damaged = await readFile(path)
    damaged[3 * mib] = (damaged[3 * mib] ?? 0) ^ 1
    await writeFile(path, damaged)
  }
  const read = async (): Promise<number> => {
    let sizeBytes = 0
    for await (const piece of contents.read(content, { lent: true })) sizeBytes += piece.length
    return sizeBytes
  }
  await expect(read()).rejects.toThrow(DataLossError)
  await expect(read()).rejects.toThrow(/damaged/)
})
