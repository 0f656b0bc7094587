import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CommitInfo } from '../../src/gen/pfs_pb.ts'
import { freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

async function start(repo: string, branch: string, parent = ''): Promise<string> {
  return (await pachd.pfs.startCommit({ parent: commitOf(repo, parent), branch })).id
}

async function finish(repo: string, commit: string): Promise<void> {
  await pachd.pfs.finishCommit({ commit: commitOf(repo, commit) })
}

async function headOf(repo: string, branch: string): Promise<string | undefined> {
  const { branchInfo } = await pachd.pfs.listBranch({ repo: { name: repo } })
  return branchInfo.find(({ name }) => name === branch)?.head?.id
}

async function treeOf(repo: string, commit: string): Promise<string> {
  const { tree } = await pachd.pfs.inspectCommit({ commit: commitOf(repo, commit) })
  return tree?.hash ?? ''
}

async function sizeOf(repo: string): Promise<bigint> {
  return (await pachd.pfs.inspectRepo({ repo: { name: repo } })).sizeBytes
}

async function countCommits(repo: string): Promise<number> {
  return (await pachd.pfs.listCommit({ repo: { name: repo } })).commitInfo.length
}

describe('names', () => {
  test('a branch as long as an id is refused by every call that could make it, and nothing happens', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const branch = 'b'.repeat(32)
    const tree = { hash: await treeOf(repo, id) }
    const sameLength = refused('invalid-argument', 'cannot be of the same length as commit IDs')
    for (const call of [
      () => pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch }),
      () => pachd.pfs.buildCommit({ parent: commitOf(repo, ''), branch, tree }),
      () => pachd.pfs.setBranch({ commit: commitOf(repo, id), branch }),
    ]) {
      await expect(call()).rejects.toEqual(sameLength)
    }
    expect(await countCommits(repo)).toBe(1)
    for (const name of ['b'.repeat(31), 'b'.repeat(33)])
      expect(await start(repo, name)).toBeTruthy()
  })

  test('what clients look for in the texts of what is missing, or there already', async () => {
    const repo = await freshRepo(pachd)
    const { pfs } = pachd
    await expect(pfs.createRepo({ repo: { name: repo } })).rejects.toEqual(
      refused('already-exists', `pachyderm_pfs/repoRefCounts/ ${repo} already exists`),
    )
    await expect(pfs.inspectRepo({ repo: { name: 'nope' } })).rejects.toEqual(
      refused('not-found', 'pachyderm_pfs/repos/ nope not found'),
    )
    await expect(pfs.inspectCommit({ commit: commitOf(repo, 'no') })).rejects.toEqual(
      refused('not-found', `pachyderm_pfs/commits/${repo}/ no not found`),
    )
    await expect(pfs.deleteBranch({ repo: { name: repo }, branch: 'b' })).rejects.toEqual(
      refused('not-found', `pachyderm_pfs/branches/${repo}/ b not found`),
    )
  })
})

