import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import type { BranchName, CommitId, RepoName } from '../base/names.ts'
import {
  atom,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import { setHead } from '../versioning/branches.ts'
import { insertFinishedCommit } from '../versioning/commit-records.ts'
import type { Operation } from '../versioning/operations.ts'
import type { RequestedInput } from './requested-specs.ts'

/** More than one slice of a backlog. */
const longCount = 250

function cross(...repos: readonly string[]): RequestedInput {
  return { cross: repos.map((repo) => atom(repo, '/*')) }
}

/** Starts, fills and finishes a commit on `master`. */
function fill(repo: string, text: string): readonly Operation[] {
  const bytes = utf8(text)
  return [
    { kind: 'start-commit', repo, branch: 'master' },
    { kind: 'put-file', repo, commit: 'master', path: '/a', bytes, overwrite: true },
    { kind: 'finish-commit', repo, commit: 'master' },
  ]
}

/** A line of finished commits on `master` of a new repo, oldest first. */
async function longHistory(world: TestProcessing, name: string): Promise<readonly string[]> {
  await world.versioning.repos.create({ name })
  const ids = [await world.commit(name, { a: 'one' })]
  const first = await world.versioning.commits.inspect(name, 'master')
  const { state } = first
  if (state.kind !== 'finished') throw new Error('the commit was finished')
  const repo = name as RepoName
  await world.database.transact(async (tx) => {
    for (let count = 1; count < longCount; count += 1) {
      const id = count.toString(16).padStart(32, '0') as CommitId
      await insertFinishedCommit(tx, {
        repo,
        id,
        parent: ids.at(-1) as CommitId,
        provenance: [],
        startedAt: first.startedAt,
        finishedAt: state.finishedAt + count,
        tree: state.tree,
        addedBytes: 0,
      })
      ids.push(id)
    }
    const head = ids.at(-1) as CommitId
    await setHead(tx, async () => undefined, { repo, name: 'master' as BranchName, head })
  })
  return ids
}

test('a long history is worked off in slices, in order, and new heads come after it', async () => {
  await using world = await openTestProcessing()
  const ids = await longHistory(world, 'in')
  world.code('up', (files) => Object.fromEntries(files))
  await world.pipeline('up', atom('in', '/*'))
  const made = await world.processing.jobs.list('up')
  expect(made.length, 'one transaction makes a bounded number of jobs').toBeLessThan(longCount)
  const last = await world.commit('in', { a: 'two' })
  await world.flush('in', last)
  const jobs = (await world.processing.jobs.list('up')).toReversed()
  expect(jobs.map(({ trigger }) => trigger.commit)).toEqual([...ids, last])
  expect(jobs.at(-1)?.parentJob).toBe(jobs.at(-2)?.id)
})

test('a backlog that a stop has interrupted is worked off after the start', async () => {
  await using world = await openTestProcessing()
  const ids = await longHistory(world, 'in')
  world.code('up', (files) => Object.fromEntries(files))
  await world.pipeline('up', atom('in', '/*'))
  await world.processing.pipelines.stop('up')
  await world.restart()
  expect((await world.processing.jobs.list('up')).length).toBeLessThan(longCount)
  await world.processing.pipelines.start('up')
  await world.flush('in', ids.at(-1) ?? '')
  expect(await world.processing.jobs.list('up')).toHaveLength(longCount)
})

test('a pipeline whose input repo is gone fails as a whole, and starts again when it is back', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const started = Promise.withResolvers<undefined>()
  const released = Promise.withResolvers<undefined>()
  world.code('up', async (files) => {
    started.resolve(undefined)
    await released.promise
    return Object.fromEntries(files)
  })
  await world.pipeline('up', atom('in', '/*'))
  await world.commit('in', { a: 'one' })
  await started.promise
  await world.commit('in', { a: 'two' })
  await world.commit('in', { a: 'three' })
  await world.versioning.repos.delete('in', { force: true })
  released.resolve(undefined)
  const stateOf = async (): Promise<string> => {
    const { state, recentError } = await world.processing.pipelines.inspect('up')
    return `${state}: ${recentError}`
  }
  await expect
    .poll(stateOf)
    .toBe(
      'failure: the input repo in has been deleted; have a backup bring it with restore --repo in, ' +
        'or create it again with create-repo in, and start-pipeline up, or delete-pipeline up and create it anew',
    )
  const ends = async (): Promise<readonly string[]> => {
    const jobs = await world.processing.jobs.list('up')
    return jobs.map(({ state, reason }) => `${state}: ${reason.replace(/^the | in .*/g, '')}`)
  }
  const lost = 'failure: input repo'
  await expect.poll(ends).toEqual([lost, lost, lost])
  await expect(world.processing.pipelines.start('up')).rejects.toThrow(
    'pipeline up cannot run: the input repo in has been deleted; have a backup bring it',
  )
  await world.versioning.repos.create({ name: 'in' })
  await world.processing.pipelines.start('up')
  await world.flush('in', await world.commit('in', { a: 'four' }))
})

