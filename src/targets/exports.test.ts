import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { utf8, utf8Text } from '../base/bytes.ts'
import {
  CancelledError,
  FailedPreconditionError,
  InvalidArgumentError,
  PermissionDeniedError,
  UnavailableError,
} from '../base/errors.ts'
import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import type { StoreReach } from '../clouds/store-reach.ts'
import { MemoryBucket } from '../testing/memory-bucket.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { FileNotFoundError } from '../versioning/errors.ts'
import type { ExportCounts } from './export-run.ts'
import { type ExportRequest, Exports } from './exports.ts'

const large = seededBytes(1, 5_000_123)
const files: Readonly<Record<string, Uint8Array>> = {
  a: utf8('a.'),
  'd/f': utf8('f.'),
  'd/sub/g': utf8(''),
  'd2/x': utf8('x.'),
  large,
}

let world: TestVersioning
let bucket: MemoryBucket

beforeAll(async () => {
  world = await openTestVersioning()
  const { commits, repos, writes } = world.versioning
  await repos.create({ name: 'r' })
  await commits.start({ repo: 'r', branch: 'master' })
  for (const [path, bytes] of Object.entries(files)) {
    await writes.put({ repo: 'r', commit: 'master', path }, bytes)
  }
  await commits.finish('r', 'master')
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})
beforeEach(() => {
  bucket = new MemoryBucket()
})

async function run(
  request: Partial<ExportRequest> = {},
  options: { readonly signal?: AbortSignal; readonly reach?: StoreReach } = {},
): Promise<ExportCounts> {
  const { signal = new AbortController().signal, reach = 'any' } = options
  const exports = new Exports({
    ...world.versioning,
    clock: new SystemClock(),
    random: new SystemRandom(),
    retries: { attemptsMax: 6, pauseMs: 1, pauseMsMax: 2, timeMsMax: 60_000 },
    openBuckets: async () => ({
      openToWrite: async () => bucket,
      [Symbol.dispose]: () => undefined,
    }),
    reach,
  })
  const usual = { repo: 'r', commit: 'master', path: '/', url: 's3://memory' }
  return exports.run({ ...usual, parallelism: 0, verifies: false, ...request }, { signal })
}

function keys(): readonly string[] {
  return [...bucket.objects.keys()].toSorted()
}

test('every file becomes an object with its bytes', async () => {
  const counts = await run()
  expect(keys()).toEqual(['a', 'd/f', 'd/sub/g', 'd2/x', 'large'])
  for (const [key, bytes] of Object.entries(files)) {
    expect(Buffer.compare(bucket.objects.get(key)?.bytes ?? new Uint8Array(), bytes)).toBe(0)
  }
  const sizeBytes = large.length + 6
  expect(counts).toMatchObject({ fileCount: 5, sizeBytes, sameFileCount: 0, sameBytes: 0 })
  expect(counts.commit).toMatch(/^[0-9a-f]{32}$/)
})

test.each([
  ['/d', 's3://memory/to', ['to/f', 'to/sub/g']],
  ['/d', 's3://memory/to/', ['to/f', 'to/sub/g']],
  ['d/', 's3://memory/', ['f', 'sub/g']],
  ['/a', 's3://memory/to', ['to']],
  ['/a', 's3://memory/to/', ['to/a']],
  ['/d/f', 's3://memory', ['f']],
])('%s goes to %s as %j', async (path, url, expected) => {
  await run({ path, url })
  expect(keys()).toEqual(expected)
})

test('what is there with the same content is left as it is, and what is of no file, too', async () => {
  await run()
  bucket.written.length = 0
  bucket.objects.set('mine', { bytes: utf8('mine') })
  expect(await run()).toMatchObject({ fileCount: 5, sameFileCount: 5 })
  expect([bucket.written, bucket.objects.has('mine')]).toEqual([[], true])
  // Of the same size, and of whom nobody knows.
  bucket.objects.set('a', { bytes: utf8('b.') })
  bucket.objects.set('d/f', { bytes: utf8('longer'), contentHash: 'x' })
  bucket.objects.delete('d2/x')
  expect(await run()).toMatchObject({ fileCount: 5, sameFileCount: 2 })
  expect(bucket.written.toSorted()).toEqual(['a', 'd/f', 'd2/x'])
})

