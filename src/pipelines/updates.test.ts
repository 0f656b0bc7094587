import { expect, test } from 'vitest'
import type { BranchName, CommitId, RepoName } from '../base/names.ts'
import type { RequestedSpec } from './requested-specs.ts'
import {
  atom,
  failDatum,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import { setHead } from '../versioning/branches.ts'
import { insertFinishedCommit } from '../versioning/commit-records.ts'
import type { CommitName } from '../versioning/ports.ts'

/** More than one slice of a history. */
const longCount = 120

/** A pipeline that copies `a` of `in`, over so many commits that change it. */
async function copies(world: TestProcessing, commitCount: number): Promise<readonly string[]> {
  await world.versioning.repos.create({ name: 'in' })
  world.code('copy', (files) =>
    Object.fromEntries([...files].map(([path, text]) => [path.slice('in'.length), text])),
  )
  const commits: string[] = []
  for (let count = 1; count <= commitCount; count += 1) {
    commits.push(await world.commit('in', { a: `${count}` }))
  }
  return commits
}

function copying(more: RequestedSpec = {}): RequestedSpec {
  return { name: 'copy', transform: transform('copy'), input: atom('in', '/a'), ...more }
}

async function update(world: TestProcessing, more: RequestedSpec = {}): Promise<void> {
  await world.processing.pipelines.update(copying(more), { reprocess: false })
}

/** Waits for the jobs that there are; returns what they read, oldest first. */
async function jobs(world: TestProcessing): Promise<readonly string[]> {
  const { signal } = new AbortController()
  const listed = (await world.processing.jobs.list('copy')).toReversed()
  for (const { id } of listed) await world.processing.jobs.waitForEnd(id, signal)
  return listed.map(({ trigger }) => trigger.commit)
}

test('another glob makes the newest commit be processed, as far as it has other datums', async () => {
  await using world = await openTestProcessing()
  const [first, second] = await copies(world, 2)
  const third = await world.commit('in', { b: 'more' })
  await world.processing.pipelines.create(copying())
  expect(await jobs(world)).toEqual([first, second, third])
  world.ran.length = 0
  await update(world, { input: atom('in', '/*') })
  expect(await jobs(world)).toEqual([first, second, third, third])
  expect(world.ran).toEqual(['in:/b'])
  expect(await world.files('copy', 'master')).toEqual({ '/a': '2', '/b': 'more' })
  const [again, former] = await world.processing.jobs.list('copy')
  expect(await world.processing.explanations.ofJob(again?.id ?? '')).toMatchObject({
    reason: `pipeline copy was updated to version 2, after job ${former?.id} had read the same commits`,
  })
  await update(world, { input: atom('in', '/*'), description: 'the same' })
  expect(await jobs(world)).toHaveLength(4)
})

test('another output branch gets the newest output', async () => {
  await using world = await openTestProcessing()
  const [first, second] = await copies(world, 2)
  await world.processing.pipelines.create(copying())
  await jobs(world)
  world.ran.length = 0
  await update(world, { outputBranch: 'other' })
  expect(await jobs(world)).toEqual([first, second, second])
  expect(world.ran).toEqual([])
  expect(await world.files('copy', 'other')).toEqual({ '/a': '2' })
})

test('after an update that reads older commits, the output is that of the newest', async () => {
  await using world = await openTestProcessing()
  const [first, second, third] = await copies(world, 3)
  const { atom: plain } = atom('in', '/a')
  const input = { atom: { ...plain, fromCommit: second ?? '' } }
  await world.processing.pipelines.create(copying({ input }))
  expect(await jobs(world)).toEqual([third])
  await update(world)
  expect(await jobs(world)).toEqual([third, first, second, third])
  expect(await world.files('copy', 'master')).toEqual({ '/a': '3' })
})

test('a deleted job that an update makes anew does not leave its output at the head', async () => {
  await using world = await openTestProcessing()
  const [first, second] = await copies(world, 2)
  await world.processing.pipelines.create(copying())
  await jobs(world)
  const oldest = (await world.processing.jobs.list('copy')).at(-1)
  await world.processing.jobs.delete(oldest?.id ?? '')
  await update(world)
  expect(await jobs(world)).toEqual([second, first, second])
  expect(await world.files('copy', 'master')).toEqual({ '/a': '2' })
})

test('the newest job runs once more behind older ones also where it has not ended', async () => {
  await using world = await openTestProcessing()
  const [first, second] = await copies(world, 2)
  const { atom: plain } = atom('in', '/a')
  const input = { atom: { ...plain, fromCommit: first ?? '' } }
  const started = Promise.withResolvers<undefined>()
  const released = Promise.withResolvers<undefined>()
  world.code('copy', async (files) => {
    started.resolve(undefined)
    await released.promise
    return Object.fromEntries([...files].map(([path, text]) => [path.slice('in'.length), text]))
  })
  await world.processing.pipelines.create(copying({ input }))
  await started.promise
  await update(world)
  released.resolve(undefined)
  expect(await jobs(world)).toEqual([second, first, second])
  expect(await world.files('copy', 'master')).toEqual({ '/a': '2' })
})

test('an update leaves what somebody ran over chosen commits, and tries again what has failed', async () => {
  await using world = await openTestProcessing()
  const [first = '', second] = await copies(world, 2)
  await world.processing.pipelines.create(copying())
  await jobs(world)
  await world.processing.pipelines.run('copy', [{ repo: 'in', commit: first }])
  await update(world)
  expect(await jobs(world)).toEqual([first, second, first])
  expect(await world.files('copy', 'master')).toEqual({ '/a': '1' })
  world.code('copy', () => failDatum('it is broken'))
  const third = await world.commit('in', { a: '3' })
  await jobs(world)
  await update(world)
  expect(await jobs(world)).toEqual([first, second, first, third, third])
})

test('an update looks at the newest commit also behind a long history', async () => {
  await using world = await openTestProcessing()
  const commits = await copies(world, longCount)
  await world.processing.pipelines.create(copying())
  await world.flush('in', commits.at(-1) ?? '')
  await update(world, { input: atom('in', '/*') })
  await expect.poll(async () => (await jobs(world)).length).toBe(longCount + 1)
  expect((await jobs(world)).at(-1)).toBe(commits.at(-1))
})

/** More commits of each of three repos than a transaction tries. */
const pairCount = 180

function named(repo: string, at: number): CommitName {
  const id = Buffer.from(`${repo}${at}`).toString('hex').padEnd(32, '0')
  return { repo: repo as RepoName, id: id as CommitId }
}

/**
 * Fills `a`, `b` and `c` so that of what comes after the first of each, each goes with one of each other repo,
 * and no three go together. The first are made from a commit of `z`.
 */
async function fillWithPairs(world: TestProcessing, first: string): Promise<void> {
  const { state, startedAt } = await world.versioning.commits.inspect('z', first)
  if (state.kind !== 'finished') throw new Error('the commit was finished')
  await world.database.transact(async (tx) => {
    for (let at = 0; at <= pairCount; at += 1) {
      const madeFrom = {
        a: [named('r', at), named('s', at)],
        b: [named('r', at), named('t', at)],
        c: [named('s', at === 0 ? at : at + 1), named('t', at)],
      }
      for (const [index, [repo, roots]] of Object.entries(madeFrom).entries()) {
        const commit = named(repo, at)
        const oldest = [{ repo: 'z' as RepoName, id: first as CommitId }]
        await insertFinishedCommit(tx, {
          ...commit,
          parent: at === 0 ? undefined : named(repo, at - 1).id,
          provenance: at === 0 ? [...oldest, ...roots] : roots,
          startedAt,
          finishedAt: state.finishedAt + 3 * at + index + 1,
          tree: state.tree,
          addedBytes: 0,
        })
        const head = { repo: commit.repo, name: 'master' as BranchName, head: commit.id }
        await setHead(tx, async () => undefined, head)
      }
    }
  })
}

function crossOfFour(glob: string): RequestedSpec {
  return { input: { cross: ['a', 'b', 'c', 'n'].map((repo) => atom(repo, glob)) } }
}

test('an update looks at the newest commits also while much is tried for one that comes meanwhile', async () => {
  await using world = await openTestProcessing()
  const { repos, commits } = world.versioning
  for (const name of ['r', 's', 't', 'z']) await repos.create({ name })
  for (const name of ['a', 'b', 'c']) await repos.create({ name, provenance: ['r', 's', 't', 'z'] })
  await repos.create({ name: 'n', provenance: ['z'] })
  const comeFrom = async (id: string): Promise<void> => {
    const commit = await commits.start({
      repo: 'n',
      branch: 'master',
      provenance: [{ repo: 'z', id }],
    })
    await commits.finish('n', commit.id)
  }
  const [first, second] = [await world.commit('z', { a: '1' }), await world.commit('z', { a: '2' })]
  await fillWithPairs(world, first)
  await comeFrom(first)
  world.code('copy', () => ({}))
  await world.processing.pipelines.create(copying(crossOfFour('/')))
  await expect.poll(async () => await jobs(world)).toHaveLength(1)
  await update(world, crossOfFour('/*'))
  await world.processing.pipelines.stop('copy')
  await comeFrom(second)
  await world.processing.pipelines.start('copy')
  await expect.poll(async () => await jobs(world)).toHaveLength(2)
})
