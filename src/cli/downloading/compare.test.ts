import { createHash } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { FileChunkFields } from '../../base/download-messages.ts'
import { seededBytes } from '../../testing/seeded-random.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import { type ExpectedFile, matchingStart, mismatchOf } from './compare.ts'

const kib = 1024
const mib = 1024 * kib

let home: TemporaryDirectory
let path: string
beforeEach(async () => {
  home = await TemporaryDirectory.create()
  path = home.join('file')
})
afterEach(async () => {
  await home[Symbol.asyncDispose]()
})

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<FileChunkFields> {
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.subarray(at, at + size)
    yield { hash: sha256(chunk), sizeBytes: chunk.length }
  }
}

/** A file of one chunk. */
function whole(bytes: Uint8Array): ExpectedFile {
  return { sizeBytes: bytes.length, hash: sha256(bytes), chunks: neverAsked }
}

function neverAsked(): never {
  throw new Error('there is no need to ask')
}

/** A file of several, whose hash is another. */
function chunked(bytes: Uint8Array): ExpectedFile {
  const chunks = (): AsyncIterable<FileChunkFields> => chunksOf(bytes, 100 * kib)
  return { sizeBytes: bytes.length, hash: new Uint8Array(32), chunks }
}

test.each([0, 1, 300, 256 * kib])(
  'a file of %i bytes is compared by its own hash',
  async (size) => {
    const bytes = seededBytes(1, size)
    writeFileSync(path, bytes)
    expect(await mismatchOf(path, whole(bytes))).toBeUndefined()
    if (size === 0) return
    writeFileSync(path, seededBytes(2, size))
    expect(await mismatchOf(path, whole(bytes))).toBe('different')
  },
)

test('a file of up to 4 MiB may be one chunk, too', async () => {
  const bytes = seededBytes(1, 4 * mib)
  writeFileSync(path, bytes)
  expect(await mismatchOf(path, whole(bytes))).toBeUndefined()
})

test.each([257 * kib, 4 * mib, 4 * mib + 1, 6 * mib])(
  'a file of %i bytes may be compared by its chunks',
  async (size) => {
    const bytes = seededBytes(1, size)
    writeFileSync(path, bytes)
    expect(await mismatchOf(path, chunked(bytes))).toBeUndefined()
    const changed = bytes.slice()
    changed[size - 1] = (changed[size - 1] ?? 0) ^ 1
    writeFileSync(path, changed)
    expect(await mismatchOf(path, chunked(bytes))).toBe('different')
  },
)

test('what is missing, of another size, a link, a directory or a pipe is no such file', async () => {
  const bytes = seededBytes(1, 10)
  const compare = async (name: string): Promise<unknown> =>
    mismatchOf(home.join(name), whole(bytes))
  writeFileSync(path, bytes)
  writeFileSync(home.join('longer'), seededBytes(1, 11))
  symlinkSync(path, home.join('link'))
  mkdirSync(home.join('directory'))
  spawnSync('mkfifo', [home.join('pipe')])
  expect(await compare('file')).toBeUndefined()
  expect(await compare('none')).toBe('missing')
  expect(await compare('file/below')).toBe('missing')
  expect(await compare('longer')).toBe('of another size')
  for (const name of ['link', 'directory', 'pipe']) expect(await compare(name)).toBe('no file')
})

test('a part of a file is right up to the last whole chunk that is', async () => {
  const bytes = seededBytes(1, 1000 * kib)
  const start = async (): Promise<number> => matchingStart(path, chunksOf(bytes, 100 * kib))
  expect(await start()).toBe(0)
  writeFileSync(path, bytes.subarray(0, 350 * kib))
  expect(await start()).toBe(300 * kib)
  const changed = bytes.slice(0, 350 * kib)
  changed[150 * kib] = (changed[150 * kib] ?? 0) ^ 1
  writeFileSync(path, changed)
  expect(await start()).toBe(100 * kib)
  writeFileSync(path, bytes)
  expect(await start()).toBe(1000 * kib)
})
