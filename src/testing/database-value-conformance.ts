import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { InvalidArgumentError } from '../base/errors.ts'
import type { SqlValue, Transaction } from '../database/database.ts'
import type { OpenOne } from './database-fixture.ts'

/** What becomes of values on their way in and out. */
export function describeValues(open: OpenOne): void {
  const integers = fc.option(fc.maxSafeInteger())
  const texts = fc.option(
    fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0') && text.isWellFormed()),
  )
  const blobs = fc.option(fc.uint8Array({ maxLength: 50 }))

  test.each([
    ['integers', integers],
    ['texts', texts],
    ['blobs', blobs],
  ] as const)('%s come back as they were, and are found by equality', async (table, values) => {
    await using one = await open()
    await fc.assert(
      fc.asyncProperty(fc.array<SqlValue>(values, { maxLength: 20 }), async (list) => {
        const back = await one.database.transact(async (tx) => {
          await fill(tx, table, list)
          return await tx.all<{ value: SqlValue }>(`SELECT value FROM ${table} ORDER BY id`)
        })
        expect(back.map(({ value }) => value)).toEqual(list)
        const [first] = list
        if (first === undefined || first === null) return
        const found = await one.database.read((tx) =>
          tx.get<{ id: number }>(`SELECT min(id) AS id FROM ${table} WHERE value = ?`, first),
        )
        expect(found?.id).toBe(1)
      }),
      { numRuns: 30 },
    )
  })

  test('texts and bytes are ordered by their bytes', async () => {
    await using one = await open()
    const lists = fc.record({ texts: fc.array(texts), blobs: fc.array(blobs) })
    await fc.assert(
      fc.asyncProperty(lists, async (list) => {
        for (const table of ['texts', 'blobs'] as const) {
          const values = list[table].filter((value) => value !== null)
          const back = await one.database.transact(async (tx) => {
            await fill(tx, table, values)
            return await tx.all<{ value: string | Uint8Array }>(
              `SELECT value FROM ${table} ORDER BY value`,
            )
          })
          const sorted = values
            .map((value) => Buffer.from(value))
            .toSorted((left, right) => Buffer.compare(left, right))
          expect(back.map(({ value }) => Buffer.from(value))).toEqual(sorted)
        }
      }),
      { numRuns: 30 },
    )
    // The order of UTF-16 code units differs from that of bytes for these two.
    await one.database.transact((tx) => fill(tx, 'texts', ['\u{10000}', '\uFFFF']))
    const ordered = await one.database.read((tx) => tx.all('SELECT id FROM texts ORDER BY value'))
    expect(ordered).toEqual([{ id: 2 }, { id: 1 }])
  })
}

/** What happens to values that a column is not made for. */
export function describeRefusedValues(open: OpenOne): void {
  test('what a column cannot hold exactly is refused', async () => {
    await using one = await open()
    for (const value of [1.5, Number.NaN, Infinity, 2 ** 53, 'a\0b', '\uD800']) {
      const table = typeof value === 'number' ? 'integers' : 'texts'
      await expect(one.database.transact((tx) => fill(tx, table, [value]))).rejects.toThrow(
        InvalidArgumentError,
      )
    }
    for (const [table, value] of [
      ['integers', 'text'],
      ['integers', new Uint8Array([49])],
      ['blobs', 'text'],
    ] as const) {
      await expect(one.database.transact((tx) => fill(tx, table, [value]))).rejects.toThrow(
        /store|type/,
      )
    }
  })

  test('integers are divided as integers', async () => {
    await using one = await open()
    await one.database.transact((tx) => fill(tx, 'integers', [7]))
    const row = await one.database.read((tx) => tx.get('SELECT value / ? AS half FROM integers', 2))
    expect(row).toEqual({ half: 3 })
  })
}

async function fill(tx: Transaction, table: string, values: readonly SqlValue[]): Promise<void> {
  await tx.run(`DELETE FROM ${table}`)
  for (const [index, value] of values.entries()) {
    await tx.run(`INSERT INTO ${table} (id, value) VALUES (?, ?)`, index + 1, value)
  }
}
