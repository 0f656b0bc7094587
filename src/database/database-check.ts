import type { CheckRun } from '../base/check-run.ts'
import type { Database } from './database.ts'
import { databaseFinding } from './database-findings.ts'
import { integrityProblems } from './sqlite/integrity.ts'

type EventRow = {
  readonly count: number
  readonly first: number | null
  readonly last: number | null
}

/** Checks the event log: numbers grow by one. */
export async function checkEventLog(database: Database, run: CheckRun): Promise<void> {
  run.stage = 'event log'
  const row = await database.read((tx) =>
    tx.get<EventRow>(
      'SELECT COUNT(*) AS count, MIN(sequence) AS first, MAX(sequence) AS last FROM database_events',
    ),
  )
  run.counts.rows += row?.count ?? 0
  if (row === undefined || row.first === null || row.last === null) return
  const expected = row.last - row.first + 1
  if (row.count === expected) return
  await run.report({
    kind: databaseFinding('event-log-gap'),
    subject: {},
    what: `the event log has ${row.count} of the ${expected} events from ${row.first} to ${row.last}`,
  })
}

/** Has SQLite look through all pages of the file `path`, on another thread and beside writers. */
export async function checkSqliteFile(path: string, run: CheckRun): Promise<void> {
  run.stage = 'metadata'
  const problems = await integrityProblems(path, run.options.full, run.signal)
  for (const problem of problems) {
    await run.report({
      kind: databaseFinding('metadata-damaged'),
      subject: {},
      what: `${path}: ${problem}`,
    })
  }
}
