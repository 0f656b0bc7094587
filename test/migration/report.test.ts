import { lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
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
  const earlier = '{"note":"of an earlier one"}\n'
  await writeFile(report, earlier)
  const tree = join(cluster.writer.storage, 'object', cluster.objects.get('tree c1') ?? '')
  const whole = await readFile(tree)
  await rm(tree)
  expect(await migrate()).toMatchObject({ code: 1 })
  expect(await readFile(report, 'utf8')).toBe(earlier)
  expect(await readdir(dirname(report))).toEqual(['report.jsonl'])
  await writeFile(tree, whole)
  expect(await migrate()).toMatchObject({ code: 0 })
  expect(await readFile(report, 'utf8')).toMatch(/^\{"commit":/)
  expect(await readFile(report.replace('.jsonl', '.1.jsonl'), 'utf8')).toBe(earlier)
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

test('a report of another migration is kept by another name, and one that is the same is replaced', async () => {
  await using directory = await TemporaryDirectory.create()
  await using pachd = await TestPachd.start()
  const { report, migrate } = await moveIn(directory, pachd)
  const earlier = ['{"note":"of one"}\n', '{"note":"of another"}\n']
  await writeFile(report, earlier[0] ?? '')
  await writeFile(report.replace('.jsonl', '.1.jsonl'), earlier[1] ?? '')
  const first = await migrate()
  expect(first.code).toBe(0)
  const kept = report.replace('.jsonl', '.2.jsonl')
  expect(first.out).toContain(
    `report: ${report}\nthe report that was there before is kept as ${kept}\n`,
  )
  const again = await migrate()
  expect(again.code).toBe(0)
  expect(again.out).not.toContain('is kept as')
  const names = (await readdir(dirname(report))).toSorted()
  expect(names).toEqual(['report.1.jsonl', 'report.2.jsonl', 'report.jsonl'])
  expect(await readFile(kept, 'utf8')).toBe(earlier[0])
  expect(await readFile(report.replace('.jsonl', '.1.jsonl'), 'utf8')).toBe(earlier[1])
  expect(await readFile(report, 'utf8')).toMatch(/^\{"commit":/)
})

test('files that are damaged are told of one commit, and of others with its tree that they lack them', async () => {
  await using directory = await TemporaryDirectory.create()
  await using pachd = await TestPachd.start()
  const cluster = await SmallCluster.begin(directory.path, { layout: 'files', isText: false })
  const hash = cluster.objects.get('tree c1') ?? ''
  cluster.setCommit('src', 'c2', { hash, sizeBytes: 24 })
  await cluster.finish()
  const { etcd, storage } = cluster.writer
  await rm(join(storage, 'object', cluster.objects.get('b') ?? ''))
  const report = directory.join('report.jsonl')
  const args = ['migrate', '--etcd', etcd, '--storage', storage, '--report', report]
  const migrate = (): Promise<PachctlRun> =>
    pachctlHere([...args, '--keep-paused', '--skip-damaged'], {
      port: pachd.port,
      home: directory.path,
    })
  for (let round = 0; round < 2; round += 1) {
    const { code, out, err } = await migrate()
    expect(code).toBe(1)
    expect(err).toContain('4 things of the old cluster could not be brought over')
    const told = [
      'commit src/c2: it has the tree of src/c1, which lacks files, as told: so does it',
      'commit src/w1: its parent c2 lacks files, as told: so does it',
      'file src/c1:/b: an object of its content is damaged',
      'object <b>: there is no object <b> in STORAGE',
    ]
    const lines = cluster.masked(out).split('\n')
    expect(lines.filter((line) => line.startsWith('damaged: ')).toSorted()).toEqual(
      told.map((line) => `damaged: ${line}`),
    )
    const written = (await readFile(report, 'utf8')).split('\n')
    expect(written.filter((line) => line.startsWith('{"damage":'))).toHaveLength(told.length)
  }
})

test('a report takes the place of a report, behind a link too, and of nothing else', async () => {
  await using directory = await TemporaryDirectory.create()
  await using pachd = await TestPachd.start()
  const { report, migrate } = await moveIn(directory, pachd)
  await writeFile(report, 'a diary')
  expect(await migrate()).toMatchObject({
    code: 1,
    err: `${report} is no report of a migration, and would be lost: name another file with --report, or remove it\n`,
  })
  expect(await readFile(report, 'utf8')).toBe('a diary')
  await rm(report)
  await symlink('elsewhere', report)
  expect(await migrate()).toMatchObject({ code: 0 })
  expect((await lstat(report)).isSymbolicLink()).toBe(true)
  expect(await readFile(report, 'utf8')).toMatch(/^\{"/)
  expect(await migrate()).toMatchObject({ code: 0 })
})