test('the branch of an old version never has the length of a commit’s id', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('up', () => ({ x: '1' }))
  const outputBranch = 'b'.repeat(29)
  const spec = { name: 'up', transform: transform('up'), input: atom('in', '/*'), outputBranch }
  await world.processing.pipelines.create(spec)
  await world.flush('in', await world.commit('in', { a: 'one' }))
  await world.processing.pipelines.update(spec, { reprocess: false })
  const branches = await world.versioning.branches.list('up')
  expect(branches.map(({ name }) => name)).toContain(`${outputBranch}-v1-old`)
})

test('commits of two repos that a transaction finishes make one job, with both', async () => {
  await using world = await openTestProcessing()
  const { repos, commits, transactions } = world.versioning
  for (const name of ['left', 'right']) await repos.create({ name })
  world.code('up', (files) => Object.fromEntries(files))
  await world.pipeline('up', cross('left', 'right'))
  await world.commit('left', { a: 'one' })
  await world.flush('right', await world.commit('right', { b: 'one' }))
  expect(await world.processing.jobs.list('up')).toHaveLength(1)
  const left = await commits.start({ repo: 'left', branch: 'master' })
  const right = await commits.start({ repo: 'right', branch: 'master' })
  await transactions.run([
    { kind: 'finish-commit', repo: 'left', commit: left.id },
    { kind: 'finish-commit', repo: 'right', commit: right.id },
  ])
  await world.flush('left', left.id)
  const [latest, ...others] = await world.processing.jobs.list('up')
  expect(latest?.inputs.map(({ commit }) => commit)).toEqual([left.id, right.id])
  expect(others).toHaveLength(1)
})

test('a paused pipeline, and one that is made later, read together what was finished together', async () => {
  await using world = await openTestProcessing()
  const { repos, transactions } = world.versioning
  for (const name of ['left', 'right']) await repos.create({ name })
  for (const name of ['up', 'later']) world.code(name, (files) => Object.fromEntries(files))
  await world.pipeline('up', cross('left', 'right'))
  await world.processing.pipelines.stop('up')
  const ids: string[][] = []
  for (const text of ['one', 'two', 'three']) {
    const results = await transactions.run(['left', 'right'].flatMap((repo) => fill(repo, text)))
    ids.push(results.flatMap((result) => (result === undefined ? [] : [result.id])))
  }
  const pairs = ids.map(([left, , right]) => [left, right])
  await world.processing.pipelines.start('up')
  await world.pipeline('later', cross('left', 'right'))
  await world.flush('left', pairs.at(-1)?.[0] ?? '')
  for (const name of ['up', 'later']) {
    const jobs = (await world.processing.jobs.list(name)).toReversed()
    expect(jobs.map(({ inputs }) => inputs.map(({ commit }) => commit))).toEqual(pairs)
  }
})