test('nobody looks for objects where none is, nor where that is not allowed', async () => {
  const calls: string[] = []
  bucket.onCall = (call) => calls.push(call)
  await run()
  expect(new Set(calls)).toEqual(new Set(['list', 'write']))
  calls.length = 0
  bucket.onCall = (call) => {
    calls.push(call)
    if (call !== 'write') throw new PermissionDeniedError('not yours')
  }
  expect(await run()).toMatchObject({ fileCount: 5, sameFileCount: 0 })
  expect(calls.filter((call) => call === 'write')).toHaveLength(5)
})

test('all is read back where that is asked for, and written again where it is not right', async () => {
  await run()
  const { contentHash = '' } = bucket.objects.get('large') ?? {}
  const wrong = large.slice()
  wrong[4_000_000] = (wrong[4_000_000] ?? 0) ^ 1
  bucket.objects.set('large', { bytes: wrong, contentHash })
  expect(await run()).toMatchObject({ sameFileCount: 5 })
  expect(await run({ verifies: true })).toMatchObject({ fileCount: 5, sameFileCount: 4 })
  expect(Buffer.compare(bucket.objects.get('large')?.bytes ?? new Uint8Array(), large)).toBe(0)
})

test('a store that does not keep what it is given is told', async () => {
  bucket.onCall = (call, key) => {
    if (call === 'read' && key === 'a') bucket.objects.set('a', { bytes: utf8('b.') })
  }
  const failure = run({ verifies: true, path: '/a', url: 's3://memory/a' })
  await expect(failure).rejects.toThrow(FailedPreconditionError)
  await expect(run({ verifies: true, path: '/a', url: 's3://memory/a' })).rejects.toThrow(
    's3://memory/a is not what was written',
  )
})

test('after a failure the same call goes on with the rest', async () => {
  bucket.onCall = (call, key) => {
    if (call === 'write' && key === 'd2/x') throw new UnavailableError('the store is away')
  }
  const failure: unknown = await run({ parallelism: 1 }).catch((error: unknown) => error)
  expect(failure).toMatchObject({ kind: 'unavailable' })
  expect(String(failure)).toContain(
    'the store is away; 3 files are there already, each of them whole: the same command goes on with the rest',
  )
  expect(keys()).toEqual(['a', 'd/f', 'd/sub/g'])
  bucket.onCall = () => undefined
  bucket.written.length = 0
  expect(await run()).toMatchObject({ fileCount: 5, sameFileCount: 3 })
  expect(bucket.written.toSorted()).toEqual(['d2/x', 'large'])
})

test('whoever leaves stops it', async () => {
  const abort = new AbortController()
  bucket.onCall = (call) => {
    if (call === 'write') abort.abort()
  }
  await expect(run({ parallelism: 1 }, { signal: abort.signal })).rejects.toThrow(CancelledError)
  expect(bucket.written.length).toBeLessThan(2)
})

test.each([
  [{ path: '/none' }, FileNotFoundError, 'not found'],
  [{ url: 'https://example.com' }, InvalidArgumentError, 'name an object store'],
  [{ url: `s3://memory/${'k'.repeat(1025)}` }, InvalidArgumentError, 'object stores take 1024'],
] as const)('%j is refused', async (request, kind, text) => {
  await expect(run(request)).rejects.toThrow(kind)
  await expect(run(request)).rejects.toThrow(text)
  expect(keys()).toEqual([])
})

test('it is refused where the server exchanges nothing', async () => {
  await expect(run({}, { reach: 'none' })).rejects.toThrow('--sources none')
  const url = 's3://bucket/key?endpoint=http://localhost:9000'
  await expect(run({ url }, { reach: 'public' })).rejects.toThrow('--sources public')
})

test('an open commit goes as it is', async () => {
  const { commits, writes } = world.versioning
  const { id } = await commits.start({ repo: 'r', branch: 'open' })
  await writes.put({ repo: 'r', commit: id, path: 'now' }, utf8('now'))
  await run({ commit: 'open', verifies: true })
  expect(keys()).toEqual(['now'])
  expect(utf8Text(bucket.objects.get('now')?.bytes ?? new Uint8Array())).toBe('now')
})
