import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { failing } from '../testing/failing-code.ts'
import {
  atom,
  atomNamed,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import type { PlannedJob, PlanOutline } from './pipeline-plans.ts'
import type { RequestedInput, RequestedSpec } from './requested-specs.ts'

const { signal } = new AbortController()

const change = fc.dictionary(
  fc.constantFrom('a', 'b', 'd/x', 'd/y'),
  fc.option(fc.constantFrom('1', '22', '333')),
  { minKeys: 1, maxKeys: 3 },
)
const changes = fc.array(change, { minLength: 1, maxLength: 3 })

const both = atomNamed('in', '/*', { name: 'both' })
const joined = {
  join: [
    { atom: { ...atomNamed('in', '/(*)', { name: 'l' }).atom, joinOn: '$1', outerJoin: true } },
    { atom: { ...atomNamed('in', '/d/(*)', { name: 'r' }).atom, joinOn: '$1', outerJoin: true } },
  ],
}
const grouped = {
  group: [
    { atom: { ...atomNamed('in', '/(*)', { name: 'g' }).atom, groupBy: '$1' } },
    { atom: { ...atomNamed('in', '/(d)/*', { name: 'h' }).atom, groupBy: '$1' } },
  ],
}
const distinct: readonly RequestedInput[] = [
  joined,
  grouped,
  { cross: [grouped, atom('in', '/*')] },
  atom('in', '/'),
  atom('in', '/*'),
  { cross: [atom('in', '/*'), atomNamed('in', '/*', { name: 'again' })] },
]
/** A datum may stand in two places. */
const repeating: readonly RequestedInput[] = [{ union: [joined, joined] }, { union: [both, both] }]
const inputs = fc.constantFrom<RequestedInput>(...distinct, ...repeating)

async function planOf(
  world: TestProcessing,
  spec: RequestedSpec,
  reprocess: boolean,
): Promise<{ readonly outline: PlanOutline | undefined; readonly jobs: readonly PlannedJob[] }> {
  const wanted = { request: spec, options: { reprocess } }
  const steps = await Array.fromAsync(world.processing.plans.plan(wanted, { signal }))
  const outline = steps.find((step) => step.kind === 'outline')?.outline
  return { outline, jobs: steps.flatMap((step) => (step.kind === 'job' ? [step.job] : [])) }
}

/** What jobs of the pipeline, but for the first `count`, came to. */
async function ranAfter(world: TestProcessing, count: number) {
  const jobs = (await world.processing.jobs.list('p')).toReversed().slice(count)
  const ended = []
  for (const { id } of jobs) ended.push(await world.processing.jobs.waitForEnd(id, signal))
  return ended.map((job) => ({
    commits: job.inputs.map(({ commit }) => commit),
    datumCount: job.counts.total,
    processedCount: job.counts.processed,
  }))
}

function planned(jobs: readonly PlannedJob[]) {
  return jobs.map(({ inputs: reads, datumCount, processedCount }) => ({
    commits: reads.map(({ commit }) => commit),
    datumCount,
    processedCount,
  }))
}

test('what a plan says is what then runs, and the plan itself leaves nothing behind', async () => {
  await fc.assert(
    fc.asyncProperty(inputs, changes, changes, fc.boolean(), async (input, first, then, again) => {
      await using world = await openTestProcessing()
      await world.versioning.repos.create({ name: 'in' })
      world.code('p', () => ({}))
      const spec = { name: 'p', input, transform: transform('p') }
      for (const files of first) await world.commit('in', { k: 'x', ...files })

      const made = await planOf(world, spec, false)
      expect(made.outline).toMatchObject({ version: 1, isUpdate: false, jobCount: first.length })
      expect(await world.processing.pipelines.list()).toEqual([])
      expect(await world.versioning.repos.list()).toHaveLength(1)
      await world.processing.pipelines.create(spec)
      expect(await ranAfter(world, 0)).toEqual(planned(made.jobs))

      await world.processing.pipelines.stop('p')
      for (const files of then) await world.commit('in', files)
      const updated = await planOf(world, spec, again)
      expect(updated.outline).toMatchObject({ version: 2, isUpdate: true })
      const { state, version } = await world.processing.pipelines.inspect('p')
      expect({ state, version }).toEqual({ state: 'paused', version: 1 })
      await world.processing.pipelines.update(spec, { reprocess: again })
      expect(await ranAfter(world, first.length)).toEqual(planned(updated.jobs))
    }),
    { numRuns: 12 },
  )
})

test('what the last job went on without is part of what a plan says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...distinct), changes, changes, async (input, first, then) => {
      await using world = await openTestProcessing()
      await world.versioning.repos.create({ name: 'in' })
      world.code('p', (files) => {
        if ([...files.values()].includes('333')) failing('exit code 3')
        return {}
      })
      world.code('mend', () => ({}))
      const plain = transform('p')
      const spec: RequestedSpec = {
        name: 'p',
        input,
        datumTries: 1,
        ...(plain !== undefined && { transform: { ...plain, errorCommand: ['mend'] } }),
      }
      for (const files of first) await world.commit('in', { k: 'x', bad: '333', ...files })
      await world.processing.pipelines.create(spec)
      expect(await ranAfter(world, 0)).toHaveLength(first.length)

      world.code('p', () => ({}))
      const sameCommits = await planOf(world, spec, false)
      await world.processing.pipelines.stop('p')
      for (const files of then) await world.commit('in', files)
      const updated = await planOf(world, spec, false)
      expect(sameCommits.jobs).toMatchObject([{ job: undefined }])
      await world.processing.pipelines.update(spec, { reprocess: false })
      expect(await ranAfter(world, first.length)).toEqual(planned(updated.jobs))
    }),
    { numRuns: 12 },
  )
})

test('a plan counts the bytes that user code would be given', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await world.commit('in', { a: '1', 'd/x': '22', 'd/y': '333' })
  world.code('p', () => ({}))
  const spec = { name: 'p', input: atom('in', '/*'), transform: transform('p') }
  const { jobs } = await planOf(world, spec, false)
  expect(jobs).toMatchObject([{ datumCount: 2, processedCount: 2, processedBytes: 6 }])
  const whole = await planOf(world, { ...spec, input: grouped }, false)
  expect(whole.jobs).toMatchObject([{ datumCount: 2, processedCount: 2, processedBytes: 11 }])
  await world.pipeline('p', atom('in', '/*'))
  const { outline } = await planOf(world, { ...spec, name: 'q', input: atom('p', '/') }, false)
  expect(outline).toMatchObject({ pipeline: 'q', jobCount: 0, emptyBranches: ['p/master'] })
})

test('a plan of a spout says that it is one, and names no jobs', async () => {
  await using world = await openTestProcessing()
  const spec = { name: 'p', spout: true, transform: transform('p') }
  const { outline, jobs } = await planOf(world, spec, false)
  expect(outline).toMatchObject({ isSpout: true, isUpdate: false, jobCount: 0 })
  expect(jobs).toEqual([])
  expect(await world.processing.pipelines.list()).toEqual([])
  await expect(planOf(world, { ...spec, jobTimeoutMs: 1000 }, false)).rejects.toThrow(
    "job_timeout is about datums and jobs that end, and a spout's code runs for ever",
  )
})