describe('repos', () => {
  test('a repo far down the line keeps its sources from being deleted, until it is gone', async () => {
    const first = await freshRepo(pachd)
    const second = await freshRepo(pachd, [first])
    const third = await freshRepo(pachd, [second])
    const inUse = refused('failed-precondition', 'cannot delete the provenance of other repos')
    for (const name of [first, second]) {
      await expect(pachd.pfs.deleteRepo({ repo: { name } })).rejects.toEqual(inUse)
    }
    for (const name of [third, second, first]) await pachd.pfs.deleteRepo({ repo: { name } })
    const { repoInfo } = await pachd.pfs.listRepo({})
    expect(
      repoInfo.filter(({ repo }) => [first, second, third].includes(repo?.name ?? '')),
    ).toEqual([])
  })

  test('an update that cannot be leaves the repo as it was', async () => {
    const source = await freshRepo(pachd)
    const repo = await freshRepo(pachd, [source])
    const { pfs } = pachd
    await pfs.createRepo({
      repo: { name: repo },
      provenance: [{ name: source }],
      description: 'kept',
      update: true,
    })
    const toNowhere = { repo: { name: repo }, provenance: [{ name: 'nowhere' }], update: true }
    await expect(pfs.createRepo(toNowhere)).rejects.toEqual(
      refused('not-found', 'pachyderm_pfs/repos/ nowhere not found'),
    )
    const inCircle = { repo: { name: source }, provenance: [{ name: repo }], update: true }
    await expect(pfs.createRepo(inCircle)).rejects.toEqual(
      refused('invalid-argument', 'is itself made from'),
    )
    const info = await pfs.inspectRepo({ repo: { name: repo } })
    expect([info.description, info.provenance.map(({ name }) => name)]).toEqual(['kept', [source]])
  })

  test('a built commit adds the whole of its tree; one that is deleted, or empty, nothing', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '12345' })
    const tree = { hash: await treeOf(repo, id) }
    await pachd.pfs.buildCommit({ parent: commitOf(repo, id), tree })
    expect(await sizeOf(repo)).toBe(10n)
    await commitFiles(pachd, { repo, branch: 'master' }, {})
    const open = await start(repo, 'master')
    await putFile(pachd, fileOf(repo, open, 'b'), 'lost')
    await pachd.pfs.deleteCommit({ commit: commitOf(repo, open) })
    expect(await sizeOf(repo)).toBe(10n)
  })
})

describe('starting and building', () => {
  test('a parent, or provenance, of another repo is not found; a bad branch has no effect', async () => {
    const [repo, other] = [await freshRepo(pachd), await freshRepo(pachd)]
    const foreign = await commitFiles(pachd, { repo: other, branch: 'master' }, { a: '1' })
    const missing = refused('not-found', `pachyderm_pfs/commits/${repo}/ ${foreign} not found`)
    await expect(start(repo, 'master', foreign)).rejects.toEqual(missing)
    const provenance = [commitOf(repo, foreign)]
    const call = pachd.pfs.startCommit({ parent: commitOf(repo, ''), provenance })
    await expect(call).rejects.toEqual(missing)
    await expect(start(repo, 'a/b')).rejects.toEqual(refused('invalid-argument', 'slashes'))
    expect(await countCommits(repo)).toBe(0)
  })

  test('provenance that is given twice is kept once', async () => {
    const [source, repo] = [await freshRepo(pachd), await freshRepo(pachd)]
    const id = await commitFiles(pachd, { repo: source, branch: 'master' }, { a: '1' })
    const provenance = [commitOf(source, id), commitOf(source, id)]
    const made = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), provenance })
    const info = await pachd.pfs.inspectCommit({ commit: made })
    expect(info.provenance.map((commit) => commit.id)).toEqual([id])
  })

  test('a built commit has parent and provenance, takes the tree of any repo, and needs no branch', async () => {
    const [source, repo] = [await freshRepo(pachd), await freshRepo(pachd)]
    const from = await commitFiles(pachd, { repo: source, branch: 'master' }, { a: '1' })
    const parent = await commitFiles(pachd, { repo, branch: 'master' }, { b: '2' })
    const request = {
      parent: commitOf(repo, 'master'),
      provenance: [commitOf(source, from)],
      tree: { hash: await treeOf(source, from) },
    }
    const built = await pachd.pfs.buildCommit(request)
    const info = await pachd.pfs.inspectCommit({ commit: built })
    expect([info.parentCommit?.id, info.provenance[0]?.id]).toEqual([parent, from])
    expect(await headOf(repo, 'master')).toBe(parent)
    expect(await getText(pachd, fileOf(repo, built.id, 'a'))).toBe('1')
    await expect(getText(pachd, fileOf(repo, built.id, 'b'))).rejects.toEqual(
      refused('not-found', 'not found'),
    )
    const open = await start(repo, 'master')
    await expect(
      pachd.pfs.buildCommit({ ...request, parent: commitOf(repo, open) }),
    ).rejects.toEqual(refused('failed-precondition', `parent commit ${open} has not been finished`))
  })
})

