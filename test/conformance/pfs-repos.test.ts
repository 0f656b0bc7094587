import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { refused, freshName, freshRepo } from '../harness/expectations.ts'
import { commitFiles, commitOf, fileOf, getText } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

async function provenanceOf(name: string): Promise<readonly string[]> {
  const { provenance } = await pachd.pfs.inspectRepo({ repo: { name } })
  return provenance.map((source) => source.name).toSorted()
}

async function repoNames(): Promise<readonly (string | undefined)[]> {
  const { repoInfo } = await pachd.pfs.listRepo({})
  return repoInfo.map(({ repo }) => repo?.name)
}

describe('names of repos', () => {
  test.each(['images', 'A-b_9', '-', '_', 'x'.repeat(255)])('%s is one', async (name) => {
    await pachd.pfs.createRepo({ repo: { name } })
    const info = await pachd.pfs.inspectRepo({ repo: { name } })
    expect(info.repo?.name).toBe(name)
  })
})

describe('create-repo', () => {
  test('a new repo has its description, the time it was made, and nothing in it', async () => {
    const name = freshName('repo')
    await pachd.pfs.createRepo({ repo: { name }, description: 'what it is for' })
    const info = await pachd.pfs.inspectRepo({ repo: { name } })
    expect(info.description).toBe('what it is for')
    expect(info.sizeBytes).toBe(0n)
    expect(info.created?.seconds).toBeGreaterThan(1_500_000_000n)
    expect(info.provenance).toEqual([])
  })

  test('a repo of that name already exists', async () => {
    const name = await freshRepo(pachd)
    const again = pachd.pfs.createRepo({ repo: { name } })
    await expect(again).rejects.toEqual(refused('already-exists', 'already exists'))
  })

  test('a provenance repo must exist', async () => {
    const name = freshName('repo')
    const call = pachd.pfs.createRepo({ repo: { name }, provenance: [{ name: 'nowhere' }] })
    await expect(call).rejects.toEqual(
      refused('not-found', 'pachyderm_pfs/repos/ nowhere not found'),
    )
    expect(await repoNames()).not.toContain(name)
  })

  test('provenance is stored with the provenance of the provenance', async () => {
    const first = await freshRepo(pachd)
    const second = await freshRepo(pachd, [first])
    const third = await freshRepo(pachd, [second])
    expect(await provenanceOf(third)).toEqual([first, second].toSorted())
  })

  test('update replaces description and provenance, also for repos downstream', async () => {
    const [old, fresh] = [await freshRepo(pachd), await freshRepo(pachd)]
    const middle = await freshRepo(pachd, [old])
    const end = await freshRepo(pachd, [middle])
    const changed = { repo: { name: middle }, provenance: [{ name: fresh }], update: true }
    await pachd.pfs.createRepo({ ...changed, description: 'changed' })
    expect(await provenanceOf(middle)).toEqual([fresh])
    expect(await provenanceOf(end)).toEqual([fresh, middle].toSorted())
    const info = await pachd.pfs.inspectRepo({ repo: { name: middle } })
    expect(info.description).toBe('changed')
    await pachd.pfs.createRepo(changed)
    expect((await pachd.pfs.inspectRepo({ repo: { name: middle } })).description).toBe('')
    await pachd.pfs.deleteRepo({ repo: { name: old } })
    const inUse = pachd.pfs.deleteRepo({ repo: { name: fresh } })
    await expect(inUse).rejects.toEqual(refused('failed-precondition', 'cannot delete'))
  })

  test('update of a repo that does not exist is not found', async () => {
    const call = pachd.pfs.createRepo({ repo: { name: freshName('repo') }, update: true })
    await expect(call).rejects.toEqual(refused('not-found', 'not found'))
  })
})

