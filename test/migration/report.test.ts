import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import type { PachctlRun } from '../golden/pachctl-run.ts'
import { SmallCluster } from './small-cluster.ts'

interface Move {
  readonly pachd: TestPachd
  readonly cluster: SmallCluster
  readonly report: string
  readonly migrate: () => Promise<PachctlRun>
}

/** A small cluster, and what moves it to a server. */
async function moveIn(directory: TemporaryDirectory, pachd: TestPachd): Promise<Move> {
  const cluster = await SmallCluster.begin(directory.path, { layout: 'files', isText: false })
  await cluster.finish()
  const report = directory.join('reports', 'report.jsonl')
  await mkdir(dirname(report))
  const { etcd, storage } = cluster.writer
  const args = ['migrate', '--etcd', etcd, '--storage', storage, '--report', report]
  const here = { port: pachd.port, home: directory.path }
  const migrate = (): Promise<PachctlRun> =>
    pachctlHere([...args, '--keep-paused', '--open-commits', 'keep'], here)
  return { pachd, cluster, report, migrate }
}

test('a migration that is refused leaves the report of an earlier one as it is', async () => {
  await using directory = await TemporaryDirectory.create()
  await using pachd = await TestPachd.start()
  const { cluster, report, migrate } = await moveIn(directory, pachd)
  await writeFile(report, 'of an earlier one')
  const tree = join(cluster.writer.storage, 'object', cluster.objects.get('tree c1') ?? '')
  const whole = await readFile(tree)
  await rm(tree)
  expect(await migrate()).toMatchObject({ code: 1 })
  expect(await readFile(report, 'utf8')).toBe('of an earlier one')
  expect(await readdir(dirname(report))).toEqual(['report.jsonl'])
  await writeFile(tree, whole)
  expect(await migrate()).toMatchObject({ code: 0 })
  expect(await readFile(report, 'utf8')).toMatch(/^\{"/)
  expect(await readdir(dirname(report))).toEqual(['report.jsonl'])
})

test('a migration that is done is told again, with its report', async () => {
  await using directory = await TemporaryDirectory.create()
  await using pachd = await TestPachd.start()
  const { report, migrate } = await moveIn(directory, pachd)
  const first = await migrate()
  expect(first.code).toBe(0)
  const written = await readFile(report, 'utf8')
  expect(written.split('\n').filter((line) => line.startsWith('{"commit":')).length).toBe(4)
  await rm(report)
  const again = await migrate()
  expect(again).toMatchObject({ code: 0 })
  expect(again.out).toMatch(/^already migrated, Less than a second ago: /m)
  const contents = /\d+ contents read, .*/
  expect(contents.exec(again.out)?.[0]).toBe(contents.exec(first.out)?.[0])
  expect(await readFile(report, 'utf8')).toBe(written)

  await pachd.pps.deletePipeline({ pipeline: { name: 'out' }, deleteJobs: true })
  await pachd.pfs.deleteRepo({ repo: { name: 'out' }, force: true })
  const later = await migrate()
  expect(later).toMatchObject({ code: 0 })
  expect(later.out).toContain('deleted here since, of which the report says nothing: 1')
})