describe('the ends of commits', () => {
  test('the texts of a second finish, and of deleting what has finished', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    await expect(finish(repo, 'master')).rejects.toEqual(
      refused('failed-precondition', `commit ${repo}/${id} has already been finished`),
    )
    await expect(pachd.pfs.deleteCommit({ commit: commitOf(repo, 'master') })).rejects.toEqual(
      refused('failed-precondition', 'cannot delete finished commit'),
    )
  })

  test('every branch at a deleted commit moves to its parent', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const open = await start(repo, 'master')
    await pachd.pfs.setBranch({ commit: commitOf(repo, open), branch: 'also' })
    await pachd.pfs.deleteCommit({ commit: commitOf(repo, 'also') })
    expect([await headOf(repo, 'master'), await headOf(repo, 'also')]).toEqual([id, id])
    await expect(finish(repo, open)).rejects.toEqual(refused('not-found', 'not found'))
  })

  test('a commit whose branch is gone is written and finished by its id', async () => {
    const repo = await freshRepo(pachd)
    const open = await start(repo, 'master')
    await pachd.pfs.deleteBranch({ repo: { name: repo }, branch: 'master' })
    await putFile(pachd, fileOf(repo, open, 'a'), '1')
    await finish(repo, open)
    expect(await getText(pachd, fileOf(repo, open, 'a'))).toBe('1')
    await expect(
      pachd.pfs.setBranch({ commit: commitOf(await freshRepo(pachd), open), branch: 'b' }),
    ).rejects.toEqual(refused('not-found', 'not found'))
  })
})

describe('list-commit', () => {
  test('`from` that is not on the line ends nothing; a number larger than the list is no error', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const second = await commitFiles(pachd, { repo, branch: 'master' }, { a: '2' })
    const aside = await commitFiles(pachd, { repo, branch: 'aside' }, { a: '3' })
    const { commitInfo } = await pachd.pfs.listCommit({
      repo: { name: repo },
      from: commitOf(repo, aside),
      to: commitOf(repo, 'master'),
      number: 100n,
    })
    expect(commitInfo.map(({ commit }) => commit?.id)).toEqual([second, first])
  })

  test('`from` of another repo is refused like `to`, and an unknown one is not found', async () => {
    const [repo, other] = [await freshRepo(pachd), await freshRepo(pachd)]
    await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    await commitFiles(pachd, { repo: other, branch: 'master' }, { a: '1' })
    const list = (from: ReturnType<typeof commitOf>): Promise<unknown> =>
      pachd.pfs.listCommit({ repo: { name: repo }, from, to: commitOf(repo, 'master') })
    await expect(list(commitOf(other, 'master'))).rejects.toEqual(
      refused('invalid-argument', 'must be a commit of repo'),
    )
    await expect(list(commitOf(repo, '0'.repeat(32)))).rejects.toEqual(
      refused('not-found', 'not found'),
    )
  })
})

async function nextId(stream: AsyncIterator<CommitInfo>): Promise<string | undefined> {
  const next = await stream.next()
  return next.done === true ? undefined : next.value.commit?.id
}

function follow(repo: string, branch: string, from?: string): AsyncIterator<CommitInfo> {
  const since = from === undefined ? {} : { from: commitOf(repo, from) }
  const request = { repo: { name: repo }, branch, ...since }
  return pachd.pfs.subscribeCommit(request)[Symbol.asyncIterator]()
}

