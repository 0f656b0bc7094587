import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { FailedPreconditionError } from '../base/errors.ts'
import type { RequestedInput } from './requested-specs.ts'
import {
  atom,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'

/** A pipeline that writes each input file in capitals. */
async function capitals(world: TestProcessing, name: string, repo: string): Promise<void> {
  world.code(name, (files) =>
    Object.fromEntries(
      [...files].map(([path, text]) => [path.slice(repo.length), text.toUpperCase()]),
    ),
  )
  await world.pipeline(name, atom(repo, '/*'))
}

async function counts(world: TestProcessing, pipeline: string): Promise<readonly string[]> {
  const jobs = await world.processing.jobs.list(pipeline)
  return jobs.map(
    ({ state, counts: { processed, skipped, failed, total } }) =>
      `${state}: ${processed} processed, ${skipped} skipped, ${failed} failed of ${total}`,
  )
}

test('a commit is processed, and then only what changes in it', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await capitals(world, 'up', 'in')
  const first = await world.commit('in', { a: 'one', b: 'two', c: 'three' })
  await world.flush('in', first)
  expect(await world.files('up', 'master')).toEqual({ '/a': 'ONE', '/b': 'TWO', '/c': 'THREE' })
  expect(await counts(world, 'up')).toEqual(['success: 3 processed, 0 skipped, 0 failed of 3'])

  world.ran.length = 0
  const second = await world.commit('in', { b: 'other', c: null, d: 'new' })
  await world.flush('in', second)
  expect(await world.files('up', 'master')).toEqual({ '/a': 'ONE', '/b': 'OTHER', '/d': 'NEW' })
  expect(world.ran.toSorted()).toEqual(['in:/b', 'in:/d'])
  expect((await counts(world, 'up'))[0]).toBe('success: 2 processed, 1 skipped, 0 failed of 3')
})

test('content that was processed before is not processed again', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await capitals(world, 'up', 'in')
  await world.flush('in', await world.commit('in', { a: 'one' }))
  await world.flush('in', await world.commit('in', { a: 'two' }))
  world.ran.length = 0
  await world.flush('in', await world.commit('in', { a: 'one' }))
  expect(world.ran).toEqual([])
  expect(await world.files('up', 'master')).toEqual({ '/a': 'ONE' })
})

test('pipelines follow one another, and each output names all that it was made from', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await capitals(world, 'up', 'in')
  world.code('join', (files) => ({ all: [...files.values()].join('+') }))
  await world.pipeline('join', atom('up', '/'))
  const commit = await world.commit('in', { a: 'one', b: 'two' })
  await world.flush('in', commit)
  expect(await world.files('join', 'master')).toEqual({ '/all': 'ONE+TWO' })
  const output = await world.versioning.commits.inspect('join', 'master')
  expect(output.provenance.map(({ repo }) => repo).toSorted()).toEqual(['in', 'up'])
  expect(output.provenance.find(({ repo }) => repo === 'in')?.id).toBe(commit)
})

test('a diamond gives one job for each commit, never a mixed one', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await capitals(world, 'left', 'in')
  await capitals(world, 'right', 'in')
  world.code('both', (files) => ({ all: [...files.values()].join('|') }))
  await world.pipeline('both', { cross: [atom('left', '/'), atom('right', '/')] })
  for (const text of ['one', 'two', 'three']) {
    await world.flush('in', await world.commit('in', { a: text }))
  }
  const jobs = await world.processing.jobs.list('both')
  expect(jobs).toHaveLength(3)
  expect(await world.files('both', 'master')).toEqual({ '/all': 'THREE|THREE' })
  for (const job of jobs) {
    const { provenance } = await world.versioning.commits.inspect('both', job.outputCommit)
    expect(provenance.filter(({ repo }) => repo === 'in')).toHaveLength(1)
  }
})

test('a failed datum fails the job, moves no branch, and the flush says which', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('picky', (files) => {
    for (const text of files.values()) if (text === 'bad') throw 'exit code 3' // oxlint-disable-line no-throw-literal, typescript/only-throw-error -- how test code fails
    return { ok: 'yes' }
  })
  await world.pipeline('picky', atom('in', '/*'), { parallelism: { constant: 2, coefficient: 0 } })
  const commit = await world.commit('in', { a: 'good', b: 'bad' })
  await expect(world.flush('in', commit)).rejects.toThrow(
    /job .* of pipeline picky failed: datum .* \(in:\/b\) failed: exit code 3/,
  )
  expect(await counts(world, 'picky')).toEqual(['failure: 1 processed, 0 skipped, 1 failed of 2'])
  expect(await world.versioning.branches.list('picky')).toEqual([])
  world.ran.length = 0
  await world.flush('in', await world.commit('in', { b: 'fine' }))
  expect(world.ran, 'what had succeeded is not run again').toEqual(['in:/b'])
})

