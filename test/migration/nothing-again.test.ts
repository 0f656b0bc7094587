import { expect, test } from 'vitest'
import { JobState } from '../../src/gen/pps_pb.ts'
import { oldClusterNames, UnpackedCluster } from '../harness/old-clusters.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { migrate } from './migrate.ts'

/** A file at the top of the branch that a pipeline reads. */
const added = { repo: 'left', branch: 'master' } as const

test.each(oldClusterNames)(
  'after migrating %s, a new file is the only datum that is processed',
  async (name) => {
    await using cluster = await UnpackedCluster.unpack(name)
    await using pachd = await TestPachd.start()
    const { summary } = await migrate(pachd, cluster, {
      force: true,
      killUnfinishedJobs: true,
      skipDamaged: true,
    })
    expect(summary?.counts?.results).toBeGreaterThan(30n)
    const before = await pachd.pps.listJob({})
    const known = new Set(before.jobInfo.map(({ job }) => job?.id))
    const commit = await pachd.pfs.startCommit({
      parent: { repo: { name: added.repo } },
      branch: added.branch,
    })
    const file = { commit, path: 'brand-new' }
    await pachd.pfs.putFile(
      (async function* () {
        yield { file, value: Buffer.from('new\n') }
      })(),
    )
    await pachd.pfs.finishCommit({ commit })
    const after = await pachd.pps.listJob({})
    const made = after.jobInfo.filter(({ job }) => !known.has(job?.id))
    const readers = new Set(made.map(({ pipeline }) => pipeline?.name))
    // They read the files of the branch one by one; with-env has environment variables.
    for (const pipeline of ['plain', 'with-env']) expect(readers).toContain(pipeline)
    const counts: Record<string, unknown> = {}
    for (const { job, pipeline } of made) {
      if (pipeline?.name !== 'plain' && pipeline?.name !== 'with-env') continue
      const ended = await pachd.pps.inspectJob({ ...(job && { job }), blockState: true })
      counts[pipeline.name] = {
        state: ended.state,
        processed: ended.dataProcessed,
        skipped: ended.dataSkipped,
        total: ended.dataTotal,
      }
    }
    const wanted = { state: JobState.JOB_SUCCESS, processed: 1n, skipped: 3n, total: 4n }
    expect(counts).toEqual({ plain: wanted, 'with-env': wanted })
  },
)
