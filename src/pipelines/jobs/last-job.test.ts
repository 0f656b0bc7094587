import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'
import { lastJobOver } from './last-job.ts'

/** A pipeline `p` over `in` and `beside`, and a job for each of the commits of `in`. */
async function openJobs(): Promise<{
  readonly world: TestProcessing
  readonly commits: readonly string[]
  readonly beside: string
}> {
  const world = await openTestProcessing()
  for (const name of ['in', 'beside']) await world.versioning.repos.create({ name })
  world.code('p', () => ({}))
  await world.pipeline('p', { cross: [atom('in', '/'), atom('beside', '/')] })
  const beside = await world.commit('beside', { b: '' })
  const commits: string[] = []
  for (const text of ['one', 'two', 'three']) {
    const commit = await world.commit('in', { a: text })
    await world.flush('in', commit)
    commits.push(commit)
  }
  return { world, commits, beside }
}

/** The commit of `in` that the job found reads, and how the jobs were looked for. */
async function lookFor(
  world: TestProcessing,
  ...ids: readonly string[]
): Promise<{ readonly read: string | undefined; readonly plans: string }> {
  const commits = ids.map((id) => ({ repo: 'in' as RepoName, id: id as CommitId }))
  const plans: string[] = []
  const job = await world.database.read(async (tx) => {
    const watched: ReadTransaction = {
      ...tx,
      all: async (sql, ...values) => {
        const plan = await tx.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, ...values)
        plans.push(...plan.map(({ detail }) => detail))
        return await tx.all<never>(sql, ...values)
      },
    }
    return await lastJobOver(watched, 'p', commits)
  })
  const read = job?.inputs.find(({ repo }) => repo === 'in')?.commit
  return { read, plans: plans.join('\n') }
}

test('the latest job over all of the commits is found without looking at the other jobs of its pipeline', async () => {
  const { world, commits, beside } = await openJobs()
  await using _ = world
  const [first = '', , third = ''] = commits
  const byPipeline = /jobs_by_pipeline|SCAN/
  for (const [asked, expected] of [
    [[first], first],
    [[first, beside], first],
    [[beside], third],
    [[first, third], undefined],
  ] as const) {
    const { read, plans } = await lookFor(world, ...asked)
    expect(read).toBe(expected)
    expect(plans).not.toMatch(byPipeline)
  }
})

test('where each of the commits has many jobs, the latest of the pipeline over them is found', async () => {
  const { world, commits, beside } = await openJobs()
  await using _ = world
  const [first = '', second = ''] = commits
  await world.database.transact(async (tx) => {
    for (let index = 0; index < 300; index += 1) {
      for (const commit of [second, beside]) {
        await tx.run(
          'INSERT INTO job_provenance (commit_id, job) VALUES (?, ?)',
          commit,
          `of-another-${index}`,
        )
      }
    }
  })
  expect((await lookFor(world, second, beside)).read).toBe(second)
  expect((await lookFor(world, beside, first)).read).toBe(first)
})
