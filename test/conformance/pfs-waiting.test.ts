import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import type { CommitInfo } from '../../src/gen/pfs_pb.ts'
import { failed, freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

/** A finished commit in `repo` that is made from `source`. */
async function derive(repo: string, sources: readonly (readonly [string, string])[]) {
  const { id } = await pachd.pfs.startCommit({
    parent: commitOf(repo, ''),
    provenance: sources.map(([name, commit]) => commitOf(name, commit)),
    branch: 'master',
  })
  await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  return id
}

async function nextId(stream: AsyncIterator<CommitInfo>): Promise<string | undefined> {
  const next = await stream.next()
  return next.done === true ? undefined : next.value.commit?.id
}

describe('flush-commit', () => {
  test('one commit for each repo that is made from the commit’s repo, then the end', async () => {
    const source = await freshRepo(pachd)
    const [left, right] = [await freshRepo(pachd, [source]), await freshRepo(pachd, [source])]
    const id = await commitFiles(pachd, { repo: source, branch: 'master' }, { a: '1' })
    const flushed = collect(pachd.pfs.flushCommit({ commits: [commitOf(source, 'master')] }))
    const made = [await derive(left, [[source, id]]), await derive(right, [[source, id]])]
    const infos = await flushed
    expect(new Set(infos.map(({ commit }) => commit?.id))).toEqual(new Set(made))
    expect(infos).toHaveLength(2)
    expect(infos.every(({ finished, tree }) => finished !== undefined && tree !== undefined)).toBe(
      true,
    )
  })

  test('only the given repos, when some are given', async () => {
    const source = await freshRepo(pachd)
    const [left] = [await freshRepo(pachd, [source]), await freshRepo(pachd, [source])]
    const id = await commitFiles(pachd, { repo: source, branch: 'master' }, { a: '1' })
    const made = await derive(left, [[source, id]])
    const request = { commits: [commitOf(source, id)], toRepos: [{ name: left }] }
    const infos = await collect(pachd.pfs.flushCommit(request))
    expect(infos.map(({ commit }) => commit?.id)).toEqual([made])
  })

  test('a commit must be made from all of the given ones', async () => {
    const [left, right] = [await freshRepo(pachd), await freshRepo(pachd)]
    const repo = await freshRepo(pachd, [left, right])
    const a = await commitFiles(pachd, { repo: left, branch: 'master' }, { a: '1' })
    const b = await commitFiles(pachd, { repo: right, branch: 'master' }, { b: '1' })
    await derive(repo, [[left, a]])
    const both = await derive(repo, [
      [left, a],
      [right, b],
    ])
    const request = { commits: [commitOf(left, a), commitOf(right, b)] }
    const infos = await collect(pachd.pfs.flushCommit(request))
    expect(infos.map(({ commit }) => commit?.id)).toEqual([both])
  })

  test('with nothing downstream it ends at once', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    expect(await collect(pachd.pfs.flushCommit({ commits: [commitOf(repo, 'master')] }))).toEqual(
      [],
    )
  })

  test('without commits it is refused; an unknown commit is not found', async () => {
    await expect(collect(pachd.pfs.flushCommit({}))).rejects.toEqual(
      refused('invalid-argument', 'cannot be empty'),
    )
    const repo = await freshRepo(pachd)
    const unknown = pachd.pfs.flushCommit({ commits: [commitOf(repo, 'nobody')] })
    await expect(collect(unknown)).rejects.toEqual(refused('not-found', 'not found'))
  })

  test('it waits no longer than its caller', async () => {
    const source = await freshRepo(pachd)
    await freshRepo(pachd, [source])
    await commitFiles(pachd, { repo: source, branch: 'master' }, { a: '1' })
    const request = { commits: [commitOf(source, 'master')] }
    const waiting = pachd.pfs.flushCommit(request, { timeoutMs: 50 })
    await expect(collect(waiting)).rejects.toEqual(
      failed(Code.deadlineExceeded, undefined, /deadline/i),
    )
  })
})

