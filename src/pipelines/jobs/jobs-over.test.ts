import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction, SqlValue } from '../../database/database.ts'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'
import { getPipeline } from '../pipeline-records.ts'
import { lastJobOver, openJobOver } from './jobs-over.ts'

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

interface Found {
  /** The commit of `in` that the job found reads. */
  readonly read: string | undefined
  readonly id: string | undefined
  /** How the jobs were looked for. */
  readonly plans: string
}

type Look = (
  tx: ReadTransaction,
  commits: Parameters<typeof lastJobOver>[2],
) => ReturnType<typeof lastJobOver>

const last: Look = (tx, commits) => lastJobOver(tx, 'p', commits)
const open: Look = async (tx, commits) => openJobOver(tx, await getPipeline(tx, 'p'), commits)

async function lookFor(
  world: TestProcessing,
  look: Look,
  ...ids: readonly string[]
): Promise<Found> {
  const commits = ids.map((id) => ({ repo: 'in' as RepoName, id: id as CommitId }))
  const plans: string[] = []
  const job = await world.database.read(async (tx) => {
    const note = async (sql: string, values: readonly SqlValue[]): Promise<void> => {
      const plan = await tx.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, ...values)
      plans.push(...plan.map(({ detail }) => detail))
    }
    const watched: ReadTransaction = {
      ...tx,
      all: async (sql, ...values) => {
        await note(sql, values)
        return await tx.all<never>(sql, ...values)
      },
      get: async (sql, ...values) => {
        await note(sql, values)
        return await tx.get<never>(sql, ...values)
      },
    }
    return await look(watched, commits)
  })
  const read = job?.inputs.find(({ repo }) => repo === 'in')?.commit
  return { read, id: job?.id, plans: plans.join('\n') }
}

const byPipeline = /jobs_by_(pipeline|state)|SCAN/

test('the latest job over all of the commits is found without looking at the other jobs of its pipeline', async () => {
  const { world, commits, beside } = await openJobs()
  await using _ = world
  const [first = '', , third = ''] = commits
  for (const [asked, expected] of [
    [[first], first],
    [[first, beside], first],
    [[beside], third],
    [[first, third], undefined],
  ] as const) {
    const { read, plans } = await lookFor(world, last, ...asked)
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
  expect((await lookFor(world, last, second, beside)).read).toBe(second)
  expect((await lookFor(world, last, beside, first)).read).toBe(first)
})

test('an open job over all of the commits is found, without looking at the other jobs of its pipeline', async () => {
  const { world, commits, beside } = await openJobs()
  await using _ = world
  const [ended = '', , third = ''] = commits
  const [newest] = await world.processing.jobs.list('p')
  await world.processing.pipelines.stop('p')
  await world.database.transact((tx) =>
    tx.run("UPDATE job_rows SET state = 'running' WHERE id = ?", newest?.id ?? ''),
  )
  for (const [asked, expected] of [
    [[third], newest?.id],
    [[third, beside], newest?.id],
    [[ended], undefined],
    [[ended, third], undefined],
  ] as const) {
    const { id, plans } = await lookFor(world, open, ...asked)
    expect(id).toBe(expected)
    expect(plans).not.toMatch(byPipeline)
  }
  await world.database.transact((tx) =>
    tx.run(
      `INSERT INTO killed_jobs (pipeline_id, sequence, reason, killed_at)
        SELECT pipeline_id, MAX(sequence), '', 0 FROM jobs GROUP BY pipeline_id`,
    ),
  )
  expect((await lookFor(world, open, third)).id, 'it is as good as killed').toBe(undefined)
})
