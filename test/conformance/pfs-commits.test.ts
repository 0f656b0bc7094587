import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { refused, freshRepo } from '../harness/expectations.ts'
import { commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

const idPattern = /^[0-9a-f]{12}4[0-9a-f]{19}$/

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

async function parentOf(repo: string, commit: string): Promise<string | undefined> {
  return (await pachd.pfs.inspectCommit({ commit: commitOf(repo, commit) })).parentCommit?.id
}

async function listIds(
  repo: string,
  options: { readonly from?: string; readonly to?: string; readonly number?: bigint } = {},
): Promise<readonly (string | undefined)[]> {
  const { commitInfo } = await pachd.pfs.listCommit({
    repo: { name: repo },
    number: options.number ?? 0n,
    ...(options.from !== undefined && { from: commitOf(repo, options.from) }),
    ...(options.to !== undefined && { to: commitOf(repo, options.to) }),
  })
  return commitInfo.map(({ commit }) => commit?.id)
}

describe('start-commit', () => {
  test('the id is a UUIDv4 without dashes', async () => {
    expect(await start(await freshRepo(pachd), 'master')).toMatch(idPattern)
  })

  test('the branch moves to the open commit at once', async () => {
    const repo = await freshRepo(pachd)
    const id = await start(repo, 'master')
    expect(await headOf(repo, 'master')).toBe(id)
    const info = await pachd.pfs.inspectCommit({ commit: commitOf(repo, 'master') })
    expect(info.commit?.id).toBe(id)
    expect(info.started).toBeDefined()
    expect([info.finished, info.tree, info.sizeBytes]).toEqual([undefined, undefined, 0n])
  })

  test('without a parent, the head of the branch is the parent', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const second = await start(repo, 'master')
    expect(await parentOf(repo, first)).toBeUndefined()
    expect(await parentOf(repo, second)).toBe(first)
  })

  test('a parent, by id or by branch, forks from there and re-roots an existing branch', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const fork = await start(repo, 'fork', 'master')
    expect(await parentOf(repo, fork)).toBe(first)
    const second = await commitFiles(pachd, { repo, branch: 'master' }, { a: '2' })
    const again = await start(repo, 'master', first)
    expect(await parentOf(repo, again)).toBe(first)
    expect(await headOf(repo, 'master')).toBe(again)
    expect(await parentOf(repo, second)).toBe(first)
  })

  test('without a branch, no branch moves', async () => {
    const repo = await freshRepo(pachd)
    const id = await start(repo, '')
    expect((await pachd.pfs.listBranch({ repo: { name: repo } })).branchInfo).toEqual([])
    expect(await listIds(repo)).toEqual([id])
  })

  test('a parent that is open is refused, and nothing happens', async () => {
    const repo = await freshRepo(pachd)
    const open = await start(repo, 'master')
    await expect(start(repo, 'master')).rejects.toEqual(
      refused('failed-precondition', `parent commit ${open} has not been finished`),
    )
    expect(await headOf(repo, 'master')).toBe(open)
    expect(await listIds(repo)).toEqual([open])
  })

  test('an unknown repo or parent is not found', async () => {
    const repo = await freshRepo(pachd)
    await expect(start('nowhere', 'master')).rejects.toEqual(refused('not-found', 'not found'))
    await expect(start(repo, 'master', 'nobody')).rejects.toEqual(
      refused('not-found', `pachyderm_pfs/commits/${repo}/ nobody not found`),
    )
    expect(await headOf(repo, 'master')).toBeUndefined()
  })
})

describe('provenance of commits', () => {
  test('it is what was given and the provenance of that', async () => {
    const first = await freshRepo(pachd)
    const second = await freshRepo(pachd, [first])
    const third = await freshRepo(pachd, [second])
    const a = await commitFiles(pachd, { repo: first, branch: 'master' }, { a: '1' })
    const b = await pachd.pfs.startCommit({
      parent: commitOf(second, ''),
      provenance: [commitOf(first, a)],
    })
    const c = await pachd.pfs.startCommit({
      parent: commitOf(third, ''),
      provenance: [commitOf(second, b.id), commitOf(first, a)],
    })
    const info = await pachd.pfs.inspectCommit({ commit: c })
    const ids = info.provenance.map((commit) => `${commit.repo?.name}/${commit.id}`)
    expect(ids.toSorted()).toEqual([`${first}/${a}`, `${second}/${b.id}`].toSorted())
  })

  test('a branch name, or an unknown id, is not found', async () => {
    const source = await freshRepo(pachd)
    const repo = await freshRepo(pachd, [source])
    await commitFiles(pachd, { repo: source, branch: 'master' }, { a: '1' })
    for (const id of ['master', '0'.repeat(32)]) {
      const call = pachd.pfs.startCommit({
        parent: commitOf(repo, ''),
        provenance: [commitOf(source, id)],
      })
      await expect(call).rejects.toEqual(refused('not-found', 'not found'))
    }
    expect(await listIds(repo)).toEqual([])
  })
})

