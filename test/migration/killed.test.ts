import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { SqlRow } from '../../src/database/database.ts'
import type {
  MigratedCommit,
  MigrationCounts,
  MigrationEvent,
  OpenCommitChoice,
} from '../../src/migration/events.ts'
import { migrateTo, openCrashStores } from '../../src/testing/migration-crash.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { collect } from '../harness/files.ts'
import { UnpackedCluster } from '../harness/old-clusters.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const child = fileURLToPath(new URL('../../src/testing/migration-crash-child.ts', import.meta.url))

/** Where bytes lie in packs, and what this server does on its own. */
const physical = /^(?:packs|retired_packs|damaged_chunks|last_collection|database_|sqlite_)/

/** Every row of every table but those, with the times of migrating masked. */
async function rowsIn(
  root: string,
  since: number,
): Promise<ReadonlyMap<string, readonly string[]>> {
  await using stores = await openCrashStores(root)
  return await stores.database.read(async (tx) => {
    const tables = await tx.all<{ readonly name: string }>(
      `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`,
    )
    const found = new Map<string, readonly string[]>()
    for (const { name } of tables) {
      if (physical.test(name)) continue
      const rows = await tx.all<SqlRow>(`SELECT * FROM ${name}`)
      found.set(name, rows.map((row) => rowText(row, since)).toSorted())
    }
    return found
  })
}

function rowText(row: SqlRow, since: number): string {
  return JSON.stringify(row, (_, value: unknown) => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
    return typeof value === 'number' && value >= since ? 'since then' : value
  })
}

function countsOf(rows: ReadonlyMap<string, readonly string[]>): Readonly<Record<string, number>> {
  return Object.fromEntries([...rows].map(([name, { length }]) => [name, length]))
}

interface Told {
  readonly findings: readonly string[]
  readonly commits: readonly MigratedCommit[]
  readonly counts: Readonly<MigrationCounts> | undefined
  readonly isAgain: boolean
}

function toldIn(events: readonly MigrationEvent[]): Told {
  const end = events.findLast((event) => event.kind === 'end')
  return {
    findings: events.flatMap((event) => {
      if (event.kind === 'notice') return event.text
      return event.kind === 'damage' ? JSON.stringify(event.damage) : []
    }),
    commits: events.flatMap((event) => (event.kind === 'commit' ? event.commit : [])),
    counts: end?.counts,
    isAgain: end?.completedAt !== undefined,
  }
}

/** Each goes on where the one before was killed. */
const steps: readonly (readonly [step: string, count: number])[] = [
  ['migration: begun', 1],
  ['migration: commit brought', 1],
  ['migration: commit brought', 40],
  ['migration: contents stored', 1],
  ['migration: contents recorded', 1],
  ['migration: job brought', 1],
  ['migration: results stored', 2],
  ['migration: results recorded', 2],
  ['migration: results recorded', 9],
  ['migration: job brought', 20],
  ['migration: all brought', 1],
  ['migration: rows written', 1],
  ['migration: switched over', 1],
]

/** What nobody may see before the last step. */
const seen = ['repos', 'commits', 'branches', 'pipelines', 'job_rows', 'datum_results']

test.each([
  ['1.4.8', 'finish'],
  ['1.5.3', 'keep'],
  ['1.5.3-objectstore', 'drop'],
] as const)(
  'a migration of %s that is killed at each step, and whose open commits it is to %s, ends as one that is not',
  async (name, openCommits: OpenCommitChoice) => {
    await using cluster = await UnpackedCluster.unpack(name)
    await using directory = await TemporaryDirectory.create()
    const { etcd, storage } = cluster
    const since = Date.now() * 1000
    const undisturbed = directory.join('undisturbed')
    const request = { etcd, storage, openCommits }
    const told = toldIn(await migrateTo(undisturbed, request, () => undefined))
    expect(told.commits.length).toBeGreaterThan(30)
    const expected = await rowsIn(undisturbed, since)
    for (const table of [...seen, 'commit_provenance', 'job_inputs', 'imported_objects']) {
      expect([table, expected.get(table)?.length]).not.toEqual([table, 0])
    }

    const root = directory.join('killed')
    for (const [step, count] of steps) {
      const args = [child, root, step, String(count), etcd, storage, openCommits]
      const killed = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
      const [, signal] = (await once(killed, 'exit')) as [unknown, unknown]
      expect([step, count, signal]).toEqual([step, count, 'SIGKILL'])
      if (step === 'migration: switched over') break
      const counts = countsOf(await rowsIn(root, since))
      for (const table of seen) expect([step, table, counts[table]]).toEqual([step, table, 0])
      expect([step, counts['migration_runs']]).toEqual([step, 1])
    }
    expect(await rowsIn(root, since)).toEqual(expected)
    // Nobody was told before it was killed.
    expect(toldIn(await migrateTo(root, request, () => undefined))).toEqual({
      ...told,
      isAgain: true,
    })
    expect(await rowsIn(root, since)).toEqual(expected)

    await using pachd = await TestPachd.start({ root })
    const events = await collect(pachd.admin.check({ full: true }))
    expect(events.filter(({ event }) => event.case === 'finding')).toEqual([])
  },
)
