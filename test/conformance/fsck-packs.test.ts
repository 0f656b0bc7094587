import { appendFile, mkdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { concatBytes } from '../../src/base/bytes.ts'
import type { ChunkId } from '../../src/storage/chunks.ts'
import type { Content } from '../../src/storage/contents.ts'
import { encodeNode } from '../../src/storage/chunk-lists/node.ts'
import type { IndexedChunk } from '../../src/storage/packs/format.ts'
import { objectName } from '../../src/versioning/object-names.ts'
import { encodeContent } from '../../src/versioning/staging/staged-bytes.ts'
import { chunkIdOf } from '../../src/storage/chunk-id.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { commitOf, fileOf, getPieces, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { chunkFileBytes, type DamagedStore, kindsOf, WholeStore } from '../harness/damaged-store.ts'

let whole: WholeStore

beforeAll(async () => {
  whole = await WholeStore.make()
})
afterAll(async () => {
  await whole[Symbol.asyncDispose]()
})

const chunkFile = chunkIdOf(chunkFileBytes)

test('a whole store has no damage, and every byte of it is read', async () => {
  const store = await whole.copy()
  const quick = await store.check()
  expect(quick.findings).toEqual([])
  const full = await store.check({ full: true })
  expect(full.findings).toEqual([])
  expect(full.counts.bytes).toBe(full.counts.bytesTotal)
  expect(full.counts).toMatchObject({
    errors: 0,
    warnings: 0,
    unreferencedPacks: expect.any(Number) as number,
  })
  expect(full.counts.unreferencedPacks).toBeGreaterThan(0)
  const fixed = await store.check({ full: true, fix: true })
  expect(fixed.findings).toEqual([])
})

test('a bit that has turned over in a file is found in full, and the file is named', async () => {
  const store = await whole.copy()
  const { pack, chunk } = await store.find(chunkFile)
  await store.flip(store.packPath(pack), chunk.offset + 50_000)
  expect(kindsOf(await store.check())).toEqual([])
  const result = await store.check({ full: true })
  expect(kindsOf(result)).toEqual(['chunk-damaged'])
  const [finding] = result.findings
  const commits = store.sql("SELECT id FROM commits WHERE repo = 'data' AND root IS NOT NULL")
  expect(finding).toMatchObject({ subject: { pack, chunk: chunkFile }, repair: 'none' })
  // Both commits have it, and a tag.
  expect(finding?.affected.count).toBe(3)
  expect(finding?.affected.names).toEqual(
    expect.arrayContaining(commits.map(({ id }) => `data@${String(id)}:/chunk`)),
  )
  expect(result.counts.errors).toBe(1)
})

test('a damaged directory is found at once, with all that is below it', async () => {
  const store = await whole.copy()
  const root = store.value("SELECT root FROM commits WHERE repo = 'copy'")
  const { pack, chunk } = await store.find(root as typeof chunkFile)
  await store.flip(store.packPath(pack), chunk.offset)
  const result = await store.check()
  expect(kindsOf(result)).toEqual(['chunk-damaged'])
  // The pipeline copies its input, so both are one tree, of two files each.
  const commits = store.sql(
    "SELECT repo, id FROM commits WHERE repo IN ('copy', 'in') ORDER BY repo",
  )
  const names = commits.map(({ repo, id }) => `${String(repo)}@${String(id)} (2 files)`)
  expect(result.findings[0]?.affected).toEqual({ names, count: 4 })
})

test('a pack that was cut short is told as such', async () => {
  const store = await whole.copy()
  const { pack } = await store.find(chunkFile)
  await truncate(store.packPath(pack), 5000)
  const result = await store.check()
  expect(kindsOf(result)).toEqual(['pack-size-wrong'])
  expect(result.findings[0]?.affected.count).toBe(3)
  expect(result.findings[0]?.kind.advice).toContain('move this pack out of objects/')
})

test('a pack that is gone is told with what was in it', async () => {
  const store = await whole.copy()
  const { pack } = await store.find(chunkFile)
  await rm(store.packPath(pack))
  const result = await store.check({ fix: true })
  expect(kindsOf(result)).toEqual(['pack-missing'])
  expect(result.findings[0]).toMatchObject({ subject: { pack }, repair: 'none' })
  expect(result.findings[0]?.affected.count).toBe(3)
  // Its row says what was in it: as long as that is needed, it stays.
  expect(store.sql('SELECT name FROM packs WHERE name = ?', pack)).toHaveLength(1)
})

test('the row of a pack that is gone is removed if nothing needs it', async () => {
  const store = await whole.copy()
  const pack = await unneededPack(store)
  await rm(store.packPath(pack))
  const dry = await store.check()
  expect(dry.findings).toMatchObject([{ kind: { name: 'pack-missing' }, repair: 'possible' }])
  expect(store.sql('SELECT name FROM packs WHERE name = ?', pack)).toHaveLength(1)
  const fixed = await store.check({ fix: true })
  expect(fixed.findings).toMatchObject([{ kind: { name: 'pack-missing' }, repair: 'done' }])
  expect(fixed.counts).toMatchObject({ errors: 0, repaired: 1 })
  expect(kindsOf(await store.check({ full: true }))).toEqual([])
})

test('every pack that a file has lost parts in is named, and its row stays', async () => {
  const store = await whole.copy()
  const parts = [seededBytes(20, 70_000), seededBytes(21, 70_000), seededBytes(22, 70_000)]
  const ids: ChunkId[] = []
  // Each in a pack of its own.
  for (const part of parts) ids.push(...(await store.store(part)))
  const entries = ids.map((id) => ({ id, sizeBytes: 70_000 }))
  const [root] = await store.store(encodeNode({ level: 0, entries }))
  await withObject(store, { kind: 'list', root: root as ChunkId, sizeBytes: 210_000 })
  expect((await store.check({ full: true })).findings).toEqual([])
  const packs = await Promise.all(ids.slice(1).map(async (id) => (await store.find(id)).pack))
  for (const pack of packs) await rm(store.packPath(pack))
  for (let round = 0; round < 2; round += 1) {
    const { findings } = await store.check({ fix: true })
    expect(findings.map(({ kind }) => kind.name)).toEqual(['pack-missing', 'pack-missing'])
    expect(findings.map(({ subject }) => subject.pack)).toEqual(packs.toSorted())
    for (const { affected, repair } of findings) {
      expect([affected.count, repair]).toEqual([1, 'none'])
    }
  }
  // Nor is a chunk forgotten of which no row says where it was.
  store.sql('DELETE FROM packs WHERE name = ?', packs[0] ?? '')
  const { findings } = await store.check({ fix: true })
  expect(findings.map(({ kind }) => kind.name).toSorted()).toEqual([
    'chunk-missing',
    'pack-missing',
  ])
})

test('the row of a lost pack stays while something cannot be read that may need it', async () => {
  const store = await whole.copy()
  const file = seededBytes(23, 70_000)
  const [content = ''] = await store.store(file)
  const [list = ''] = await store.store(
    encodeNode({ level: 0, entries: [{ id: content as ChunkId, sizeBytes: file.length }] }),
  )
  await withObject(store, { kind: 'list', root: list as ChunkId, sizeBytes: file.length })
  const packs = [content, list].map(async (id) => (await store.find(id as ChunkId)).pack)
  for (const pack of await Promise.all(packs)) await rm(store.packPath(pack))
  const { findings } = await store.check({ fix: true })
  expect(findings.map(({ repair }) => repair)).toEqual(['none', 'none'])
})

/** Makes a content that of the object which has the tag `kept`. */
async function withObject(store: DamagedStore, content: Content): Promise<void> {
  const hash = objectName(content)
  store.sql('INSERT INTO objects (hash, content) VALUES (?, ?)', hash, encodeContent(content))
  store.sql("UPDATE object_tags SET hash = ? WHERE name = 'kept'", hash)
}

test('chunks of a pack that is gone are not counted as needed by nothing', async () => {
  const store = await whole.copy()
  const before = await store.check()
  const { pack } = await store.find(chunkFile)
  await rm(store.packPath(pack))
  const { counts } = await store.check()
  expect(counts.unreferencedBytes).toBeLessThanOrEqual(before.counts.unreferencedBytes)
  expect(counts.unreferencedPacks).toBeLessThanOrEqual(before.counts.unreferencedPacks)
})

/** That of the object which was deleted. */
async function unneededPack(store: DamagedStore): Promise<string> {
  return (await store.find(chunkIdOf(seededBytes(7, 100_000)))).pack
}

test('a bit that has turned over in an index is found at once', async () => {
  const store = await whole.copy()
  const { pack } = await store.find(chunkFile)
  await store.flip(store.packPath(pack), -100)
  const result = await store.check()
  expect(kindsOf(result)).toEqual(['pack-index-damaged'])
})

/** A pack of its own, of five chunks in the order in which they lie. */
async function withPack(): Promise<{
  readonly store: DamagedStore
  readonly pack: string
  readonly path: string
  readonly chunks: readonly IndexedChunk[]
}> {
  const store = await whole.copy()
  const parts = [31, 32, 33, 34, 35].map((seed) => seededBytes(seed, 1000))
  const ids = await store.store(...parts, Buffer.alloc(20_000, 'compresses well '))
  await withObject(store, { kind: 'chunk', chunk: ids[2] as ChunkId, sizeBytes: 1000 })
  const found = await Promise.all(ids.map(async (id) => (await store.find(id)).chunk))
  const { pack } = await store.find(ids[0] as ChunkId)
  const chunks = found.toSorted((left, right) => left.offset - right.offset)
  return { store, pack, path: store.packPath(pack), chunks }
}

// The trailer is 64 bytes, the fence 32, an entry 48.
test.each([
  ['a bit of an id', -64 - 32 - 48 + 5],
  ['a bit of an id that the list of packs has, too', -64 - 32 - 48 + 31],
  ['a bit of an offset', -64 - 32 - 48 + 33],
  ['a bit of the fence', -64 - 5],
  ['a bit of the trailer', -64 + 20],
])('a pack in whose index %s was turned over is made again', async (_what, offset) => {
  const { store, pack, path, chunks } = await withPack()
  await store.flip(path, offset)
  const before = await readFile(path)
  const dry = await store.check()
  expect(dry.findings).toMatchObject([
    { kind: { name: 'pack-index-damaged' }, subject: { pack }, repair: 'possible' },
  ])
  const fixed = await store.check({ fix: true })
  expect(fixed.findings).toMatchObject([{ subject: { pack }, repair: 'done' }])
  for (const { id } of chunks) expect((await store.findListed(id)).pack).not.toBe(pack)
  // Nothing is deleted.
  expect(await readFile(path)).toEqual(before)
  expect(kindsOf(await store.check({ full: true }))).toEqual(['pack-foreign'])
})

test('of a pack that was cut short, what is whole is copied into another', async () => {
  const { store, pack, path, chunks } = await withPack()
  // The index is lost, and with it where any chunk is; and of the last one a part.
  await truncate(path, (chunks.at(-1)?.offset ?? 0) + 10)
  const result = await store.check({ fix: true })
  expect(result.findings).toMatchObject([
    { kind: { name: 'pack-size-wrong' }, subject: { pack }, repair: 'none' },
  ])
  expect(result.findings[0]?.what).toMatch(/; 5 of its 6 chunks are whole, and are in pack /)
  expect(result.findings[0]?.kind.advice).not.toContain('--fix')
  expect(result.counts.repaired).toBe(0)
  const saved = await Promise.all(
    chunks.map(async ({ id }) => store.findListed(id).catch(() => undefined)),
  )
  expect(saved.filter((found) => found !== undefined)).toHaveLength(5)
  // Its row stays, so that a backup can be put back.
  expect(store.sql('SELECT name FROM packs WHERE name = ?', pack)).toHaveLength(1)
  const again = await store.check({ full: true, fix: true })
  expect(kindsOf(again)).toEqual(['pack-size-wrong'])
})

test('a pack that was cut short behind its chunks loses none', async () => {
  const { store, pack, path, chunks } = await withPack()
  await truncate(path, (await readFile(path)).length - 64 - 32 - 48 * 5)
  const { findings } = await store.check({ fix: true })
  expect(findings).toMatchObject([{ kind: { name: 'pack-size-wrong' }, repair: 'done' }])
  for (const { id } of chunks) expect((await store.findListed(id)).pack).not.toBe(pack)
})

test('of a pack in which no chunk is found it is said so, and what is left to do', async () => {
  const { store, path } = await withPack()
  await truncate(path, 500)
  const dry = await store.check()
  expect(dry.findings[0]?.kind.advice).toContain('--fix')
  const [finding] = (await store.check({ fix: true })).findings
  expect(finding).toMatchObject({ kind: { name: 'pack-size-wrong' }, repair: 'none' })
  expect(finding?.what).toContain('; none of its 6 chunks could be found in it')
  expect(finding?.kind.advice).toContain('restore it from a backup')
  expect(finding?.kind.advice).not.toContain('--fix')
})

test('a pack that something was appended to is made again', async () => {
  const { store, pack, path } = await withPack()
  await appendFile(path, 'and more')
  const fixed = await store.check({ fix: true })
  expect(fixed.findings).toMatchObject([
    { kind: { name: 'pack-size-wrong' }, subject: { pack }, repair: 'done' },
  ])
  expect(kindsOf(await store.check({ full: true }))).toEqual(['pack-foreign'])
})

test('packs under the names of each other are told as such', async () => {
  const store = await whole.copy()
  const one = store.packPath((await store.find(chunkFile)).pack)
  const other = store.packPath(await unneededPack(store))
  const bytes = await readFile(one)
  await rename(other, one)
  await writeFile(other, bytes)
  const result = await store.check()
  expect(kindsOf(result)).toEqual(['pack-exchanged'])
  expect(new Set(result.findings.map(({ affected }) => affected.count))).toEqual(new Set([0, 3]))
})

test('bytes of a pack that nobody reads are looked at, too', async () => {
  const store = await whole.copy()
  const { pack } = await store.find(chunkFile)
  await store.flip(store.packPath(pack), 3)
  expect(kindsOf(await store.check())).toEqual([])
  const result = await store.check({ full: true })
  expect(kindsOf(result)).toEqual(['pack-frame-damaged'])
  expect(result.counts).toMatchObject({ errors: 0, warnings: 1 })
})

test('a pack that a collection was deleting is not told, nor listed again', async () => {
  const store = await whole.copy()
  const { pack } = await store.find(chunkIdOf(seededBytes(7, 100_000)))
  store.sql('INSERT INTO retired_packs SELECT name, size_bytes FROM packs WHERE name = ?', pack)
  store.sql('DELETE FROM packs WHERE name = ?', pack)
  expect((await store.check({ full: true, fix: true })).findings).toEqual([])
  expect(store.sql('SELECT name FROM packs WHERE name = ?', pack)).toEqual([])
  expect(store.sql('SELECT name FROM retired_packs')).toEqual([{ name: pack }])
})

test('a row of the list of packs whose name is none is dropped, and its pack listed', async () => {
  const store = await whole.copy()
  const { pack } = await store.find(chunkFile)
  const before = store.sql('SELECT * FROM packs ORDER BY name')
  store.sql(`UPDATE packs SET name = 'a b/c' WHERE name = ?`, pack)
  const dry = await store.check({ full: true })
  expect(kindsOf(dry)).toEqual(['pack-row-wrong', 'pack-unlisted'])
  const fixed = await store.check({ fix: true })
  expect(fixed.findings.map(({ repair }) => repair)).toEqual(['done', 'done'])
  expect(store.sql('SELECT * FROM packs ORDER BY name')).toEqual(before)
})

test('a pack that is listed, and noted as one to be deleted, is told and kept', async () => {
  const store = await whole.copy()
  const { pack } = await store.find(chunkFile)
  store.sql('INSERT INTO retired_packs SELECT name, size_bytes FROM packs WHERE name = ?', pack)
  expect((await store.check()).findings).toMatchObject([
    { kind: { name: 'pack-retired' }, subject: { pack }, repair: 'possible' },
  ])
  const fixed = await store.check({ fix: true })
  expect(fixed.findings).toMatchObject([{ kind: { name: 'pack-retired' }, repair: 'done' }])
  expect(store.sql('SELECT name FROM retired_packs')).toEqual([])
  expect((await store.check({ full: true })).findings).toEqual([])
})

test.each([
  'packs/stray name',
  'packs/ab/letter.txt',
  'letter',
  `packs/${'f'.repeat(64)}`,
  `packs/zz/${'f'.repeat(64)}`,
  `packs/ab/${'f'.repeat(64)}`,
  'packs/.hidden',
  'packs/a folder/x',
])('%s among the packs is told, and left alone', async (name) => {
  const store = await whole.copy()
  const path = join(store.root, 'objects', name)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, 'no pack')
  const result = await store.check({ fix: true })
  expect(kindsOf(result)).toEqual(['pack-foreign'])
  expect(result.findings[0]?.what).toContain(name.replace(/ folder.*/, ' folder'))
  expect(await readFile(path, 'utf8')).toBe('no pack')
})