describe('build-commit', () => {
  test('it is finished, has the tree whole, and moves the branch', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, { repo, branch: 'one' }, { a: '123' })
    const head = await commitFiles(pachd, { repo, branch: 'two' }, { b: '4' })
    const { tree } = await pachd.pfs.inspectCommit({ commit: commitOf(repo, first) })
    const built = await pachd.pfs.buildCommit({
      parent: commitOf(repo, ''),
      branch: 'two',
      tree: { hash: tree?.hash ?? '' },
    })
    const info = await pachd.pfs.inspectCommit({ commit: commitOf(repo, 'two') })
    expect(info.commit?.id).toBe(built.id)
    expect(info.parentCommit?.id).toBe(head)
    expect([info.sizeBytes, info.tree?.hash]).toEqual([3n, tree?.hash])
    expect(info.finished).toBeDefined()
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, 'two', '/') })
    expect(fileInfo.map(({ file }) => file?.path)).toEqual(['/a'])
  })

  test('a tree that is nowhere is not found', async () => {
    const repo = await freshRepo(pachd)
    const call = pachd.pfs.buildCommit({ parent: commitOf(repo, ''), tree: { hash: 'ab' } })
    await expect(call).rejects.toEqual(refused('not-found', 'tree ab not found'))
  })
})

describe('finish-commit', () => {
  test('a finished commit has its time, its size and its tree', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '12', 'd/b': '345' })
    const info = await pachd.pfs.inspectCommit({ commit: commitOf(repo, id) })
    expect(info.sizeBytes).toBe(5n)
    expect(info.finished?.seconds).toBeGreaterThanOrEqual(info.started?.seconds ?? 0n)
    expect(info.tree?.hash).toMatch(/^[0-9a-f]{64}$/)
  })

  test('by the name of its branch', async () => {
    const repo = await freshRepo(pachd)
    const id = await start(repo, 'master')
    await finish(repo, 'master')
    const info = await pachd.pfs.inspectCommit({ commit: commitOf(repo, id) })
    expect(info.finished).toBeDefined()
  })

  test('a second time it has already been finished', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, {})
    await expect(finish(repo, id)).rejects.toEqual(
      refused('failed-precondition', /already (been )?finished/),
    )
  })

  test('an empty commit has the tree of its parent; without a parent, a tree of nothing', async () => {
    const repo = await freshRepo(pachd)
    const treeOf = async (id: string): Promise<string | undefined> =>
      (await pachd.pfs.inspectCommit({ commit: commitOf(repo, id) })).tree?.hash
    const first = await commitFiles(pachd, { repo, branch: 'master' }, {})
    expect(await treeOf(first)).toMatch(/^[0-9a-f]{64}$/)
    const second = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const third = await commitFiles(pachd, { repo, branch: 'master' }, {})
    expect(await treeOf(third)).toBe(await treeOf(second))
    expect(await getText(pachd, fileOf(repo, third, 'a'))).toBe('1')
  })
})

describe('delete-commit', () => {
  test('branches move to the parent, or go when there is none', async () => {
    const repo = await freshRepo(pachd)
    const lone = await start(repo, 'lone')
    const first = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const second = await start(repo, 'master')
    await pachd.pfs.deleteCommit({ commit: commitOf(repo, second) })
    await pachd.pfs.deleteCommit({ commit: commitOf(repo, 'lone') })
    expect(await headOf(repo, 'master')).toBe(first)
    expect(await headOf(repo, 'lone')).toBeUndefined()
    expect(await listIds(repo)).toEqual([first])
    for (const id of [second, lone]) {
      await expect(putFile(pachd, fileOf(repo, id, 'x'), '1')).rejects.toEqual(
        refused('not-found', 'not found'),
      )
    }
  })

  test('a finished commit stays', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, {})
    const call = pachd.pfs.deleteCommit({ commit: commitOf(repo, id) })
    await expect(call).rejects.toEqual(
      refused('failed-precondition', 'cannot delete finished commit'),
    )
    expect(await listIds(repo)).toEqual([id])
  })
})

