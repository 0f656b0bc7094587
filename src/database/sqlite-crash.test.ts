import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import type { Migrations } from './database.ts'
import { openSqlite } from './sqlite.ts'

const roundsMin = 8
const roundsMax = 40
const enoughMs = 6000
/** Small, so that processes are killed during checkpoints too. */
const checkpointBytes = 128 * 1024

const migrations: readonly Migrations[] = [
  {
    layer: 'test',
    steps: [['CREATE TABLE halves (value INTEGER PRIMARY KEY, padding BYTES NOT NULL)']],
  },
]

/** A module of ours as a child process imports it. */
function source(name: string): string {
  return JSON.stringify(new URL(name, import.meta.url).href)
}

/** Commits rows `value` and `-value` together, many at once, and prints each value when it is acknowledged. */
function startCommitting(path: string, first: number): ChildProcess {
  const program = `
    import { SystemClock } from ${source('../base/clock.ts')}
    import { openSqlite } from ${source('./sqlite.ts')}
    const database = await openSqlite({
      path: ${JSON.stringify(path)},
      migrations: ${JSON.stringify(migrations)},
      clock: new SystemClock(),
      checkpointBytes: ${checkpointBytes},
    })
    let next = ${first}
    const insert = 'INSERT INTO halves (value, padding) VALUES (?, ?)'
    const commit = async () => {
      for (;;) {
        const value = next++
        const padding = new Uint8Array(value % 3000)
        await database.transact(async (tx) => {
          await tx.run(insert, value, padding)
          await tx.emit('halves', String(value))
          await tx.run(insert, -value, padding)
        })
        await new Promise((resolve) => process.stdout.write(value + '\\n', resolve))
      }
    }
    await Promise.all(Array.from({ length: 8 }, commit))`
  return spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** Kills a committing process at a random moment; returns what it acknowledged. */
async function commitUntilKilled(path: string, first: number): Promise<readonly number[]> {
  const child = startCommitting(path, first)
  const { stdout } = child
  if (stdout === null) throw new Error('the child has no output')
  const acknowledged: number[] = []
  const lines = createInterface({ input: stdout })
  lines.on('line', (line) => acknowledged.push(Number(line)))
  const ended = Promise.all([once(child, 'exit'), once(lines, 'close')])
  await once(lines, 'line')
  await new Promise((resolve) => {
    setTimeout(resolve, Math.random() * 150)
  })
  child.kill('SIGKILL')
  const [[, signal]] = await ended
  expect(signal).toBe('SIGKILL')
  return acknowledged
}

test('a killed process leaves every acknowledged row, and no half of any', async () => {
  await using directory = await TemporaryDirectory.create()
  const acknowledged = new Set<number>()
  let first = 1
  const startMs = performance.now()
  for (let round = 0; round < roundsMax; round += 1) {
    if (round >= roundsMin && performance.now() - startMs > enoughMs) break
    for (const value of await commitUntilKilled(directory.path, first)) acknowledged.add(value)
    await using database = await openSqlite({
      path: directory.path,
      migrations,
      clock: new SystemClock(),
    })
    const found = await database.read(async (tx) => ({
      integrity: await tx.all('PRAGMA integrity_check'),
      values: await tx.all<{ value: number }>('SELECT value FROM halves WHERE value > 0'),
      torn: await tx.all('SELECT value FROM halves WHERE -value NOT IN (SELECT value FROM halves)'),
      silent: await tx.all(
        `SELECT value FROM halves WHERE value > 0
         AND CAST(value AS TEXT) NOT IN (SELECT subject FROM database_events)`,
      ),
    }))
    expect(found.integrity).toEqual([{ integrity_check: 'ok' }])
    expect(found.torn).toEqual([])
    expect(found.silent).toEqual([])
    const values = new Set(found.values.map(({ value }) => value))
    expect([...acknowledged].filter((value) => !values.has(value))).toEqual([])
    first = Math.max(0, ...values) + 1
  }
  expect(acknowledged.size).toBeGreaterThan(100)
})
