import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DamagedStore, kindsOf, WholeStore } from '../harness/damaged-store.ts'
import { derivableDamage } from '../harness/derivable-damage.ts'
import { type Damage, head, lastingDamage, outputCommit } from '../harness/row-damage.ts'

let whole: WholeStore

beforeAll(async () => {
  whole = await WholeStore.make()
})
afterAll(async () => {
  await whole[Symbol.asyncDispose]()
})

async function damaged({ sql, more = [] }: Damage): Promise<DamagedStore> {
  const store = await whole.copy()
  for (const statement of [sql, ...more]) store.sql(statement)
  return store
}

/** All rows but events and what repairs write anew. */
function rowsOf(store: DamagedStore): unknown {
  const tables = store.sql("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
  return tables
    .map(({ name }) => String(name))
    .filter((name) => !/^(?:database_|sqlite_)/.test(name))
    .map((name) => [name, store.sql(`SELECT * FROM ${name}`)])
}

test.each(lastingDamage)('$what: told exactly, and nothing is guessed', async (damage) => {
  const store = await damaged(damage)
  const result = await store.check({ full: true })
  expect(kindsOf(result)).toEqual(damage.kinds)
  expect(result.findings.map(({ subject }) => subject)).toContainEqual(
    expect.objectContaining(damage.subject ?? {}),
  )
  await store.check({ fix: true })
  const left = await store.check()
  expect(left.findings.length).toBeGreaterThan(0)
})

test.each(derivableDamage)('$what: told exactly, and put right', async (damage) => {
  const store = await damaged(damage)
  const before = rowsOf(store)
  const dry = await store.check({ full: true })
  expect(kindsOf(dry)).toEqual(damage.kinds)
  const { follows = [] } = damage
  const causes = dry.findings.filter(({ kind }) => !follows.includes(kind.name))
  expect(causes.every(({ repair }) => repair === 'possible')).toBe(true)
  expect(dry.findings.map(({ subject }) => subject)).toContainEqual(
    expect.objectContaining(damage.subject ?? {}),
  )
  expect(rowsOf(store)).toEqual(before)
  const fixed = await store.check({ fix: true })
  expect(kindsOf(fixed)).toEqual(damage.kinds.filter((kind) => !follows.includes(kind)))
  expect(fixed.findings.every(({ repair }) => repair === 'done')).toBe(true)
  expect(fixed.counts).toMatchObject({ errors: 0, warnings: 0, repaired: fixed.findings.length })
  expect((await store.check({ full: true })).findings).toEqual([])
})

test('a full check compares the output of a job that none builds on, too', async () => {
  const store = await damaged({
    what: 'an output commit that is not the last of its pipeline has another tree',
    sql: `UPDATE commits SET (root, size_bytes, file_count) =
        (SELECT root, size_bytes, file_count FROM commits WHERE id = ${head})
      WHERE id = ${outputCommit}`,
    // As when the pipeline was told to process everything anew.
    more: [
      `INSERT INTO pipeline_versions SELECT pipeline_id, version + 1, spec
        FROM pipeline_versions WHERE pipeline_id = (SELECT id FROM pipelines WHERE name = 'copy')`,
      "UPDATE pipelines SET version = version + 1, salt = 'another' WHERE name = 'copy'",
    ],
    kinds: [],
  })
  expect(kindsOf(await store.check())).toEqual([])
  const full = await store.check({ full: true })
  expect(kindsOf(full)).toEqual(['job-output-wrong'])
  expect(full.findings[0]).toMatchObject({ subject: { pipeline: 'copy', repo: 'copy' } })
})