test('something else in the place of a pack is told, and left alone', async () => {
  const store = await whole.copy()
  const path = store.packPath('f'.repeat(64))
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, 'no pack')
  const result = await store.check({ fix: true })
  expect(kindsOf(result)).toEqual(['pack-foreign'])
  expect(await readFile(path, 'utf8')).toBe('no pack')
})

test.each([
  ['is lost', 'DELETE FROM packs WHERE name = ?', 'pack-unlisted'],
  [
    'says another size',
    'UPDATE packs SET size_bytes = size_bytes + 1 WHERE name = ?',
    'pack-row-wrong',
  ],
  [
    'says another count',
    'UPDATE packs SET chunk_count = chunk_count + 1 WHERE name = ?',
    'pack-row-wrong',
  ],
  [
    'says other chunks',
    "UPDATE packs SET fingerprints = x'00000000' WHERE name = ?",
    'pack-row-wrong',
  ],
])('a row of a pack that %s is made again', async (_what, sql, kind) => {
  const store = await whole.copy()
  const { pack } = await store.find(chunkFile)
  const before = store.sql('SELECT * FROM packs ORDER BY name')
  store.sql(sql, pack)
  const dry = await store.check()
  expect(kindsOf(dry)).toEqual([kind])
  expect(dry.findings[0]).toMatchObject({ subject: { pack }, repair: 'possible' })
  expect(dry.findings[0]?.affected.count).toBe(3)
  expect(store.sql('SELECT * FROM packs ORDER BY name')).not.toEqual(before)
  const fixed = await store.check({ fix: true })
  expect(fixed.findings).toMatchObject([{ kind: { name: kind }, repair: 'done' }])
  expect(store.sql('SELECT * FROM packs ORDER BY name')).toEqual(before)
  expect(kindsOf(await store.check({ full: true }))).toEqual([])
})

