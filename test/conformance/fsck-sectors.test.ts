import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CheckRun } from '../../src/base/check-run.ts'
import { SystemClock } from '../../src/base/clock.ts'
import { DataLossError } from '../../src/base/errors.ts'
import type { Finding } from '../../src/base/findings.ts'
import { openSqlite } from '../../src/database/sqlite.ts'
import { migrations } from '../../src/server/migrations.ts'
import { checkStore } from '../../src/server/store-checks.ts'
import { openChunkStore, type PackStore } from '../../src/storage/chunk-store.ts'
import type { ChunkId } from '../../src/storage/chunks.ts'
import { LocalObjectStore } from '../../src/storage/local-objects.ts'
import { parseObjectKey } from '../../src/storage/object-store.ts'
import { type IndexedChunk, packKey } from '../../src/storage/packs/format.ts'
import { BadSectors } from '../../src/testing/bad-sectors.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { type DamagedStore, WholeStore } from '../harness/damaged-store.ts'

let whole: WholeStore

beforeAll(async () => {
  whole = await WholeStore.make()
})
afterAll(async () => {
  await whole[Symbol.asyncDispose]()
})

/** Some small chunks of one pack, in the order in which they lie. */
async function withNeighbours(): Promise<{
  readonly store: DamagedStore
  readonly pack: string
  readonly chunks: readonly IndexedChunk[]
}> {
  const store = await whole.copy()
  const parts = [1, 2, 3, 4, 5].map((seed) => seededBytes(seed + 50, 1000))
  const ids = await store.store(...parts)
  const found = await Promise.all(ids.map(async (id) => store.find(id)))
  const chunks = found.map(({ chunk }) => chunk).toSorted((a, b) => a.offset - b.offset)
  return { store, pack: found[0]?.pack ?? '', chunks }
}

async function withDisk<Result>(
  { root, metadata }: DamagedStore,
  use: (disk: {
    readonly objects: BadSectors
    readonly chunks: PackStore
    readonly check: () => Promise<readonly Finding[]>
  }) => Promise<Result>,
): Promise<Result> {
  await using opened = new AsyncDisposableStack()
  const clock = new SystemClock()
  const database = opened.use(await openSqlite({ path: metadata, migrations, clock }))
  const local = opened.use(await LocalObjectStore.open(join(root, 'objects')))
  const objects = new BadSectors(local)
  const chunks = opened.use(
    await openChunkStore({ objects, database, scratchDirectory: join(root, 'scratch') }),
  )
  return await use({
    objects,
    chunks,
    check: async () => {
      const findings: Finding[] = []
      const options = { full: true, fix: false, exclusive: true }
      const run = new CheckRun(options, new AbortController().signal, async (finding) => {
        findings.push(finding)
      })
      await checkStore({ database, metadata, objects, chunks, clock }, run)
      return findings
    },
  })
}

test('a sector that cannot be read costs the chunk in it, and is told by its place', async () => {
  const { store, pack, chunks } = await withNeighbours()
  const [, , bad] = chunks
  const findings = await withDisk(store, async ({ objects, check }) => {
    objects.break(packKey(pack), (bad?.offset ?? 0) + 10)
    return await check()
  })
  expect(findings).toHaveLength(1)
  expect(findings[0]).toMatchObject({
    kind: { name: 'chunk-damaged' },
    subject: { pack, chunk: bad?.id },
  })
  expect(findings[0]?.what).toMatch(
    /at offset \d+ of pack .* cannot be read: .*disk reports an error/,
  )
})

test('a header that cannot be read costs nothing', async () => {
  const { store, pack } = await withNeighbours()
  const findings = await withDisk(store, async ({ objects, check }) => {
    objects.break(packKey(pack), 3)
    return await check()
  })
  expect(findings).toMatchObject([{ kind: { name: 'pack-frame-damaged' }, subject: { pack } }])
})

test('an index that cannot be read is told, and the check goes on', async () => {
  const { store, pack, chunks } = await withNeighbours()
  const last = chunks.at(-1)
  const end = (last?.offset ?? 0) + (last?.storedBytes ?? 0)
  const findings = await withDisk(store, async ({ objects, check }) => {
    objects.break(packKey(pack), end + 40)
    return await check()
  })
  expect(findings).toMatchObject([{ kind: { name: 'pack-index-damaged' }, subject: { pack } }])
})

test('what lies beside a sector that cannot be read is read', async () => {
  const { store, pack, chunks: entries } = await withNeighbours()
  await withDisk(store, async ({ objects, chunks }) => {
    const [, , bad] = entries
    objects.break(packKey(pack), (bad?.offset ?? 0) + 10)
    const lost: ChunkId[] = []
    for (const { id } of entries) {
      const read = await chunks.get(id).catch((error: unknown) => error)
      if (read instanceof DataLossError) lost.push(id)
    }
    expect(lost).toEqual([bad?.id])
  })
})

test('what the operating system says of a bad disk is taken for that', async () => {
  await using directory = await TemporaryDirectory.create()
  await using objects = await LocalObjectStore.open(directory.path)
  // Memory that is not there: reading it is EIO.
  await symlink('/proc/self/mem', directory.join('bad'))
  await expect(objects.get(parseObjectKey('bad'), 0, 10)).rejects.toThrow(
    /^object bad: the disk reports an error$/,
  )
})