test('a file of one datum where another has a directory fails the job and names both', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('clash', (files): Record<string, string> =>
    files.has('in/a') ? { x: '1' } : { 'x/y': '2' },
  )
  await world.pipeline('clash', atom('in', '/*'))
  const commit = await world.commit('in', { a: '1', b: '2' })
  await expect(world.flush('in', commit)).rejects.toThrow(
    /could not merge path "\/x" which is a file in some hashtrees.*in:\/a.*in:\/b/,
  )
})

test('a paused pipeline keeps its backlog and runs it, oldest first, when it is started', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await capitals(world, 'up', 'in')
  await world.processing.pipelines.stop('up')
  await world.commit('in', { a: 'one' })
  const last = await world.commit('in', { a: 'two' })
  expect(await world.processing.jobs.list('up')).toEqual([])
  await world.processing.pipelines.start('up')
  await world.flush('in', last)
  expect(world.ran).toEqual(['in:/a', 'in:/a'])
  expect(await world.files('up', 'master')).toEqual({ '/a': 'TWO' })
})

test('a pipeline processes what its branch held before it was made, oldest first', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await world.commit('in', { a: 'one' })
  const last = await world.commit('in', { b: 'two' })
  await capitals(world, 'up', 'in')
  await world.flush('in', last)
  expect(await counts(world, 'up')).toEqual([
    'success: 1 processed, 1 skipped, 0 failed of 2',
    'success: 1 processed, 0 skipped, 0 failed of 1',
  ])
})

test('a job goes on after a restart, without doing again what was recorded', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const started = Promise.withResolvers<undefined>()
  const blocked = Promise.withResolvers<undefined>()
  let runs = 0
  world.code('slow', async (files, { signal }) => {
    runs += 1
    if (runs === 1) {
      started.resolve(undefined)
      signal.addEventListener('abort', () => blocked.resolve(undefined), { once: true })
      await blocked.promise
      signal.throwIfAborted()
    }
    return Object.fromEntries(files)
  })
  await world.pipeline('slow', atom('in', '/*'))
  const commit = await world.commit('in', { a: 'one' })
  await started.promise
  await world.restart()
  await world.flush('in', commit)
  const [job] = await world.processing.jobs.list('slow')
  expect(job?.restartCount).toBe(1)
  expect(job?.counts).toMatchObject({ total: 1, processed: 1, skipped: 0, failed: 0 })
})

test('a job that is stopped is killed, and the next one runs', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const started = Promise.withResolvers<undefined>()
  world.code('slow', async (files, { signal }) => {
    if (files.get('in/a') !== 'one') return Object.fromEntries(files)
    started.resolve(undefined)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    signal.throwIfAborted()
    return {}
  })
  await world.pipeline('slow', atom('in', '/*'))
  const first = await world.commit('in', { a: 'one' })
  await started.promise
  const [job] = await world.processing.jobs.list('slow')
  await world.processing.jobs.stop(job?.id ?? '')
  await expect(world.flush('in', first)).rejects.toThrow('was stopped')
  const second = await world.commit('in', { a: 'two' })
  await world.flush('in', second)
  expect((await world.processing.jobs.list('slow')).map(({ state }) => state)).toEqual([
    'success',
    'killed',
  ])
})

test('an update keeps results, unless it asks to reprocess', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await capitals(world, 'up', 'in')
  const commit = await world.commit('in', { a: 'one' })
  await world.flush('in', commit)
  const spec = { name: 'up', transform: transform('up'), input: atom('in', '/*') }
  world.code('up', () => ({ other: 'code' }))
  await world.processing.pipelines.update(spec, { reprocess: false })
  expect(await world.processing.jobs.list('up')).toHaveLength(1)
  await world.processing.pipelines.update(spec, { reprocess: true })
  const [job] = await world.processing.jobs.list('up')
  await world.processing.jobs.waitForEnd(job?.id ?? '', new AbortController().signal)
  expect(await world.files('up', 'master')).toEqual({ '/other': 'code' })
  expect(await world.files('up', 'master-v1')).toEqual({ '/a': 'ONE' })
})

test('an update gives the job that runs the new code', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const started = Promise.withResolvers<undefined>()
  world.code('old', async (_files, { signal }) => {
    started.resolve(undefined)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    signal.throwIfAborted()
    return {}
  })
  world.code('new', () => ({ by: 'new' }))
  const spec = { name: 'up', input: atom('in', '/*') }
  await world.processing.pipelines.create({ ...spec, transform: transform('old') })
  const commit = await world.commit('in', { a: 'one' })
  await started.promise
  await world.processing.pipelines.update(
    { ...spec, transform: transform('new') },
    { reprocess: false },
  )
  await world.flush('in', commit)
  expect(await world.files('up', 'master')).toEqual({ '/by': 'new' })
  expect(await counts(world, 'up')).toEqual(['success: 1 processed, 0 skipped, 0 failed of 1'])
})

