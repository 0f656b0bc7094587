import { expect, test } from 'vitest'
import type { JobId } from '../base/names.ts'
import { failing, untilKilled } from '../testing/failing-code.ts'
import {
  atom,
  atomNamed,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import type { ChosenCommit } from './manual-jobs.ts'
import { pipelineTopic } from './pipeline-records.ts'
import { Triggers } from './triggers.ts'

/** A loaded machine takes its time. */
const patient = { timeout: 60_000 }
const one = { parallelism: { constant: 1, coefficient: 0 } }

async function jobsOf(world: TestProcessing, pipeline: string): Promise<readonly string[]> {
  const jobs = await world.processing.jobs.list(pipeline)
  return jobs.map(
    ({ state, counts: { processed, skipped, failed, total } }) =>
      `${state}: ${processed} + ${skipped}, ${failed} failed, of ${total}`,
  )
}

async function end(world: TestProcessing, id: string): Promise<string> {
  const job = await world.processing.jobs.waitForEnd(id, new AbortController().signal)
  return job.state
}

test('a running datum that is restarted is tried again, and says so meanwhile', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const began = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const go = Promise.withResolvers<void>()
  let tries = 0
  world.code('slow', async (_files, work) => {
    tries += 1
    began[tries - 1]?.resolve()
    if (tries === 1) await untilKilled(work)
    await go.promise
    return { done: `try ${tries}` }
  })
  await world.pipeline('slow', atom('in', '/*'), one)
  const commit = await world.commit('in', { a: 'x' })
  await began[0]?.promise
  const [job] = await world.processing.jobs.list('slow')
  const id = job?.id as JobId
  await expect(world.processing.jobs.restartDatum(id, ['/b'])).rejects.toThrow(
    `datum matching filter [/b] could not be found for jobID ${id}`,
  )
  await world.processing.jobs.restartDatum(id, ['/a'])
  await began[1]?.promise
  expect(world.processing.active.of(id)).toMatchObject([
    { attempt: 2, lastReason: 'it was restarted by a user' },
  ])
  go.resolve()
  await world.flush('in', commit)
  expect(await world.files('slow', 'master')).toEqual({ '/done': 'try 2' })
  await expect(world.processing.jobs.restartDatum(id, ['/a'])).rejects.toThrow('the job has ended')
})

test('each restart counts as a failure of user code, so the fourth fails the datum', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const tries: PromiseWithResolvers<void>[] = Array.from({ length: 5 }, () =>
    Promise.withResolvers<void>(),
  )
  let count = 0
  world.code('slow', async (_files, work) => {
    tries[count]?.resolve()
    count += 1
    return await untilKilled(work)
  })
  await world.pipeline('slow', atom('in', '/*'), one)
  const commit = await world.commit('in', { a: 'x' })
  const flushed = world.flush('in', commit).catch(String)
  for (let at = 0; at < 4; at += 1) {
    await tries[at]?.promise
    const [job] = await world.processing.jobs.list('slow')
    await world.processing.jobs.restartDatum(job?.id ?? '', ['a'])
  }
  expect(await flushed).toMatch(/datum .* \(in:\/a\) failed: it was restarted by a user/)
  expect(count).toBe(4)
})

test('a run by hand over failed inputs tries again what failed, and nothing else', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  let isBroken = true
  world.code('picky', (files) => (isBroken && files.has('in/b') ? failing('exit code 3') : {}))
  await world.pipeline('picky', atom('in', '/*'), one)
  const commit = await world.commit('in', { a: '1', b: '2' })
  await expect(world.flush('in', commit)).rejects.toThrow('exit code 3')
  isBroken = false
  world.ran.length = 0
  const id = await world.processing.pipelines.run('picky', [])
  expect(await end(world, id)).toBe('success')
  expect(world.ran).toEqual(['in:/b'])
  await world.flush('in', commit)
  expect(await jobsOf(world, 'picky')).toEqual([
    'success: 1 + 1, 0 failed, of 2',
    'failure: 1 + 0, 1 failed, of 2',
  ])
})

test('an update repairs what a run by hand failed at, too, and once', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('picky', (files) => (files.has('in/b') ? failing('exit code 3') : {}))
  world.code('mild', () => ({}))
  await world.pipeline('picky', atom('in', '/*'), one)
  const commit = await world.commit('in', { a: '1', b: '2' })
  await expect(world.flush('in', commit)).rejects.toThrow('exit code 3')
  expect(await end(world, await world.processing.pipelines.run('picky', []))).toBe('failure')
  const spec = { ...one, name: 'picky', input: atom('in', '/*'), transform: transform('mild') }
  for (const _ of [1, 2]) {
    await world.processing.pipelines.update(spec, { reprocess: false })
    await world.flush('in', commit)
  }
  expect(await jobsOf(world, 'picky')).toEqual([
    'success: 1 + 1, 0 failed, of 2',
    'failure: 0 + 1, 1 failed, of 2',
    'failure: 1 + 0, 1 failed, of 2',
  ])
})

