import { expect, test } from 'vitest'
import { OpenCommits } from '../../src/gen/pachyderm_pb.ts'
import { CommitInfoSchema, CommitSchema, RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { JobInfoSchema, JobState, PipelineInfoSchema, PipelineState } from '../../src/gen/pps_pb.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { migrate } from './migrate.ts'

const commitId = '0123456789ab4def0123456789abcdef'
const jobId = '01234567-89ab-4def-8123-456789abcdef'
const time = { seconds: 1_500_000_000n, nanos: 0 }
const transform = { cmd: ['cp', '/pfs/data/a', '/pfs/out/b'] }
const input = { atom: { name: 'data', repo: 'data', branch: 'master', glob: '/*' } }

/** A cluster of 1.4 whose only job was running. */
async function writeCluster(directory: string): Promise<OldClusterWriter> {
  const writer = new OldClusterWriter(directory, { layout: 'files', isText: true })
  await writer.begin()
  const repo = { name: 'data' }
  writer.record('pachyderm_pfs/repos/data', RepoInfoSchema, { repo })
  writer.record('pachyderm_pfs/repos/copy', RepoInfoSchema, {
    repo: { name: 'copy' },
    provenance: [repo],
  })
  const object = await writer.putObject(Buffer.from('hello'))
  const { hash } = await writer.putTree(new Map([['/a', [object]]]))
  writer.record(`pachyderm_pfs/commits/data/${commitId}`, CommitInfoSchema, {
    commit: { repo, id: commitId },
    started: time,
    finished: time,
    sizeBytes: 5n,
    tree: { hash },
  })
  writer.record('pachyderm_pfs/branches/data/master', CommitSchema, { repo, id: commitId })
  const pipeline = { name: 'copy' }
  for (const [name, egress] of [
    ['copy', ''],
    ['sender', 's3://elsewhere/x'],
    ['signed', 'as://host/container/x?sig=geheim'],
  ] as const) {
    writer.record(`pachyderm_pps/pipelines/${name}`, PipelineInfoSchema, {
      id: `id-of-${name}`,
      pipeline: { name },
      version: 1n,
      transform,
      input,
      outputBranch: 'master',
      state: PipelineState.PIPELINE_RUNNING,
      createdAt: time,
      ...(egress !== '' && { egress: { URL: egress } }),
    })
    if (egress !== '') {
      writer.record(`pachyderm_pfs/repos/${name}`, RepoInfoSchema, { repo: { name } })
    }
  }
  writer.record(`pachyderm_pps/jobs/${jobId}`, JobInfoSchema, {
    job: { id: jobId },
    pipeline,
    pipelineVersion: 1n,
    transform,
    input: { atom: { ...input.atom, commit: commitId } },
    outputRepo: pipeline,
    outputBranch: 'master',
    started: time,
    state: JobState.JOB_RUNNING,
  })
  await writer.finish()
  return writer
}

test('a job that had not ended runs here, and a pipeline with egress waits', async () => {
  await using directory = await TemporaryDirectory.create()
  const writer = await writeCluster(directory.path)
  await using pachd = await TestPachd.start()
  await expect(migrate(pachd, writer, {})).rejects.toThrow(/had not ended: .* it runs again here/)
  const { damage, notices } = await migrate(pachd, writer, { force: true })
  expect(damage).toEqual([])
  expect(notices.join('\n')).toContain('pipeline sender copies its output to s3://elsewhere/x')
  expect(notices.join('\n')).toContain(
    'pipeline signed copied its output to as://host/container/x?…,',
  )
  expect(notices.join('\n')).not.toContain('geheim')
  const job = await pachd.pps.inspectJob({ job: { id: jobId }, blockState: true })
  expect(job.state).toBe(JobState.JOB_SUCCESS)
  expect(job.dataProcessed).toBe(1n)
  const { jobInfo } = await pachd.pps.listJob({})
  expect(jobInfo.map((info) => info.job?.id)).toEqual([jobId])
  const { fileInfo } = await pachd.pfs.listFile({
    file: { commit: { repo: { name: 'copy' }, id: 'master' }, path: '/' },
  })
  expect(fileInfo.map(({ file }) => file?.path)).toEqual(['/b'])
  const { pipelineInfo } = await pachd.pps.listPipeline({})
  const states = pipelineInfo.map(({ pipeline, state }) => [pipeline?.name, state])
  for (const name of ['sender', 'signed']) {
    expect(new Map(states as [string, PipelineState][]).get(name)).toBe(
      PipelineState.PIPELINE_PAUSED,
    )
  }
  const urls = pipelineInfo.map(({ pipeline, egress }) => [pipeline?.name, egress?.URL])
  expect(Object.fromEntries(urls)).toEqual({
    copy: undefined,
    sender: 's3://elsewhere/x',
    signed: undefined,
  })
})

test('a job that is said to have been killed does not run', async () => {
  await using directory = await TemporaryDirectory.create()
  const writer = await writeCluster(directory.path)
  await using pachd = await TestPachd.start()
  await migrate(pachd, writer, { force: true, killUnfinishedJobs: true })
  const job = await pachd.pps.inspectJob({ job: { id: jobId } })
  expect([job.state, job.reason]).toEqual([
    JobState.JOB_KILLED,
    'it had not ended in the cluster that was migrated',
  ])
})

test('an open commit of 1.4.0 has what was put into it, in order', async () => {
  await using directory = await TemporaryDirectory.create()
  const writer = new OldClusterWriter(directory.path, { layout: 'files', isText: true })
  await writer.begin()
  const repo = { name: 'data' }
  writer.record('pachyderm_pfs/repos/data', RepoInfoSchema, { repo })
  const [one, two] = [
    await writer.putObject(Buffer.from('one ')),
    await writer.putObject(Buffer.from('two')),
  ]
  const { hash } = await writer.putTree(new Map([['/old/file', [one]]]))
  const parent = commitId.replace('0', 'f')
  const base = { started: time, sizeBytes: 4n }
  writer.record(`pachyderm_pfs/commits/data/${parent}`, CommitInfoSchema, {
    ...base,
    commit: { repo, id: parent },
    finished: time,
    tree: { hash },
  })
  writer.record(`pachyderm_pfs/commits/data/${commitId}`, CommitInfoSchema, {
    commit: { repo, id: commitId },
    parentCommit: { repo, id: parent },
    started: time,
  })
  writer.record('pachyderm_pfs/branches/data/wip', CommitSchema, { repo, id: commitId })
  const scratch = `pachyderm_pfs/scratch/data/${commitId}`
  // Their order is that of the writes, not of the names.
  writer.raw(`${scratch}/new/file/zz`, Buffer.from(`4 ${one}`))
  writer.raw(`${scratch}/new/file/aa`, Buffer.from(`3 ${two}`))
  writer.raw(`${scratch}/old/mm`, Buffer.from('delete'))
  writer.raw(`${scratch}/gone/bb`, Buffer.from(`3 ${two}`))
  writer.raw(`${scratch}/gone/aa`, Buffer.from('delete'))
  await writer.finish()
  for (const openCommits of [OpenCommits.FINISH, OpenCommits.KEEP]) {
    await using pachd = await TestPachd.start()
    const { damage } = await migrate(pachd, writer, { openCommits })
    expect(damage).toEqual([])
    const commit = { repo, id: 'wip' }
    const info = await pachd.pfs.inspectCommit({ commit })
    expect(info.finished === undefined).toBe(openCommits === OpenCommits.KEEP)
    const { fileInfo } = await pachd.pfs.listFile({ file: { commit, path: '/' } })
    expect(fileInfo.map(({ file }) => file?.path)).toEqual(['/new'])
    const pieces: Uint8Array[] = []
    for await (const { value } of pachd.pfs.getFile({ file: { commit, path: '/new/file' } })) {
      pieces.push(value)
    }
    expect(Buffer.concat(pieces).toString()).toBe('one two')
  }
})