describe('delete-repo', () => {
  test('the provenance of other repos stays unless forced', async () => {
    const source = await freshRepo(pachd)
    await freshRepo(pachd, [source])
    const refusal = pachd.pfs.deleteRepo({ repo: { name: source } })
    await expect(refusal).rejects.toEqual(
      refused('failed-precondition', 'cannot delete the provenance of other repos'),
    )
    await pachd.pfs.deleteRepo({ repo: { name: source }, force: true })
    expect(await repoNames()).not.toContain(source)
  })

  test('commits and branches go with it, and a new repo of the name is empty', async () => {
    const repo = await freshRepo(pachd)
    const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    await pachd.pfs.deleteRepo({ repo: { name: repo } })
    await pachd.pfs.createRepo({ repo: { name: repo } })
    expect((await pachd.pfs.listBranch({ repo: { name: repo } })).branchInfo).toEqual([])
    expect((await pachd.pfs.listCommit({ repo: { name: repo } })).commitInfo).toEqual([])
    await expect(getText(pachd, fileOf(repo, id, 'a'))).rejects.toEqual(
      refused('not-found', 'not found'),
    )
  })

  test('a repo whose commits are tagged stays unless forced, also in a transaction', async () => {
    const name = await freshRepo(pachd)
    const repo = { name }
    const id = await commitFiles(pachd, { repo: name, branch: 'master' }, { a: '1' })
    await pachd.commits.tagCommit({ commit: commitOf(name, id), tag: 'v1' })
    const refusal = refused('failed-precondition', `delete-commit-tag ${name} v1`)
    await expect(pachd.pfs.deleteRepo({ repo })).rejects.toEqual(refusal)
    const operations = [{ operation: { case: 'deleteRepo', value: { repo } } } as const]
    await expect(pachd.transactions.runTransaction({ operations })).rejects.toThrow('tagged v1')
    expect(await getText(pachd, fileOf(name, 'v1', 'a'))).toBe('1')
    await pachd.pfs.deleteRepo({ repo, force: true })
    expect(await repoNames()).not.toContain(name)
  })

  test('an unknown repo is not found', async () => {
    const call = pachd.pfs.deleteRepo({ repo: { name: 'nowhere' } })
    await expect(call).rejects.toEqual(refused('not-found', 'not found'))
  })
})

describe('list-repo', () => {
  test('the repo whose commit finished last comes first', async () => {
    const first = await freshRepo(pachd)
    const second = await freshRepo(pachd)
    expect((await repoNames()).slice(0, 2)).toEqual([second, first])
    await commitFiles(pachd, { repo: first, branch: 'master' }, { a: '1' })
    expect((await repoNames()).slice(0, 2)).toEqual([first, second])
  })

  test('only repos that are made from all of the given ones', async () => {
    const [left, right] = [await freshRepo(pachd), await freshRepo(pachd)]
    await freshRepo(pachd, [left])
    const both = await freshRepo(pachd, [left, right])
    const below = await freshRepo(pachd, [both])
    const { repoInfo } = await pachd.pfs.listRepo({ provenance: [{ name: left }, { name: right }] })
    expect(repoInfo.map(({ repo }) => repo?.name)).toEqual([below, both])
  })

  test('an unknown provenance repo is not found', async () => {
    const call = pachd.pfs.listRepo({ provenance: [{ name: 'nowhere' }] })
    await expect(call).rejects.toEqual(refused('not-found', 'not found'))
  })

  test('asking for scopes while there is no access control gives none', async () => {
    await freshRepo(pachd)
    expect((await pachd.pfs.listRepo({ includeAuth: true })).scopes).toEqual([])
  })
})

describe('size of a repo', () => {
  test('it grows by the full new size of every file that a commit adds or changes', async () => {
    const repo = await freshRepo(pachd)
    const sizeOf = async (): Promise<bigint> =>
      (await pachd.pfs.inspectRepo({ repo: { name: repo } })).sizeBytes
    await commitFiles(pachd, { repo, branch: 'master' }, { a: '12345', b: '12' })
    expect(await sizeOf()).toBe(7n)
    await commitFiles(pachd, { repo, branch: 'master' }, { a: '6' })
    expect(await sizeOf()).toBe(13n)
    const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await pachd.pfs.deleteFile({ file: fileOf(repo, id, 'a') })
    await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
    expect(await sizeOf()).toBe(13n)
  })
})

test('delete-all, and delete-repo of all, leave no repo', async () => {
  await using other = await TestPachd.start()
  for (const empty of [() => other.pfs.deleteAll({}), () => other.pfs.deleteRepo({ all: true })]) {
    const source = await freshRepo(other)
    await commitFiles(other, { repo: await freshRepo(other, [source]), branch: 'b' }, { a: '1' })
    await empty()
    expect((await other.pfs.listRepo({})).repoInfo).toEqual([])
  }
})
