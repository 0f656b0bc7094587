import { expect, test } from 'vitest'
import { CommitInfoSchema, RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { commitOf, fileOf, getText } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { migrate } from './migrate.ts'

const commitId = '0123456789ab4def0123456789abcdef'
/** More than are put in at once, so that they wait in the store. */
const fileCount = 9000

test('a tree of more files than are held at once comes whole, in whatever order it is', async () => {
  await using directory = await TemporaryDirectory.create()
  const writer = new OldClusterWriter(directory.path, { layout: 'files', isText: false })
  await writer.begin()
  const repo = { name: 'data' }
  writer.record('pachyderm_pfs/repos/data', RepoInfoSchema, { repo })
  const contents = ['zero', 'one'].map((text) => writer.putObject(Buffer.from(text)))
  const objects = await Promise.all(contents)
  const files = new Map<string, readonly string[]>()
  for (let at = 0; at < fileCount; at += 1) {
    files.set(`/d${at % 7}/f${(at * 7919) % fileCount}`, [objects[at % 2] ?? ''])
  }
  const { hash, sizeBytes } = await writer.putTree(files, ['/d0/empty', '/other/empty'])
  const time = { seconds: 1_500_000_000n, nanos: 0 }
  writer.record(`pachyderm_pfs/commits/data/${commitId}`, CommitInfoSchema, {
    commit: { repo, id: commitId },
    started: time,
    finished: time,
    sizeBytes: BigInt(sizeBytes),
    tree: { hash },
  })
  await writer.finish()
  await using pachd = await TestPachd.start()
  const { damage, summary } = await migrate(pachd, writer, {})
  expect(damage).toEqual([])
  expect(summary?.counts).toMatchObject({ files: BigInt(fileCount), bytes: BigInt(sizeBytes) })
  const commit = commitOf('data', commitId)
  const { fileInfo } = await pachd.pfs.globFile({ commit, pattern: '/*/*' })
  const paths = fileInfo.map(({ file }) => file?.path ?? '')
  const expected = [...files.keys(), '/d0/empty', '/other/empty']
  expect(paths.toSorted()).toEqual(expected.toSorted())
  expect(await getText(pachd, fileOf('data', commitId, '/d1/f7919'))).toBe('one')
})