test('a pipeline can be deleted while it runs', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const started = Promise.withResolvers<undefined>()
  const stopped = Promise.withResolvers<undefined>()
  world.code('slow', async (_files, { signal }) => {
    started.resolve(undefined)
    signal.addEventListener('abort', () => stopped.resolve(undefined), { once: true })
    await stopped.promise
    signal.throwIfAborted()
    return {}
  })
  await world.pipeline('slow', atom('in', '/*'))
  await world.commit('in', { a: 'one' })
  await started.promise
  await world.processing.pipelines.delete('slow', { deleteJobs: true, deleteRepo: true })
  await stopped.promise
  expect(await world.processing.jobs.list()).toEqual([])
})

test('an output file is traced back to the input files that it was made from', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('size', (files) => ({ sizes: [...files.values()].map((text) => text.length).join() }))
  await world.pipeline('size', atom('in', '/*'))
  const commit = await world.commit('in', { a: 'one', b: 'three' })
  await world.flush('in', commit)
  expect(await world.files('size', 'master')).toEqual({ '/sizes': '35' })
  const file = { repo: 'size', commit: 'master', path: 'sizes' }
  const origins = await Array.fromAsync(world.processing.lineage.origins(file))
  expect(origins.map(({ inputs }) => inputs.map((input) => input.path))).toEqual([['/a'], ['/b']])
  expect(origins[0]?.inputs[0]).toMatchObject({ repo: 'in', commit })
})

test('what user code writes can be read while it runs and ever after', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('loud', (files, { onLine }) => {
    onLine({ at: 1, stream: 'stdout', text: `saw ${[...files.keys()].join()} at 100 %d` })
    return {}
  })
  await world.pipeline('loud', atom('in', '/*'))
  await world.flush('in', await world.commit('in', { a: 'one', b: 'two' }))
  const { signal } = new AbortController()
  const linesOf = async (data: readonly string[]): Promise<readonly string[]> => {
    const lines = await Array.fromAsync(
      world.processing.logs.lines({ pipeline: 'loud', data }, { signal }),
    )
    return lines.map(({ line }) => line.text).toSorted()
  }
  expect(await linesOf([])).toEqual(['saw in/a at 100 %d', 'saw in/b at 100 %d'])
  expect(await linesOf(['/b'])).toEqual(['saw in/b at 100 %d'])
})

test('two places of a union that hold the same datum are processed once, and go together', async () => {
  await using world = await openTestProcessing()
  const [left, right] = ['left', 'right']
  let runs = 0
  world.code('count', () => {
    runs += 1
    return { [`run-${runs}`]: '' }
  })
  for (const name of [left, right]) await world.versioning.repos.create({ name })
  await world.commit(left, { a: 'same' })
  const both = await world.commit(right, { a: 'same' })
  const request = { union: [atomNamedIn(left), atomNamedIn(right)] }
  await world.pipeline('count', request, { parallelism: { constant: 1, coefficient: 0 } })
  await world.flush(right, both)
  expect(await counts(world, 'count')).toEqual(['success: 1 processed, 1 skipped, 0 failed of 2'])
  await world.flush(left, await world.commit(left, { a: null }))
  expect(Object.keys(await world.files('count', 'master'))).toEqual(['/run-1'])
  await world.flush(right, await world.commit(right, { a: null }))
  expect(await world.files('count', 'master')).toEqual({})
})

test('a full disk holds a job up, and it goes on when there is room again', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  let runs = 0
  world.code('some', () => {
    runs += 1
    // When the plan has been written down, and again when results are recorded.
    if (runs === 1) world.failFlushes(2)
    return { [`out-${runs}`]: '' }
  })
  await world.pipeline('some', atom('in', '/*'))
  // More than are recorded at once.
  const names = Array.from({ length: 300 }, (_, at) => [`f${at}`, ''] as const)
  await world.flush('in', await world.commit('in', Object.fromEntries(names)))
  expect(Object.keys(await world.files('some', 'master'))).toHaveLength(names.length)
  expect(await counts(world, 'some')).toEqual([
    'success: 300 processed, 0 skipped, 0 failed of 300',
  ])
})

test('a job whose input was deleted meanwhile fails and says so', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const started = Promise.withResolvers<undefined>()
  const deleted = Promise.withResolvers<undefined>()
  world.code('slow', async () => {
    started.resolve(undefined)
    await deleted.promise
    return { done: 'yes' }
  })
  await world.pipeline('slow', atom('in', '/*'))
  await world.commit('in', { a: 'one' })
  await started.promise
  await world.versioning.repos.delete('in', { force: true })
  deleted.resolve(undefined)
  const [job] = await world.processing.jobs.list('slow')
  const ended = await world.processing.jobs.waitForEnd(job?.id ?? '', new AbortController().signal)
  expect(ended).toMatchObject({ state: 'failure', reason: 'the input repo in has been deleted' })
})

