import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UnavailableError } from '../base/errors.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import {
  counter,
  fillOne,
  migrations,
  type NewDatabaseStore,
  openOne,
  type OpenOne,
  setCounter,
} from './database-fixture.ts'
import { describeRefusedValues, describeValues } from './database-value-conformance.ts'
import {
  describeEvents,
  describeResuming,
  describeWatching,
  drain,
} from './database-watch-conformance.ts'

/** What every database must do, whatever is behind its door. */
export function describeDatabase(name: string, newStore: NewDatabaseStore): void {
  const open: OpenOne = () => openOne(newStore)
  describe(`database: ${name}`, () => {
    describeAtomicity(open)
    describeIsolation(open)
    describeFailures(open)
    describeReads(open)
    describeValues(open)
    describeRefusedValues(open)
    describeEvents(open)
    describeWatching(open)
    describeResuming(open)
    describeLifetime(newStore)
  })
}

function describeAtomicity(open: OpenOne): void {
  test('an operation that throws leaves nothing, and its caller gets what it threw', async () => {
    await using one = await open()
    const thrown = new Error('on purpose')
    const failing = one.database.transact(async (tx) => {
      await setCounter(tx, 'a', 1)
      throw thrown
    })
    await expect(failing).rejects.toBe(thrown)
    expect(await one.database.read((tx) => counter(tx, 'a'))).toBeUndefined()
  })

  test('of many operations at once, exactly those that succeed leave all that they wrote', async () => {
    await using one = await open()
    const plans = fc.array(
      fc.record({ writes: fc.integer({ min: 1, max: 4 }), fails: fc.boolean() }),
      {
        maxLength: 40,
      },
    )
    await fc.assert(
      fc.asyncProperty(plans, async (operations) => {
        await one.database.transact((tx) => tx.run('DELETE FROM integers'))
        const outcomes = await Promise.allSettled(
          operations.map(({ writes, fails }, index) =>
            one.database.transact(async (tx) => {
              for (let write = 0; write < writes; write += 1) {
                await tx.run(
                  'INSERT INTO integers (id, value) VALUES (?, ?)',
                  index * 10 + write,
                  1,
                )
              }
              if (fails) throw new Error('on purpose')
            }),
          ),
        )
        expect(outcomes.map(({ status }) => status)).toEqual(
          operations.map(({ fails }) => (fails ? 'rejected' : 'fulfilled')),
        )
        const rows = await one.database.read((tx) =>
          tx.all<{ id: number }>('SELECT id FROM integers ORDER BY id'),
        )
        const expected = operations.flatMap(({ writes, fails }, index) =>
          fails ? [] : Array.from({ length: writes }, (_, write) => index * 10 + write),
        )
        expect(rows.map(({ id }) => id)).toEqual(expected)
      }),
      { numRuns: 25 },
    )
  })
}

function describeIsolation(open: OpenOne): void {
  test('no increment of many at once is lost', async () => {
    await using one = await open()
    await one.database.transact((tx) => setCounter(tx, 'a', 0))
    const seen = await Promise.all(
      Array.from({ length: 500 }, () =>
        one.database.transact(async (tx) => {
          const value = (await counter(tx, 'a')) ?? 0
          await setCounter(tx, 'a', value + 1)
          return value
        }),
      ),
    )
    expect(await one.database.read((tx) => counter(tx, 'a'))).toBe(500)
    expect(new Set(seen).size).toBe(500)
  })

  test('nothing of another operation falls between two statements of one', async () => {
    await using one = await open()
    await Promise.all(
      Array.from({ length: 100 }, (_, operation) =>
        one.database.transact(async (tx) => {
          for (let step = 0; step < 3; step += 1) {
            const last = await tx.get<{ id: number | null }>('SELECT max(id) AS id FROM integers')
            const id = (last?.id ?? 0) + 1
            await tx.run('INSERT INTO integers (id, value) VALUES (?, ?)', id, operation)
          }
        }),
      ),
    )
    const rows = await one.database.read((tx) =>
      tx.all<{ value: number }>('SELECT value FROM integers ORDER BY id'),
    )
    expect(rows).toHaveLength(300)
    for (let index = 0; index < rows.length; index += 3) {
      expect(new Set(rows.slice(index, index + 3).map(({ value }) => value)).size).toBe(1)
    }
  })
}