test('a row of the list of packs whose name is no text does not keep a check for ever', async () => {
  const store = await whole.copy()
  const { pack } = await store.find(chunkFile)
  store.sql("UPDATE packs SET name = CAST(x'ff22' AS TEXT) WHERE name = ?", pack)
  expect(kindsOf(await store.check({ full: true }))).toEqual(['pack-row-wrong', 'pack-unlisted'])
})

test('a file that is put again heals the commits that have it, and after a collection nothing is damaged', async () => {
  const store = await whole.copy()
  const { pack, chunk } = await store.find(chunkFile)
  await store.flip(store.packPath(pack), chunk.offset + 50_000)
  expect(kindsOf(await store.check({ full: true }))).toEqual(['chunk-damaged'])
  const [{ id: commit = '' } = {}] = store.sql(
    "SELECT id FROM commits WHERE repo = 'data' AND root IS NOT NULL LIMIT 1",
  )
  const old = fileOf('data', String(commit), 'chunk')
  {
    await using pachd = await TestPachd.start({ root: store.root })
    await expect(getPieces(pachd, old)).rejects.toThrow('is damaged')
    await pachd.pfs.createRepo({ repo: { name: 'again' } })
    await pachd.pfs.startCommit({ parent: commitOf('again', ''), branch: 'master' })
    await putFile(pachd, fileOf('again', 'master', 'chunk'), [chunkFileBytes])
    await pachd.pfs.finishCommit({ commit: commitOf('again', 'master') })
    expect(Buffer.compare(concatBytes(await getPieces(pachd, old)), chunkFileBytes)).toBe(0)
  }
  const before = await store.check({ full: true })
  expect(kindsOf(before)).toEqual(['chunk-copy-damaged'])
  expect(before.findings[0]).toMatchObject({ subject: { pack, chunk: chunkFile } })
  expect(before.counts.errors).toBe(0)
  expect(kindsOf(await store.check())).toEqual(['chunk-copy-damaged'])
  {
    await using pachd = await TestPachd.start({ root: store.root })
    for await (const _ of pachd.admin.collectGarbage({})) await Promise.resolve()
    expect(Buffer.compare(concatBytes(await getPieces(pachd, old)), chunkFileBytes)).toBe(0)
  }
  expect((await store.check({ full: true })).findings).toEqual([])
  await using pachd = await TestPachd.start({ root: store.root })
  expect(Buffer.compare(concatBytes(await getPieces(pachd, old)), chunkFileBytes)).toBe(0)
})
