import type { CheckRun } from '../base/check-run.ts'
import type { Database, Migrations } from './database.ts'
import { databaseFinding } from './database-findings.ts'
import { integrityProblems } from './sqlite/integrity.ts'
import { expectedSchema, type SchemaPart, storedSchema } from './sqlite/schema.ts'

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

/** Looks whether all tables and indexes are there that this release makes. */
export async function checkSchema(
  { database, path }: { readonly database: Database; readonly path: string },
  migrations: readonly Migrations[],
  run: CheckRun,
): Promise<void> {
  run.stage = 'tables'
  const stored = new Map(storedSchema(path).map((part) => [part.name, part]))
  for (const part of await expectedSchema(migrations)) {
    const problem = partProblem(part, stored.get(part.name))
    if (problem === undefined) continue
    // Made again from the rows, if its table is there.
    const isDerivable = part.type === 'index' && stored.has(part.table)
    const isMissing = !stored.has(part.name)
    await run.report({
      kind: databaseFinding(part.type === 'index' ? 'index-missing' : 'table-damaged'),
      subject: {},
      what: `${path}: the ${part.type} ${part.name} ${problem}`,
      ...(isDerivable && isMissing ? { repair: () => makeIndex(database, part) } : {}),
    })
  }
}

function partProblem(part: SchemaPart, found: SchemaPart | undefined): string | undefined {
  if (found === undefined) return 'is not there'
  if (found.type !== part.type || found.columns !== part.columns) {
    return `has other columns (${found.columns}) than it should (${part.columns})`
  }
  return undefined
}

async function makeIndex(database: Database, { sql, name }: SchemaPart): Promise<boolean> {
  return await database.transact(async (tx) => {
    const there = await tx.get('SELECT name FROM sqlite_schema WHERE name = ?', name)
    if (there !== undefined) return false
    await tx.run(sql)
    return true
  })
}