function describeFailures(open: OpenOne): void {
  test('an operation cannot go on after a statement that failed', async () => {
    await using one = await open()
    const swallowing = one.database.transact(async (tx) => {
      await setCounter(tx, 'a', 1)
      await tx.run('INSERT INTO integers (id, value) VALUES (1, 1)')
      await tx.run('INSERT INTO integers (id, value) VALUES (1, 2)').catch(() => undefined)
    })
    await expect(swallowing).rejects.toThrow('invariant broken')
    expect(await one.database.read((tx) => counter(tx, 'a'))).toBeUndefined()
  })

  test('statements that the database does not understand are refused with their text', async () => {
    await using one = await open()
    await expect(one.database.transact((tx) => tx.run('INSERT NOTHING'))).rejects.toThrow(
      'INSERT NOTHING',
    )
    await one.database.transact((tx) => setCounter(tx, 'a', 1))
  })

  test('a transaction that is used after its callback has settled throws', async () => {
    await using one = await open()
    let kept: Transaction | undefined
    let keptRead: ReadTransaction | undefined
    await one.database.transact(async (tx) => {
      kept = tx
      await setCounter(tx, 'a', 1)
    })
    await one.database.read(async (tx) => {
      keptRead = tx
      await counter(tx, 'a')
    })
    await expect(kept?.run('DELETE FROM counters')).rejects.toThrow('invariant broken')
    await expect(kept?.emit('topic', 'subject')).rejects.toThrow('invariant broken')
    await expect(keptRead?.all('SELECT 1')).rejects.toThrow('invariant broken')
    await one.database
      .transact(async (tx) => {
        kept = tx
        await setCounter(tx, 'a', 2)
        throw new Error('on purpose')
      })
      .catch(() => undefined)
    await expect(kept?.get('SELECT 1')).rejects.toThrow('invariant broken')
    expect(await one.database.read((tx) => counter(tx, 'a'))).toBe(1)
  })

  test('run tells how many rows changed', async () => {
    await using one = await open()
    const counts = await one.database.transact(async (tx) => [
      await tx.run('INSERT INTO integers (id, value) VALUES (1, 1), (2, 1), (3, 2)'),
      await tx.run('UPDATE integers SET value = 5 WHERE value = 1'),
      await tx.run('DELETE FROM integers WHERE value = 9'),
    ])
    expect(counts).toEqual([3, 2, 0])
  })
}

function describeReads(open: OpenOne): void {
  test('a read sees one state, whatever is written while it runs', async () => {
    await using one = await open()
    await one.database.transact(async (tx) => {
      await setCounter(tx, 'a', 1000)
      await setCounter(tx, 'b', 0)
    })
    const sums: number[] = []
    const move = async (): Promise<void> => {
      for (let count = 0; count < 50; count += 1) {
        await one.database.transact(async (tx) => {
          await setCounter(tx, 'a', ((await counter(tx, 'a')) ?? 0) - 1)
          await setCounter(tx, 'b', ((await counter(tx, 'b')) ?? 0) + 1)
        })
      }
    }
    const sum = async (): Promise<void> => {
      for (let count = 0; count < 50; count += 1) {
        await one.database.read(async (tx) => {
          const a = (await counter(tx, 'a')) ?? 0
          // Long enough that commits come between, were they not kept out.
          for (let step = 0; step < 30; step += 1) await tx.get('SELECT 1 AS one')
          sums.push(a + ((await counter(tx, 'b')) ?? 0))
        })
      }
    }
    await Promise.all([move(), sum(), move(), sum(), move(), sum()])
    expect(new Set(sums)).toEqual(new Set([1000]))
    expect(await one.database.read((tx) => counter(tx, 'b'))).toBe(150)
  })

  test('a read sees every write that was acknowledged before it', async () => {
    await using one = await open()
    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        await one.database.transact((tx) => setCounter(tx, `${index}`, index))
        expect(await one.database.read((tx) => counter(tx, `${index}`))).toBe(index)
      }),
    )
  })

  test('a read cannot write', async () => {
    await using one = await open()
    const writing = one.database.read((tx) =>
      tx.get("INSERT INTO counters (name, value) VALUES ('a', 1) RETURNING value"),
    )
    await expect(writing).rejects.toThrow(/read-?only/)
    expect(await one.database.read((tx) => counter(tx, 'a'))).toBeUndefined()
  })

  test('a read that throws gives its caller what it threw, and the next one works', async () => {
    await using one = await open()
    const thrown = new Error('on purpose')
    await expect(one.database.read(() => Promise.reject(thrown))).rejects.toBe(thrown)
    expect(await one.database.read((tx) => counter(tx, 'a'))).toBeUndefined()
  })
}

function describeLifetime(newStore: NewDatabaseStore): void {
  test('what was acknowledged is there after reopening', async () => {
    await using store = await newStore()
    {
      await using database = await store.open(migrations)
      await Promise.all(
        Array.from({ length: 100 }, (_, index) => database.transact((tx) => fillOne(tx, index))),
      )
    }
    await using database = await store.open(migrations)
    const row = await database.read((tx) => tx.get('SELECT count(*) AS count FROM integers'))
    expect(row).toEqual({ count: 100 })
  })

  test('closing finishes what was asked for, refuses what comes later, and ends watches', async () => {
    await using store = await newStore()
    const database = await store.open(migrations)
    const signal = new AbortController().signal
    const watching = drain(database.watch(['a'], { signal }))
    watching.catch(() => undefined)
    const asked = Array.from({ length: 20 }, (_, index) =>
      database.transact((tx) => fillOne(tx, index)),
    )
    const reading = database.read((tx) => counter(tx, 'a'))
    const closing = database[Symbol.asyncDispose]()
    await expect(database.transact((tx) => fillOne(tx, 99))).rejects.toThrow(UnavailableError)
    await expect(database.read((tx) => counter(tx, 'a'))).rejects.toThrow(UnavailableError)
    expect(await Promise.all(asked)).toEqual(asked.map(() => undefined))
    expect(await reading).toBeUndefined()
    await closing
    await expect(watching).rejects.toThrow(UnavailableError)
    await database[Symbol.asyncDispose]()
  })
}