test('a run by hand reads the commits that are chosen, and may be repeated', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('copy', (files) => ({ all: [...files.values()].join() }))
  const old = await world.commit('in', { a: 'old' })
  const last = await world.commit('in', { a: 'new' })
  await world.pipeline('copy', atom('in', '/'))
  await world.flush('in', last)
  for (const _ of [1, 2]) {
    const id = await world.processing.pipelines.run('copy', [{ repo: 'in', commit: 'master^' }])
    expect(await end(world, id)).toBe('success')
    const job = await world.processing.jobs.inspect(id)
    expect(job).toMatchObject({ isByHand: true, inputs: [{ commit: old }] })
    expect(job.counts).toMatchObject({ processed: 0, skipped: 1 })
  }
  expect(await world.files('copy', 'master')).toEqual({ '/all': 'old' })
})

test('a run by hand never mixes what comes from two commits of one repo', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  for (const name of ['left', 'right']) {
    world.code(name, (files) => ({ x: [...files.values()].join() }))
    await world.pipeline(name, atom('in', '/'))
  }
  world.code('both', (files) => ({ x: [...files.values()].join() }))
  await world.pipeline('both', { cross: [atom('left', '/'), atom('right', '/')] })
  for (const text of ['1', '2']) await world.flush('in', await world.commit('in', { a: text }))
  const call = async (name: string, chosen: readonly ChosenCommit[]): Promise<JobId> =>
    await world.processing.pipelines.run(name, chosen)
  await expect(call('both', [{ repo: 'left', commit: 'master^' }])).rejects.toThrow(
    /left@\w+ comes from in@\w+ and right@\w+ from in@\w+: a job reads what comes from one commit/,
  )
  await expect(call('both', [{ repo: 'in', commit: 'master' }])).rejects.toThrow(
    'pipeline both does not read repo in; it reads left, right',
  )
  const chosen = ['left', 'right'].map((repo) => ({ repo, commit: 'master^' }))
  expect(await end(world, await call('both', chosen))).toBe('success')
  expect(await world.files('both', 'master')).toEqual({ '/x': '1,1' })
})

test('a run by hand is refused where nothing would come of it', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('copy', () => ({}))
  await world.pipeline('copy', atom('in', '/'))
  const { pipelines } = world.processing
  await expect(pipelines.run('copy', [])).rejects.toThrow(
    'branch master of repo in has no finished commit',
  )
  const { id: open } = await world.versioning.commits.start({ repo: 'in', branch: 'master' })
  await expect(pipelines.run('copy', [{ repo: 'in', commit: open }])).rejects.toThrow(
    'is still open',
  )
  await world.versioning.commits.finish('in', open)
  await pipelines.stop('copy')
  await expect(pipelines.run('copy', [])).rejects.toThrow(
    'pipeline copy is stopped, so it would not run the job',
  )
  await expect(pipelines.run('none', [])).rejects.toThrow('pipeline none not found')
})

test('with cascade, all pipelines downstream are deleted, and no other', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  for (const name of ['a', 'b', 'c', 'd', 'other']) world.code(name, () => ({ x: name }))
  await world.pipeline('a', atom('in', '/'))
  await world.pipeline('other', atom('in', '/'))
  await world.pipeline('b', atom('a', '/'))
  await world.pipeline('c', { cross: [atom('a', '/'), atom('b', '/')] })
  await world.pipeline('d', { cross: [atom('c', '/'), atom('other', '/')] })
  await world.flush('in', await world.commit('in', { f: '1' }))
  const options = { deleteJobs: true, deleteRepo: true, cascade: true }
  await world.processing.pipelines.delete('a', options)
  const left = await world.processing.pipelines.list()
  expect(left.map(({ name }) => name)).toEqual(['other'])
  const repos = await world.versioning.repos.list()
  expect(repos.map(({ name }) => name).toSorted()).toEqual(['in', 'other'])
  expect(await world.processing.jobs.list()).toHaveLength(1)
})

test('a pipeline whose backlog meets an error does not hold up the others', async () => {
  const tried = Promise.withResolvers<void>()
  class FailingTriggers extends Triggers {
    override async workOff(...[tx, name]: Parameters<Triggers['workOff']>): Promise<boolean> {
      if (String(name) !== 'bad') return await super.workOff(tx, name)
      tried.resolve()
      throw new Error('a bug')
    }
  }
  await using world = await openTestProcessing(undefined, { TriggersOf: FailingTriggers })
  await world.versioning.repos.create({ name: 'in' })
  const commit = await world.commit('in', { a: '1' })
  const input = atomNamed('in', '/', { branch: 'other' })
  for (const name of ['bad', 'good']) {
    world.code(name, () => ({ by: name }))
    await world.pipeline(name, input)
  }
  // As when there are more of them than one transaction considers.
  await world.database.transact(async (tx) => {
    for (const name of ['bad', 'good']) {
      await tx.run(
        `INSERT INTO pipeline_arrivals (pipeline, sequence, position, commit_id, state)
          VALUES (?, 1, 0, ?, 'new')`,
        name,
        commit,
      )
      await tx.emit(pipelineTopic, name)
    }
  })
  await expect
    .poll(() => jobsOf(world, 'good'), patient)
    .toEqual(['success: 1 + 0, 0 failed, of 1'])
  await tried.promise
  expect(world.errors.splice(0).map(String)).toContainEqual(
    'Error: the backlog of pipeline bad met an error and gets another look',
  )
})