test('a job never reads one commit of a transaction beside what was before another', async () => {
  await using world = await openTestProcessing()
  const { repos, commits, transactions } = world.versioning
  for (const name of ['root', 'other']) await repos.create({ name })
  const release = Promise.withResolvers<undefined>()
  let isHeld = false
  world.code('slow', async (files) => {
    if (isHeld) await release.promise
    return Object.fromEntries(files)
  })
  world.code('up', (files) => Object.fromEntries(files))
  await world.pipeline('slow', atom('root', '/*'))
  await world.pipeline('up', cross('root', 'slow', 'other'))
  await world.commit('other', { b: 'one' })
  await world.flush('root', await world.commit('root', { a: 'one' }))
  isHeld = true
  const root = await commits.start({ repo: 'root', branch: 'master' })
  await world.versioning.writes.put({ repo: 'root', commit: root.id, path: '/a' }, utf8('two'))
  const other = await commits.start({ repo: 'other', branch: 'master' })
  await transactions.run([
    { kind: 'finish-commit', repo: 'root', commit: root.id },
    { kind: 'finish-commit', repo: 'other', commit: other.id },
  ])
  // The new commit of `other` would align with what is older than the new one of `root`.
  expect(await world.processing.jobs.list('up')).toHaveLength(1)
  release.resolve(undefined)
  await world.flush('root', root.id)
  const [latest, ...others] = await world.processing.jobs.list('up')
  expect(latest?.inputs.map(({ commit }) => commit)).toEqual(
    expect.arrayContaining([root.id, other.id]),
  )
  expect(others).toHaveLength(1)
})

test('a pipeline whose input repo was deleted just before a crash fails after the restart', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('up', () => ({}))
  await world.pipeline('up', atom('in', '/'))
  await world.processing.scheduler[Symbol.asyncDispose]()
  await world.versioning.repos.delete('in', { force: true })
  expect((await world.processing.pipelines.inspect('up')).state).toBe('running')
  await world.restart()
  await expect
    .poll(async () => (await world.processing.pipelines.inspect('up')).recentError)
    .toContain('the input repo in has been deleted')
})

test('a branch that moves back to the commit up to which nothing is read, or behind it, starts no job', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('up', (files) => Object.fromEntries(files))
  const first = await world.commit('in', { a: '1' })
  const second = await world.commit('in', { a: '2' })
  const input = { atom: { ...atom('in', '/').atom, fromCommit: second } }
  await world.pipeline('up', input)
  const third = await world.commit('in', { a: '3' })
  await world.flush('in', third)
  const { branches, deletions } = world.versioning
  await deletions.delete([{ repo: 'in', commit: third }], { dryRun: false })
  expect(await world.processing.jobs.list('up')).toEqual([])
  await branches.set('in', 'master', first)
  expect(await world.processing.jobs.list('up')).toEqual([])
  // Neither does what a pipeline finds that is made, or updated, meanwhile.
  world.code('late', (files) => Object.fromEntries(files))
  await world.pipeline('late', input)
  expect(await world.processing.jobs.list()).toEqual([])
  await branches.set('in', 'master', second)
  const other = await world.commit('in', { a: '4' })
  await world.flush('in', other)
  const jobs = await world.processing.jobs.list()
  expect(jobs.map(({ trigger }) => trigger.commit)).toEqual([other, other])
})

test('what leads to a from_commit starts no job where the branch has left it for another line', async () => {
  await using world = await openTestProcessing()
  const { commits, repos } = world.versioning
  await repos.create({ name: 'in' })
  const first = await world.commit('in', { a: 'one' })
  const second = await world.commit('in', { a: 'two' })
  const aside = await commits.start({ repo: 'in', parent: first, branch: 'master' })
  await commits.finish('in', aside.id)
  world.code('up', (files) => Object.fromEntries(files))
  await world.pipeline('up', { atom: { ...atom('in', '/').atom, fromCommit: second } })
  await world.flush('in', aside.id)
  const jobs = await world.processing.jobs.list('up')
  expect(jobs.map(({ trigger }) => trigger.commit)).toEqual([aside.id])
})