describe('waiting', () => {
  test('a subscriber is not told of an open head that is deleted, and of each head but once', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const open = await start(repo, 'master')
    const commits = follow(repo, 'master')
    expect(await nextId(commits)).toBe(first)
    const next = nextId(commits)
    await pachd.pfs.deleteCommit({ commit: commitOf(repo, open) })
    const second = await commitFiles(pachd, { repo, branch: 'master' }, { a: '2' })
    expect(await next).toBe(second)
    await pachd.pfs.setBranch({ commit: commitOf(repo, first), branch: 'master' })
    await pachd.pfs.setBranch({ commit: commitOf(repo, second), branch: 'master' })
    const third = await commitFiles(pachd, { repo, branch: 'master' }, { a: '3' })
    expect(await nextId(commits)).toBe(third)
    await commits.return?.()
  })

  test('a branch that jumps forward gives its new head alone', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, { repo, branch: 'slow' }, { a: '1' })
    const commits = follow(repo, 'slow')
    expect(await nextId(commits)).toBe(first)
    const second = await start(repo, 'fast', first)
    await finish(repo, second)
    const third = await commitFiles(pachd, { repo, branch: 'fast' }, { a: '3' })
    await pachd.pfs.setBranch({ commit: commitOf(repo, third), branch: 'slow' })
    expect(await nextId(commits)).toBe(third)
    await commits.return?.()
  })

  test('an open head at the start is told of when it finishes; an unknown `from` is not found', async () => {
    const repo = await freshRepo(pachd)
    const open = await start(repo, 'master')
    const commits = follow(repo, 'master')
    const next = nextId(commits)
    await finish(repo, open)
    expect(await next).toBe(open)
    await commits.return?.()
    await expect(nextId(follow(repo, 'master', 'nobody'))).rejects.toEqual(
      refused('not-found', 'not found'),
    )
  })

  test('a subscriber outlives its repo, and follows the next one of that name', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const commits = follow(repo, 'master')
    expect(await nextId(commits)).toBe(first)
    const next = nextId(commits)
    await pachd.pfs.deleteRepo({ repo: { name: repo } })
    await pachd.pfs.createRepo({ repo: { name: repo } })
    const again = await commitFiles(pachd, { repo, branch: 'master' }, { a: '2' })
    expect(await next).toBe(again)
    await commits.return?.()
  })

  test('flush: the text without commits, an unknown target, and the same commit a thousand times', async () => {
    const source = await freshRepo(pachd)
    const repo = await freshRepo(pachd, [source])
    const id = await commitFiles(pachd, { repo: source, branch: 'master' }, { a: '1' })
    await expect(collect(pachd.pfs.flushCommit({}))).rejects.toEqual(
      refused('invalid-argument', 'fromCommits cannot be empty'),
    )
    const commits = [commitOf(source, id)]
    const toNowhere = pachd.pfs.flushCommit({ commits, toRepos: [{ name: 'nowhere' }] })
    await expect(collect(toNowhere)).rejects.toEqual(refused('not-found', 'not found'))
    const made = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), provenance: commits })
    await pachd.pfs.finishCommit({ commit: made })
    const many = Array.from({ length: 2000 }, () => commitOf(source, 'master'))
    const infos = await collect(
      pachd.pfs.flushCommit({ commits: many, toRepos: [{ name: repo }, { name: repo }] }),
    )
    expect(infos.map(({ commit }) => commit?.id)).toEqual([made.id])
  })

  test('flush: of as many commits as it takes, and of one more', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, { repo, branch: 'master' }, {})
    const request = { parent: commitOf(repo, first), tree: { hash: await treeOf(repo, first) } }
    const built = Array.from({ length: 500 }, async () => pachd.pfs.buildCommit(request))
    const commits = [commitOf(repo, first), ...(await Promise.all(built))]
    await expect(collect(pachd.pfs.flushCommit({ commits }))).rejects.toEqual(
      refused('invalid-argument', 'cannot flush more than 500 commits at once'),
    )
    const derived = await freshRepo(pachd, [repo])
    const provenance = commits.slice(1)
    const made = await pachd.pfs.startCommit({ parent: commitOf(derived, ''), provenance })
    await pachd.pfs.finishCommit({ commit: made })
    const infos = await collect(pachd.pfs.flushCommit({ commits: provenance }))
    expect(infos.map(({ commit }) => commit?.id)).toEqual([made.id])
  })
})