describe('branches', () => {
  test('set-branch makes and moves, to a commit or to where another branch is', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const second = await start(repo, 'master')
    await pachd.pfs.setBranch({ commit: commitOf(repo, first), branch: 'stable' })
    expect(await headOf(repo, 'stable')).toBe(first)
    await pachd.pfs.setBranch({ commit: commitOf(repo, 'master'), branch: 'stable' })
    expect(await headOf(repo, 'stable')).toBe(second)
  })

  test('set-branch to an unknown commit is not found', async () => {
    const repo = await freshRepo(pachd)
    const call = pachd.pfs.setBranch({ commit: commitOf(repo, 'nobody'), branch: 'stable' })
    await expect(call).rejects.toEqual(refused('not-found', 'not found'))
    expect(await headOf(repo, 'stable')).toBeUndefined()
  })

  test('delete-branch keeps the commits', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    await pachd.pfs.deleteBranch({ repo: { name: repo }, branch: 'master' })
    expect(await headOf(repo, 'master')).toBeUndefined()
    expect(await getText(pachd, fileOf(repo, id, 'a'))).toBe('1')
    const again = pachd.pfs.deleteBranch({ repo: { name: repo }, branch: 'master' })
    await expect(again).rejects.toEqual(refused('not-found', 'not found'))
  })

  test('the branch that was written last comes first; an unknown repo has none', async () => {
    const repo = await freshRepo(pachd)
    await start(repo, 'one')
    await start(repo, 'two')
    const names = async (): Promise<readonly string[]> =>
      (await pachd.pfs.listBranch({ repo: { name: repo } })).branchInfo.map(({ name }) => name)
    expect(await names()).toEqual(['two', 'one'])
    await pachd.pfs.setBranch({ commit: commitOf(repo, 'two'), branch: 'one' })
    expect(await names()).toEqual(['one', 'two'])
    expect((await pachd.pfs.listBranch({ repo: { name: 'nowhere' } })).branchInfo).toEqual([])
  })

  test('a branch is looked up before an id, and answers say the id', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const info = await pachd.pfs.inspectFile({ file: fileOf(repo, 'master', 'a') })
    expect(info.file?.commit?.id).toBe(id)
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, 'master', '') })
    expect(fileInfo[0]?.file?.commit?.id).toBe(id)
  })
})

describe('list-commit', () => {
  test('up to a commit: its line of parents, newest first, without `from` and what is before', async () => {
    const repo = await freshRepo(pachd)
    const ids: string[] = []
    for (let count = 0; count < 4; count += 1) {
      ids.unshift(await commitFiles(pachd, { repo, branch: 'master' }, { a: String(count) }))
    }
    await start(repo, 'aside')
    expect(await listIds(repo, { to: 'master' })).toEqual(ids)
    expect(await listIds(repo, { to: 'master', number: 2n })).toEqual(ids.slice(0, 2))
    expect(await listIds(repo, { to: ids[0] ?? '', from: ids[2] ?? '' })).toEqual(ids.slice(0, 2))
    expect(await listIds(repo, { to: 'master', from: 'master' })).toEqual([])
  })

  test('of a whole repo: all commits, open and without a branch, latest written first', async () => {
    const repo = await freshRepo(pachd)
    const first = await start(repo, 'one')
    const second = await start(repo, '')
    expect(await listIds(repo)).toEqual([second, first])
    await finish(repo, first)
    expect(await listIds(repo)).toEqual([first, second])
    expect(await listIds(repo, { number: 1n })).toEqual([first])
  })

  test('`from` needs `to`, and both must be of the repo', async () => {
    const repo = await freshRepo(pachd)
    const other = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, {})
    await expect(listIds(repo, { from: id })).rejects.toEqual(refused('invalid-argument', 'from'))
    const call = pachd.pfs.listCommit({ repo: { name: other }, to: commitOf(repo, id) })
    await expect(call).rejects.toEqual(refused('invalid-argument', 'must be a commit of repo'))
  })

  test('an unknown repo or commit is not found', async () => {
    const repo = await freshRepo(pachd)
    await expect(listIds('nowhere')).rejects.toEqual(refused('not-found', 'not found'))
    await expect(listIds(repo, { to: 'nobody' })).rejects.toEqual(refused('not-found', 'not found'))
  })
})
