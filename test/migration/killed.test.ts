import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { CommitInfoSchema, CommitSchema, RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { migrateTo, openCrashStores } from '../../src/testing/migration-crash.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { collect, fileOf, getText } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const child = fileURLToPath(new URL('../../src/testing/migration-crash-child.ts', import.meta.url))
const idOf = (digit: number): string => String(digit).repeat(32)
const commitCount = 3

/** A cluster of one repo, with a line of commits that each have a file more. */
async function writeCluster(directory: string): Promise<OldClusterWriter> {
  const writer = new OldClusterWriter(directory, { layout: 'files', isText: false })
  await writer.begin()
  const repo = { name: 'data' }
  writer.record('pachyderm_pfs/repos/data', RepoInfoSchema, { repo })
  const files = new Map<string, readonly string[]>()
  for (let at = 1; at <= commitCount; at += 1) {
    files.set(`/f${at}`, [await writer.putObject(Buffer.from(`content ${at}`.repeat(9000)))])
    const { hash, sizeBytes } = await writer.putTree(files)
    const time = { seconds: BigInt(1_500_000_000 + at), nanos: 0 }
    writer.record(`pachyderm_pfs/commits/data/${idOf(at)}`, CommitInfoSchema, {
      commit: { repo, id: idOf(at) },
      ...(at > 1 && { parentCommit: { repo, id: idOf(at - 1) } }),
      started: time,
      finished: time,
      sizeBytes: BigInt(sizeBytes),
      tree: { hash },
    })
  }
  writer.record('pachyderm_pfs/branches/data/master', CommitSchema, { repo, id: idOf(commitCount) })
  await writer.finish()
  return writer
}

/** How many rows there are of what comes, and of what a migration notes on its way. */
async function rowsIn(root: string): Promise<Readonly<Record<string, number>>> {
  await using stores = await openCrashStores(root)
  return await stores.database.read(async (tx) => {
    const counts: Record<string, number> = {}
    for (const table of ['repos', 'commits', 'branches', 'migration_runs', 'imported_trees']) {
      const row = await tx.get<{ readonly count: number }>(`SELECT COUNT(*) AS count FROM ${table}`)
      counts[table] = row?.count ?? 0
    }
    return counts
  })
}

const nothing = { repos: 0, commits: 0, branches: 0, migration_runs: 1, imported_trees: 0 }
const brought = { ...nothing, imported_trees: commitCount }
const whole = { ...brought, repos: 1, commits: commitCount, branches: 1, migration_runs: 0 }

/** Each goes on where the one before was killed. */
const steps = [
  ['migration: begun', nothing],
  ['migration: contents stored', nothing],
  // On a slow machine not all of it yet.
  ['migration: contents recorded', { ...nothing, imported_trees: expect.any(Number) as number }],
  ['migration: all brought', brought],
  ['migration: rows written', brought],
  ['migration: switched over', whole],
] as const

test('a migration that is killed at any step shows nothing or everything, and goes on', async () => {
  await using directory = await TemporaryDirectory.create()
  const { etcd, storage } = await writeCluster(directory.path)
  const root = directory.join('data')
  for (const [step, left] of steps) {
    const args = [child, root, step, etcd, storage]
    const killed = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    const [, signal] = await once(killed, 'exit')
    expect([step, signal]).toEqual([step, 'SIGKILL'])
    expect([step, await rowsIn(root)]).toEqual([step, left])
  }
  await expect(migrateTo(root, { etcd, storage }, () => undefined)).rejects.toThrow(
    'this server has a repo data',
  )
  await using pachd = await TestPachd.start({ root })
  for (let at = 1; at <= commitCount; at += 1) {
    expect(await getText(pachd, fileOf('data', idOf(at), `/f${at}`))).toBe(
      `content ${at}`.repeat(9000),
    )
  }
  const events = await collect(pachd.admin.check({ full: true }))
  expect(events.filter(({ event }) => event.case === 'finding')).toEqual([])
})
