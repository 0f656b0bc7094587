import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chunkIdOf } from '../../src/storage/chunk-id.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import {
  type CheckResult,
  chunkFileBytes,
  type DamagedStore,
  kindsOf,
  WholeStore,
} from '../harness/damaged-store.ts'

let whole: WholeStore

beforeAll(async () => {
  whole = await WholeStore.make()
})
afterAll(async () => {
  await whole[Symbol.asyncDispose]()
})

const pageBytes = 4096

async function namesOf(type: 'table' | 'index'): Promise<readonly string[]> {
  const store = await whole.copy()
  const rows = store.sql(
    `SELECT name FROM sqlite_schema WHERE type = '${type}' AND sql IS NOT NULL ORDER BY name`,
  )
  return rows.map(({ name }) => String(name))
}

/** A damaged chunk is found whatever becomes of the metadata. */
async function checkPacksToo(store: DamagedStore): Promise<CheckResult> {
  const { pack, chunk } = await store.find(chunkIdOf(chunkFileBytes))
  await store.flip(store.packPath(pack), chunk.offset + 100)
  const result = await store.check({ full: true })
  expect(kindsOf(result)).toContain('chunk-damaged')
  return result
}

test('whichever table is lost, it is told, and the packs are looked at', async () => {
  for (const table of await namesOf('table')) {
    const store = await whole.copy()
    store.sql(`DROP TABLE ${table}`)
    const result = await checkPacksToo(store)
    const told = result.findings.map(({ what }) => what).join('\n')
    expect(told).toMatch(new RegExp(`\\b${table}\\b|holds no store`))
    const kinds = kindsOf(result)
    expect(
      kinds.includes('table-damaged') || kinds.includes('metadata-lost'),
      `${table}: ${kinds.join()}`,
    ).toBe(true)
  }
})

test('whichever index is lost, it is told, and made again', async () => {
  for (const index of await namesOf('index')) {
    const store = await whole.copy()
    const sql = store.value(`SELECT sql FROM sqlite_schema WHERE name = '${index}'`)
    store.sql(`DROP INDEX ${index}`)
    const { findings } = await store.check({ fix: true })
    expect(findings).toMatchObject([{ kind: { name: 'index-missing' }, repair: 'done' }])
    expect(findings[0]?.what).toContain(index)
    expect(store.value(`SELECT sql FROM sqlite_schema WHERE name = '${index}'`)).toBe(sql)
  }
})

test.each([
  ['below', "UPDATE database_layers SET version = version - 1 WHERE layer = 'pipelines'"],
  ['far below', "UPDATE database_layers SET version = 0 WHERE layer = 'versioning'"],
  ['missing', "DELETE FROM database_layers WHERE layer = 'storage'"],
])('a version of a layer that is %s what it was is damage, and no bug', async (_what, sql) => {
  const store = await whole.copy()
  store.sql(sql)
  const before = await readFile(store.metadata)
  await using server = new ChildPachd(['--root', store.root, '--address', '127.0.0.1:0'])
  const started = await server.exit
  expect(started.err).toMatch(/database_layers says that/)
  expect(started.err).not.toContain('bug')
  await using check = new ChildPachd(['--root', store.root, '--fsck'])
  const { code, out } = await check.exit
  expect(code).toBe(1)
  expect(out).toMatch(/^ERROR metadata-lost: .*database_layers/)
  expect(await readFile(store.metadata)).toEqual(before)
})

test('whatever page is damaged, the check goes on to its end', async () => {
  const count = (await readFile((await whole.copy()).metadata)).length / pageBytes
  let toldCount = 0
  for (let round = 0; round < 25; round += 1) {
    const store = await whole.copy()
    const bytes = await readFile(store.metadata)
    const noise = seededBytes(round, pageBytes + 4)
    const start = (new DataView(noise.buffer).getUint32(pageBytes) % count) * pageBytes
    bytes.set(noise.subarray(0, pageBytes), start)
    await writeFile(store.metadata, bytes)
    const result = await store.check({ full: true })
    expect(result.counts.packs, `page ${start / pageBytes}`).toBeGreaterThan(0)
    if (result.counts.errors > 0) toldCount += 1
  }
  // Of pages that are free, nothing can be said.
  expect(toldCount).toBeGreaterThan(20)
})
