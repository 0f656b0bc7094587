import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CommitId } from '../../base/names.ts'
import { openTestVersioning, type TestVersioning } from '../../testing/test-versioning.ts'
import type { CommitInfo } from '../commit-records.ts'
import type { CommitName } from '../ports.ts'

let world: TestVersioning
const { signal } = new AbortController()

beforeAll(async () => {
  world = await openTestVersioning()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

async function commitOn(
  repo: string,
  branch: string,
  provenance: readonly CommitName[] = [],
): Promise<CommitName> {
  const { commits } = world.versioning
  const name = await commits.start({ repo, branch, provenance })
  await commits.finish(repo, name.id)
  return name
}

async function createChain(...names: readonly string[]): Promise<void> {
  let last: readonly string[] = []
  for (const name of names) {
    await world.versioning.repos.create({ name, provenance: last })
    last = [name]
  }
}

async function take(
  commits: AsyncIterator<CommitInfo>,
  count: number,
): Promise<readonly CommitId[]> {
  const ids: CommitId[] = []
  while (ids.length < count) {
    const next = await commits.next()
    if (next.done === true) break
    ids.push(next.value.id)
  }
  return ids
}

/** Watches for the failure from now on; resolves with its text. */
async function failureOf(running: Promise<unknown>): Promise<string> {
  return running.then(
    () => 'no failure',
    (error: unknown) => String(error),
  )
}

test('flush gives one finished commit of every repo further down', async () => {
  await createChain('f-a', 'f-b', 'f-c')
  await world.versioning.repos.create({ name: 'f-aside' })
  const a = await commitOn('f-a', 'master')
  const flushed = world.versioning.subscriptions.flush({
    commits: [{ repo: 'f-a', commit: 'master' }],
    signal,
  })
  const all = Array.fromAsync(flushed)
  const open = await world.versioning.commits.start({ repo: 'f-b', provenance: [a] })
  const c = await commitOn('f-c', 'master', [open])
  await commitOn('f-c', 'master', [open])
  await world.versioning.commits.finish('f-b', open.id)
  const found = new Map((await all).map(({ repo, id }) => [repo, id]))
  expect(found).toEqual(
    new Map([
      ['f-b', open.id],
      ['f-c', c.id],
    ]),
  )
})

test('flush to a repo that is not made from the commit’s repo is refused at once', async () => {
  await createChain('stray-a')
  await createChain('stray-b')
  await commitOn('stray-a', 'master')
  const commits = [{ repo: 'stray-a', commit: 'master' }]
  const flushed = world.versioning.subscriptions.flush({ commits, toRepos: ['stray-b'], signal })
  expect(await failureOf(Array.fromAsync(flushed))).toContain('it is not made from repo stray-a')
})

test('flush of several commits waits for one that is made from all of them', async () => {
  const { repos, subscriptions } = world.versioning
  for (const name of ['g-a', 'g-b']) await repos.create({ name })
  await repos.create({ name: 'g-c', provenance: ['g-a', 'g-b'] })
  await repos.create({ name: 'g-half', provenance: ['g-a'] })
  const a = await commitOn('g-a', 'master')
  const b = await commitOn('g-b', 'master')
  await commitOn('g-c', 'master', [a])
  const both = await commitOn('g-c', 'master', [a, b])
  const commits = [a, b].map(({ repo, id }) => ({ repo, commit: id }))
  const flushed = await Array.fromAsync(subscriptions.flush({ commits, signal }))
  expect(flushed.map(({ id }) => id)).toEqual([both.id])
  const named = subscriptions.flush({ commits, toRepos: ['g-c'], signal })
  expect((await Array.fromAsync(named)).map(({ id }) => id)).toEqual([both.id])
})

test('flush without anything downstream ends at once, and without commits it fails', async () => {
  await createChain('h')
  await commitOn('h', 'master')
  const { flush } = {
    flush: (commits: readonly { readonly repo: string; readonly commit: string }[]) =>
      Array.fromAsync(world.versioning.subscriptions.flush({ commits, signal })),
  }
  expect(await flush([{ repo: 'h', commit: 'master' }])).toEqual([])
  await expect(flush([])).rejects.toThrow('fromCommits cannot be empty')
  await expect(flush([{ repo: 'h', commit: 'nope' }])).rejects.toThrow('not found')
})

test('flush gives what it can, then says which job has failed', async () => {
  await createChain('i-a', 'i-b')
  await world.versioning.repos.create({ name: 'i-c', provenance: ['i-a'] })
  const a = await commitOn('i-a', 'master')
  const flushed = world.versioning.subscriptions.flush({
    commits: [{ repo: 'i-a', commit: a.id }],
    signal,
  })
  const first = flushed.next()
  world.downstream.set('i-b', { kind: 'failed', reason: 'job 123 of pipeline i-b failed' })
  const c = await commitOn('i-c', 'master', [a])
  expect((await first).value?.id).toBe(c.id)
  await expect(flushed.next()).rejects.toThrow(
    'no commit will come to repo i-b from the flushed commits: job 123 of pipeline i-b failed',
  )
})

test('flush hears of a failure, of a deleted repo and of the end of its caller', async () => {
  await createChain('j-a', 'j-b')
  const a = await commitOn('j-a', 'master')
  const commits = [{ repo: 'j-a', commit: a.id }]
  const { repos, subscriptions } = world.versioning
  const failing = Array.fromAsync(subscriptions.flush({ commits, signal }))
  const failed = failureOf(failing)
  world.downstream.set('j-b', { kind: 'failed', reason: 'job 9 failed' })
  await world.database.transact((tx) => tx.emit('test-downstream', ''))
  expect(await failed).toContain('job 9 failed')
  world.downstream.set('j-b', { kind: 'pending' })
  const cancel = new AbortController()
  const cancelled = failureOf(
    Array.fromAsync(subscriptions.flush({ commits, signal: cancel.signal })),
  )
  cancel.abort()
  expect(await cancelled).toContain('cancelled')
  const deleted = subscriptions.flush({ commits, signal })
  const gone = failureOf(Array.fromAsync(deleted))
  // Reads answer in order: the flush knows its targets once this one is answered.
  await world.database.read(() => Promise.resolve())
  await repos.delete('j-b', { force: true })
  expect(await gone).toContain('the repo has been deleted')
})

test('a subscriber gets a branch’s finished commits, then each head as it finishes', async () => {
  await createChain('s')
  const first = await commitOn('s', 'd')
  const second = await commitOn('s', 'd')
  await commitOn('s', 'dup')
  const subscribed = world.versioning.subscriptions.subscribe({ repo: 's', branch: 'd', signal })
  expect(await take(subscribed, 2)).toEqual([first.id, second.id])
  const next = take(subscribed, 2)
  await commitOn('s', 'dup')
  const third = await world.versioning.commits.start({ repo: 's', branch: 'd' })
  await world.versioning.commits.delete('s', third.id)
  const fourth = await world.versioning.commits.start({ repo: 's', branch: 'd' })
  await world.versioning.commits.finish('s', fourth.id)
  await world.versioning.branches.set('s', 'd', first.id)
  const fifth = await commitOn('s', 'd')
  expect(await next).toEqual([fourth.id, fifth.id])
  await subscribed.return(undefined)
})

test('a subscriber waits for a repo and branch that do not exist yet', async () => {
  const cancel = new AbortController()
  const { subscriptions } = world.versioning
  const early = subscriptions.subscribe({ repo: 'later', branch: 'b', signal: cancel.signal })
  const next = take(early, 1)
  await createChain('later')
  const made = await commitOn('later', 'b')
  expect(await next).toEqual([made.id])
  const waiting = failureOf(early.next())
  cancel.abort()
  expect(await waiting).toContain('cancelled')
})

test('a subscriber starts after the commit it names, on whatever line that is', async () => {
  await createChain('t')
  const ids: CommitId[] = []
  for (let index = 0; index < 4; index += 1) ids.push((await commitOn('t', 'b')).id)
  await world.versioning.branches.set('t', 'fork', ids[1] ?? '')
  const forked = await commitOn('t', 'fork')
  const from = async (start: string, branch: string, count: number): Promise<unknown> => {
    const options = { repo: 't', branch, from: start, signal }
    const subscribed = world.versioning.subscriptions.subscribe(options)
    const taken = await take(subscribed, count)
    await subscribed.return(undefined)
    return taken
  }
  expect(await from(ids[1] ?? '', 'b', 2)).toEqual(ids.slice(2))
  expect(await from(forked.id, 'b', 2)).toEqual(ids.slice(2))
  expect(await from('b', 'fork', 1)).toEqual([forked.id])
})