function atomNamedIn(repo: string): RequestedInput {
  const request = { repo, branch: '', glob: '/*', lazy: false, fromCommit: '' }
  return { atom: { ...request, name: 'in' } }
}

test('a program that does not exist ends the job at once, which says what was not tried', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('none', () => {
    throw new FailedPreconditionError('program none was not found')
  })
  await world.pipeline('none', atom('in', '/*'), { parallelism: { constant: 1, coefficient: 0 } })
  const files = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`f${index}`, 'x']))
  const commit = await world.commit('in', files)
  await expect(world.flush('in', commit)).rejects.toThrow('program none was not found')
  const [job] = await world.processing.jobs.list('none')
  const { processed, skipped, failed, total } = job?.counts ?? {}
  expect([processed, skipped, total]).toEqual([0, 0, 20])
  expect(failed).toBeLessThan(20)
  expect(job?.reason).toContain(`(${20 - (failed ?? 0)} more would fail so, and were not tried)`)
})

test('deleting a repo that a job reads ends the job, and interrupts its code', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const begun = Promise.withResolvers<void>()
  world.code('slow', async (_, { signal }) => {
    begun.resolve()
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    return signal.throwIfAborted() ?? {}
  })
  await world.pipeline('slow', atom('in', '/*'))
  await world.commit('in', { a: 'one' })
  await begun.promise
  const [job] = await world.processing.jobs.list('slow')
  await world.versioning.repos.delete('in', { force: true })
  const ended = await world.processing.jobs.waitForEnd(job?.id ?? '', new AbortController().signal)
  expect(ended).toMatchObject({ state: 'failure', reason: 'the input repo in has been deleted' })
})

test('who processes what can be seen while it runs', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const begun = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  world.code('slow', async () => {
    begun.resolve()
    await go.promise
    return {}
  })
  await world.pipeline('slow', atom('in', '/*'), { parallelism: { constant: 1, coefficient: 0 } })
  const commit = await world.commit('in', { a: 'one' })
  await begun.promise
  const [job] = await world.processing.jobs.list('slow')
  const workers = job === undefined ? [] : world.processing.active.of(job.id)
  expect(workers).toMatchObject([
    { id: 'slow-0', job: job?.id, members: [{ input: 'in', path: '/a' }], queueSize: 0 },
  ])
  go.resolve()
  await world.flush('in', commit)
  expect(job === undefined ? [] : world.processing.active.of(job.id)).toEqual([])
})

test('datums that come twice are run once, though they be far apart or fail', async () => {
  await using world = await openTestProcessing()
  let runCount = 0
  const clock = new SystemClock()
  world.code('twice', async (files) => {
    runCount += 1
    if (files.get('both/f1') === 'bad') throw 'exit code 1' // oxlint-disable-line no-throw-literal, typescript/only-throw-error -- how test code fails
    // So that the pauses between the tries of the bad one end long before its second place comes.
    await clock.sleep(1)
    return {}
  })
  // More than are looked up at once.
  const texts = Array.from({ length: 600 }, (_, index) => [`f${index}`, `${index}`] as const)
  const files = Object.fromEntries([...texts, ['f1', 'bad']])
  for (const name of ['left', 'right']) {
    await world.versioning.repos.create({ name })
  }
  await world.commit('left', files)
  const commit = await world.commit('right', files)
  const members = ['left', 'right'].map((repo): RequestedInput => {
    const of = atom(repo, '/*').atom
    return { atom: of && { ...of, name: 'both' } }
  })
  await world.pipeline('twice', { union: members })
  await expect(world.flush('right', commit)).rejects.toThrow('exit code 1')
  const [job] = await world.processing.jobs.list('twice')
  expect(job?.counts.failed).toBe(1)
  const { processed = 0, skipped = 0, failed = 0 } = job?.counts ?? {}
  expect(processed + skipped + failed).toBe(1200)
  expect(runCount, 'the bad one is tried four times').toBe(599 + 4)
})

test('an update that comes while a job is planned has its datums found anew', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('up', (files) => Object.fromEntries(files))
  await world.pipeline('up', atom('in', '/a'))
  const { pipelines } = world.processing
  await pipelines.stop('up')
  const commit = await world.commit('in', { a: 'one', b: 'two' })
  const spec = { name: 'up', input: atom('in', '/b'), transform: transform('up') }
  world.duringNextFlush(() => pipelines.update(spec, { reprocess: false }))
  await pipelines.start('up')
  await world.flush('in', commit)
  expect(await world.files('up', 'master')).toEqual({ '/in/b': 'two' })
  expect(world.ran.at(-1)).toBe('in:/b')
})