describe('subscribe-commit', () => {
  test('finished commits oldest first, then each new head as it finishes', async () => {
    const repo = await freshRepo(pachd)
    const target = { repo, branch: 'master' }
    const first = await commitFiles(pachd, target, { a: '1' })
    const second = await commitFiles(pachd, target, { a: '2' })
    const caller = new AbortController()
    const request = { repo: { name: repo }, branch: 'master' }
    const stream = pachd.pfs.subscribeCommit(request, { signal: caller.signal })
    const commits = stream[Symbol.asyncIterator]()
    expect([await nextId(commits), await nextId(commits)]).toEqual([first, second])
    const { id: third } = await pachd.pfs.startCommit({
      parent: commitOf(repo, ''),
      branch: 'master',
    })
    await pachd.pfs.finishCommit({ commit: commitOf(repo, third) })
    expect(await nextId(commits)).toBe(third)
    caller.abort()
    await expect(nextId(commits)).rejects.toMatchObject({ code: Code.cancelled })
  })

  test('without `from` and what is before it, given as branch or id', async () => {
    const repo = await freshRepo(pachd)
    const target = { repo, branch: 'master' }
    await commitFiles(pachd, target, { a: '1' })
    const second = await commitFiles(pachd, target, { a: '2' })
    const third = await commitFiles(pachd, target, { a: '3' })
    const since = (from: string): AsyncIterator<CommitInfo> => {
      const request = { repo: { name: repo }, branch: 'master', from: commitOf(repo, from) }
      return pachd.pfs.subscribeCommit(request)[Symbol.asyncIterator]()
    }
    const sinceSecond = since(second)
    expect(await nextId(sinceSecond)).toBe(third)
    const sinceHead = since('master')
    const next = nextId(sinceHead)
    const fourth = await commitFiles(pachd, target, { a: '4' })
    expect([await next, await nextId(sinceSecond)]).toEqual([fourth, fourth])
    await Promise.all([sinceSecond.return?.(), sinceHead.return?.()])
  })

  test('a repo and branch that come later; only the very branch counts', async () => {
    const repo = await freshRepo(pachd)
    const request = { repo: { name: repo }, branch: 'd' }
    const commits = pachd.pfs.subscribeCommit(request)[Symbol.asyncIterator]()
    const next = nextId(commits)
    await commitFiles(pachd, { repo, branch: 'dup' }, { a: '1' })
    const id = await commitFiles(pachd, { repo, branch: 'd' }, { a: '2' })
    expect(await next).toBe(id)
    await commits.return?.()
  })

  test('what can be no branch is refused, and not waited for', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    await pachd.commits.tagCommit({ commit: commitOf(repo, id), tag: 'v1' })
    const told: readonly (readonly [branch: string, text: string])[] = [
      ['master^', 'no commit can come to "master^"'],
      [id, 'cannot be of the same length as commit IDs'],
      ['v1', `v1 is a commit tag of repo ${repo}`],
    ]
    for (const [branch, text] of told) {
      const commits = pachd.pfs.subscribeCommit({ repo: { name: repo }, branch })
      await expect(collect(commits)).rejects.toEqual(refused('invalid-argument', text))
    }
  })

  test('hundreds on one connection each hear of every commit, and other calls go on beside them', async () => {
    const repo = await freshRepo(pachd)
    const subscribers = Array.from({ length: 300 }, () =>
      pachd.pfs.subscribeCommit({ repo: { name: repo }, branch: 'master' })[Symbol.asyncIterator](),
    )
    for (const text of ['1', '2']) {
      const heard = subscribers.map(nextId)
      // Whoever has not heard of a head when the next one comes, hears of that alone.
      const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: text })
      expect(new Set(await Promise.all(heard))).toEqual(new Set([id]))
    }
    await Promise.all(subscribers.map(async (commits) => commits.return?.()))
  })
})
