import { expect, test } from 'vitest'
import { CommitInfoSchema, CommitSchema, RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { PipelineInfoSchema, PipelineState } from '../../src/gen/pps_pb.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { refused } from '../harness/expectations.ts'
import { collect, commitOf, fileOf, getText } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { migrate } from './migrate.ts'

const commitId = '0123456789ab4def0123456789abcdef'
/** No new branch may be named so here; 1.4 took them. */
const names = ['a/b', '@odd~name^']
const outputBranch = 'results/v1'
const transform = { cmd: ['cp', '/pfs/data/a', '/pfs/out/b'] }
const input = { atom: { name: 'data', repo: 'data', branch: 'a/b', glob: '/*' } }

async function writeCluster(directory: string): Promise<OldClusterWriter> {
  const writer = new OldClusterWriter(directory, { layout: 'files', isText: true })
  await writer.begin()
  const [repo, pipeline] = [{ name: 'data' }, { name: 'copy' }]
  const time = { seconds: 1_500_000_000n, nanos: 0 }
  writer.record('pachyderm_pfs/repos/data', RepoInfoSchema, { repo })
  writer.record('pachyderm_pfs/repos/copy', RepoInfoSchema, { repo: pipeline, provenance: [repo] })
  const object = await writer.putObject(Buffer.from('hello'))
  const { hash } = await writer.putTree(new Map([['/a', [object]]]))
  writer.record(`pachyderm_pfs/commits/data/${commitId}`, CommitInfoSchema, {
    commit: { repo, id: commitId },
    started: time,
    finished: time,
    sizeBytes: 5n,
    tree: { hash },
  })
  for (const name of names) {
    writer.record(`pachyderm_pfs/branches/data/${name}`, CommitSchema, { repo, id: commitId })
  }
  writer.record('pachyderm_pps/pipelines/copy', PipelineInfoSchema, {
    id: 'id-of-copy',
    pipeline,
    version: 1n,
    transform,
    input,
    outputBranch,
    state: PipelineState.PIPELINE_RUNNING,
    createdAt: time,
  })
  await writer.finish()
  return writer
}

/** A server into which the cluster has been brought, and its job has ended. */
async function openMigrated(directory: string): Promise<TestPachd> {
  const writer = await writeCluster(directory)
  await using opened = new AsyncDisposableStack()
  const pachd = opened.use(await TestPachd.start())
  const { damage } = await migrate(pachd, writer, {})
  expect(damage).toEqual([])
  await collect(pachd.pfs.flushCommit({ commits: [commitOf('data', commitId)] }))
  opened.move()
  return pachd
}

async function branchesOf({ pfs }: TestPachd, repo: string): Promise<readonly string[]> {
  const { branchInfo } = await pfs.listBranch({ repo: { name: repo } })
  return branchInfo.map(({ name }) => name).toSorted()
}

test('a pipeline keeps an output branch that none could be given here', async () => {
  await using directory = await TemporaryDirectory.create()
  await using pachd = await openMigrated(directory.path)
  expect(await getText(pachd, fileOf('copy', outputBranch, '/b'))).toBe('hello')
  const spec = { pipeline: { name: 'copy' }, transform, input }
  await pachd.pps.createPipeline({ ...spec, outputBranch, update: true })
  expect(await branchesOf(pachd, 'copy')).toEqual([outputBranch, `${outputBranch}-v1`])
  await expect(
    pachd.pps.createPipeline({ ...spec, outputBranch: 'other/v1', update: true }),
  ).rejects.toEqual(refused('invalid-argument', 'slashes'))
  const events = await collect(pachd.admin.check({ full: true }))
  expect(events.filter(({ event }) => event.case === 'finding')).toEqual([])
})

test('branches with such names are pulled, and restored from a backup', async () => {
  await using directory = await TemporaryDirectory.create()
  await using pachd = await openMigrated(directory.path)
  await using pulling = await TestPachd.start()
  await collect(pulling.transfers.pull({ address: `127.0.0.1:${pachd.port}`, repos: ['data'] }))
  expect(await branchesOf(pulling, 'data')).toEqual(names.toSorted())
  const backup = ['--directory', directory.join('backup')]
  const home = directory.path
  const extracted = await pachctlHere(['extract', ...backup], { port: pachd.port, home })
  expect(extracted).toMatchObject({ code: 0 })
  await using restored = await TestPachd.start()
  const args = ['restore', ...backup, '--repo', 'data']
  expect(await pachctlHere(args, { port: restored.port, home })).toMatchObject({ code: 0 })
  expect(await branchesOf(restored, 'data')).toEqual(names.toSorted())
  expect(await getText(restored, fileOf('data', 'a/b', '/a'))).toBe('hello')
})
