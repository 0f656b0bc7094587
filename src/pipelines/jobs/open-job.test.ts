import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { getPipeline } from '../pipeline-records.ts'
import { openJobOver } from './open-job.ts'

/** The job found, and how the jobs were looked for. */
async function lookFor(
  world: TestProcessing,
  commits: readonly CommitName[],
): Promise<{ readonly id: string | undefined; readonly plans: string }> {
  const plans: string[] = []
  const job = await world.database.read(async (tx) => {
    const watched: ReadTransaction = {
      ...tx,
      all: async (sql, ...values) => await tx.all<never>(sql, ...values),
      get: async (sql, ...values) => {
        const plan = await tx.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, ...values)
        plans.push(...plan.map(({ detail }) => detail))
        return await tx.get<never>(sql, ...values)
      },
    }
    return await openJobOver(watched, await getPipeline(tx, 'p'), commits)
  })
  return { id: job?.id, plans: plans.join('\n') }
}

test('an open job over all of the commits is found, without looking at the other jobs of its pipeline', async () => {
  await using world = await openTestProcessing()
  for (const name of ['in', 'beside']) await world.versioning.repos.create({ name })
  world.code('p', () => ({}))
  await world.pipeline('p', { cross: [atom('in', '/'), atom('beside', '/')] })
  const commit = async (repo: string, text: string): Promise<CommitName> => ({
    repo: repo as RepoName,
    id: (await world.commit(repo, { a: text })) as CommitId,
  })
  const beside = await commit('beside', 'one')
  const ended = await commit('in', 'one')
  await world.flush('in', ended.id)
  const open = await commit('in', 'two')
  await world.flush('in', open.id)
  const [newest] = await world.processing.jobs.list('p')
  await world.processing.pipelines.stop('p')
  await world.database.transact((tx) =>
    tx.run("UPDATE job_rows SET state = 'running' WHERE id = ?", newest?.id ?? ''),
  )
  const byPipeline = /jobs_by_(pipeline|state)|SCAN/
  for (const [asked, expected] of [
    [[open], newest?.id],
    [[open, beside], newest?.id],
    [[ended], undefined],
    [[ended, open], undefined],
  ] as const) {
    const { id, plans } = await lookFor(world, asked)
    expect(id).toBe(expected)
    expect(plans).not.toMatch(byPipeline)
  }
  await world.database.transact((tx) =>
    tx.run(
      `INSERT INTO killed_jobs (pipeline_id, sequence, reason, killed_at)
        SELECT pipeline_id, MAX(sequence), '', 0 FROM jobs GROUP BY pipeline_id`,
    ),
  )
  expect((await lookFor(world, [open])).id, 'it is as good as killed').toBe(undefined)
})
