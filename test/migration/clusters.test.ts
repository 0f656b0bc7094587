import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { OpenCommits } from '../../src/gen/pachyderm_pb.ts'
import { type JobInfo, JobState, PipelineState } from '../../src/gen/pps_pb.ts'
import { oldClusterNames, type OldClusterName, UnpackedCluster } from '../harness/old-clusters.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import {
  expectedContents,
  expectedJobs,
  expectedPipelines,
  servedContents,
  withoutOpen,
} from './migrated.ts'
import { migrate } from './migrate.ts'

/** What a check of all that is stored finds. */
async function findingsOf(pachd: TestPachd): Promise<readonly string[]> {
  const found: string[] = []
  for await (const { event } of pachd.admin.check({ full: true })) {
    if (event.case === 'finding') found.push(`${event.value.kind}: ${event.value.what}`)
  }
  return found
}

/** Pipelines that read one repo through two branches, which only 1.4 could. */
const leftOut: Readonly<Record<OldClusterName, readonly string[]>> = {
  '1.4.8': ['nested'],
  '1.5.3': [],
  '1.5.3-objectstore': [],
}

function byId(left: JobInfo, right: JobInfo): number {
  return (left.job?.id ?? '') < (right.job?.id ?? '') ? -1 : 1
}

function factsOf(job: JobInfo, without: readonly string[]): unknown {
  return {
    id: job.job?.id,
    pipeline: job.pipeline?.name,
    version: job.pipelineVersion,
    state: job.state === JobState.JOB_RUNNING ? JobState.JOB_KILLED : job.state,
    output: job.outputCommit?.id,
    total: job.dataTotal,
    processed: job.dataProcessed,
    skipped: job.dataSkipped,
    parent: job.parentJob?.id,
    head: job.newBranch?.head?.id,
    input: without.includes(job.pipeline?.name ?? '') ? undefined : job.input,
  }
}

test.each(oldClusterNames)('a cluster of %s comes over whole', async (name) => {
  await using cluster = await UnpackedCluster.unpack(name)
  await using pachd = await TestPachd.start()
  const { summary, damage } = await migrate(pachd, cluster, {
    force: true,
    openCommits: OpenCommits.KEEP,
    killUnfinishedJobs: true,
    keepPaused: true,
    skipDamaged: leftOut[name].length > 0,
  })
  expect(damage.map(({ kind, what }) => `${kind} ${what}`)).toEqual(
    leftOut[name].map((pipeline) => `pipeline ${pipeline}`),
  )
  const served = await servedContents(pachd)
  expect(withoutOpen(served)).toEqual(withoutOpen(expectedContents(cluster.expected)))
  expect(summary?.counts?.damaged).toBe(BigInt(damage.length))
  const pipelines = expectedPipelines(cluster.expected).filter(
    ({ pipeline }) => !leftOut[name].includes(pipeline?.name ?? ''),
  )
  // Lists are in the order in which they were.
  const { repoInfo } = await pachd.pfs.listRepo({})
  expect(repoInfo.map(({ repo }) => repo?.name)).toEqual(
    cluster.expected.raw.listRepo.map(({ repo }) => repo.name),
  )
  const docs = await pachd.pfs.listCommit({ repo: { name: 'docs' } })
  expect(docs.commitInfo.map(({ commit }) => commit?.id)).toEqual(
    Object.keys(cluster.expected.repos['docs']?.commits ?? {}),
  )
  const listed = await pachd.pps.listPipeline({})
  expect(listed.pipelineInfo.map(({ pipeline }) => pipeline?.name)).toEqual(
    pipelines.map(({ pipeline }) => pipeline?.name),
  )
  for (const pipeline of pipelines) {
    const found = listed.pipelineInfo.find((one) => one.pipeline?.name === pipeline.pipeline?.name)
    expect(found?.state).toBe(PipelineState.PIPELINE_PAUSED)
    expect(found?.version).toBe(pipeline.version)
    expect(found?.input).toEqual(pipeline.input)
    expect(found?.transform?.cmd).toEqual(pipeline.transform?.cmd)
    expect(found?.transform?.stdin).toEqual(pipeline.transform?.stdin)
    expect(found?.transform?.env).toEqual(pipeline.transform?.env)
    expect(found?.description).toBe(pipeline.description)
    expect(found?.outputBranch).toBe(pipeline.outputBranch)
    expect(found?.scaleDownThreshold).toEqual(pipeline.scaleDownThreshold)
    expect(found?.incremental).toBe(pipeline.incremental)
    expect(['', found?.salt]).toContain(pipeline.salt)
  }
  const jobs = await pachd.pps.listJob({})
  const facts = (infos: readonly JobInfo[]): readonly unknown[] =>
    infos.toSorted(byId).map((info) => factsOf(info, leftOut[name]))
  expect(facts(jobs.jobInfo)).toEqual(facts(expectedJobs(cluster.expected)))
  expect(await findingsOf(pachd)).toEqual([])
})

test('objects can still be read by the names that they had in the old cluster', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await using pachd = await TestPachd.start()
  await migrate(pachd, cluster, { force: true, keepPaused: true, killUnfinishedJobs: true })
  for (const { files } of Object.values(cluster.expected.repos['docs']?.commits ?? {})) {
    for (const { objects, sha256 } of Object.values(files)) {
      const hash = createHash('sha256')
      for (const object of objects) {
        for await (const { value } of pachd.objects.getObject({ hash: object })) hash.update(value)
      }
      expect(hash.digest('hex')).toBe(sha256)
    }
  }
})

test('who might do what is kept, and a cluster in which that was active needs --force', async () => {
  await using directory = await TemporaryDirectory.create()
  const writer = new OldClusterWriter(directory.path, { layout: 'files', isText: false })
  await writer.begin()
  const name = 'secret'
  writer.record(`pachyderm_pfs/repos/${name}`, RepoInfoSchema, { repo: { name } })
  writer.raw('pachyderm_pfs/auth/admins/ada', Buffer.from('ada'))
  writer.raw(`pachyderm_pfs/auth/acls/${name}`, Buffer.from('acl'))
  await writer.finish()
  await using pachd = await TestPachd.start()
  await expect(migrate(pachd, writer, {})).rejects.toThrow(
    /access control was active, .* can read and write repos secret; .* --force; nothing was changed/,
  )
  const { notices, summary } = await migrate(pachd, writer, { force: true })
  expect(notices.join()).toContain('repos secret')
  expect(summary?.counts?.access).toBe(2n)
})
