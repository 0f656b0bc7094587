import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { failed, freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { atomOf, flush, freshPipeline } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const repoCount = 100_000

let pachd: TestPachd
let directory: TemporaryDirectory
beforeAll(async () => {
  directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  {
    await using earlier = await TestPachd.start({ root })
    await earlier.pfs.createRepo({ repo: { name: 'first' } })
    await commitFiles(earlier, { repo: 'first', branch: 'master' }, { a: '1' })
  }
  fill(directory.join('data/metadata.db'))
  pachd = await TestPachd.start({ root })
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
  await directory[Symbol.asyncDispose]()
})

/** As many repos and branches, of more than 20 MiB each, as would take minutes to make. */
function fill(file: string): void {
  using database = new DatabaseSync(file)
  const numbers = `WITH RECURSIVE numbers (n) AS
    (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${repoCount})`
  database.exec(
    `${numbers} INSERT INTO repos (name, description, created_at, size_bytes, written)
      SELECT printf('repo-%06d', n), printf('%0250d', n), n, 0, 1000 + n FROM numbers`,
  )
  database.exec(
    `${numbers} INSERT INTO branches (repo, name, head, written)
      SELECT 'first', printf('%0250d', n), (SELECT id FROM commits), 1000 + n FROM numbers`,
  )
  database.exec(`UPDATE versioning_sequence SET last = ${10 * repoCount}`)
}

function nameOf(number: number): string {
  return `repo-${String(number).padStart(6, '0')}`
}

test('100,000 repos are streamed, the latest written first, each once whatever is written meanwhile', async () => {
  const names: string[] = []
  let batchCount = 0
  for await (const { repoInfo } of pachd.repos.listRepos({})) {
    batchCount += 1
    for (const { repo, description } of repoInfo) {
      names.push(repo?.name ?? '')
      expect(description.length === 250 || repo?.name === 'first').toBe(true)
    }
    if (batchCount > 1) continue
    // Not told yet: it becomes the latest written. The other is gone before its turn comes.
    await pachd.repos.updateRepo({ repo: { name: nameOf(1) }, description: '1'.repeat(250) })
    await pachd.pfs.deleteRepo({ repo: { name: nameOf(2) } })
  }
  expect(batchCount).toBeGreaterThan(20)
  const expected = Array.from({ length: repoCount }, (_, index) => nameOf(repoCount - index))
  expect(names).toEqual([...expected.filter((name) => name !== nameOf(2)), 'first'])
  const [latest] = await collect(pachd.repos.listRepos({}))
  expect(latest?.repoInfo[0]?.repo?.name).toBe(nameOf(1))
})

test('the calls of 1.5 refuse such lists with advice, and pachctl prints them', async () => {
  await expect(pachd.pfs.listRepo({})).rejects.toEqual(
    refused('resource-exhausted', 'pachyderm.Repos/ListRepos'),
  )
  await expect(pachd.pfs.listBranch({ repo: { name: 'first' } })).rejects.toEqual(
    refused('resource-exhausted', 'pachyderm.Repos/ListBranches'),
  )
  const { port } = pachd
  const home = directory.path
  const repos = await pachctlHere(['list-repo'], { port, home })
  expect(repos.err).toBe('')
  const lines = repos.out.trimEnd().split('\n')
  // With a header, and without the repo that was deleted.
  expect(lines).toHaveLength(repoCount + 1)
  expect(lines.at(-1)).toMatch(/^first /)
  const branches = await pachctlHere(['list-branch', 'first'], { port, home })
  expect(branches.out.trimEnd().split('\n')).toHaveLength(repoCount + 2)
})

test('repos are listed by what they are made from', async () => {
  const source = await freshRepo(pachd)
  const made = [await freshRepo(pachd, [source]), await freshRepo(pachd, [source])]
  const batches = await collect(pachd.repos.listRepos({ provenance: [{ name: source }] }))
  const names = batches.flatMap(({ repoInfo }) => repoInfo.map(({ repo }) => repo?.name))
  expect(names).toEqual(made.toReversed())
  const unknown = collect(pachd.repos.listRepos({ provenance: [{ name: 'nope' }] }))
  await expect(unknown).rejects.toEqual(failed(Code.notFound, 'not-found', 'nope not found'))
})

test('commits are listed as by ListCommit, and branches of a repo that is not there are not found', async () => {
  const repo = await freshRepo(pachd)
  for (const text of ['1', '2', '3']) {
    await commitFiles(pachd, { repo, branch: 'master' }, { a: text })
  }
  for (const request of [
    { repo: { name: repo } },
    { repo: { name: repo }, number: 2n },
    { repo: { name: repo }, to: commitOf(repo, 'master'), from: commitOf(repo, 'master~2') },
  ]) {
    const { commitInfo } = await pachd.pfs.listCommit(request)
    const batches = await collect(pachd.commits.listCommits(request))
    expect(batches.flatMap((batch) => batch.commitInfo)).toEqual(commitInfo)
    expect(commitInfo.length).toBeGreaterThan(1)
  }
  const { branchInfo } = await pachd.pfs.listBranch({ repo: { name: repo } })
  const branches = await collect(pachd.repos.listBranches({ repo: { name: repo } }))
  expect(branches.flatMap((batch) => batch.branchInfo)).toEqual(branchInfo)
  const nowhere = collect(pachd.repos.listBranches({ repo: { name: 'nope' } }))
  await expect(nowhere).rejects.toEqual(failed(Code.notFound, 'not-found', 'nope not found'))
})

test('a commit that is finished while a list is read is told once', async () => {
  const repo = await freshRepo(pachd)
  const { id: open } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'open' })
  // More than are read at once.
  for (let index = 0; index < 150; index += 1) {
    await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: `b${index}` })
  }
  const ids: string[] = []
  for await (const { commitInfo } of pachd.commits.listCommits({ repo: { name: repo } })) {
    if (ids.length === 0) await pachd.pfs.finishCommit({ commit: commitOf(repo, open) })
    ids.push(...commitInfo.map(({ commit }) => commit?.id ?? ''))
  }
  expect(ids).toHaveLength(151)
  expect(ids.at(-1)).toBe(open)
  expect(new Set(ids).size).toBe(151)
})

test('jobs and pipelines are listed as by the calls of 1.5', async () => {
  const repo = await freshRepo(pachd)
  const code = `cp $PFS/${repo}/* $PFS/out/`
  const first = await freshPipeline(pachd, code, atomOf(repo, '/*'))
  await freshPipeline(pachd, code, atomOf(repo, '/*'))
  const id = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
  await flush(pachd, repo, id)
  const pipeline = { name: first }
  for (const request of [{}, { pipeline }, { inputCommit: [commitOf(repo, id)] }]) {
    const { jobInfo } = await pachd.pps.listJob(request)
    const batches = await collect(pachd.jobs.listJobs(request))
    expect(batches.flatMap((batch) => batch.jobInfo)).toEqual(jobInfo)
    expect(jobInfo.length).toBeGreaterThan(0)
  }
  const { pipelineInfo } = await pachd.pps.listPipeline({})
  const batches = await collect(pachd.pipelines.listPipelines({}))
  expect(batches.flatMap((batch) => batch.pipelineInfo)).toEqual(pipelineInfo)
  expect(pipelineInfo).toHaveLength(2)
})

test('a repo is described anew, and stays made from what it was', async () => {
  const source = await freshRepo(pachd)
  const middle = await freshRepo(pachd, [source])
  const repo = await freshRepo(pachd, [middle])
  const info = await pachd.repos.updateRepo({ repo: { name: repo }, description: 'new words' })
  expect(info.description).toBe('new words')
  expect(info.provenance.map(({ name }) => name)).toEqual([source, middle].toSorted())
  // Still by way of the middle one alone.
  await pachd.pfs.createRepo({ repo: { name: middle }, update: true })
  const { provenance } = await pachd.pfs.inspectRepo({ repo: { name: repo } })
  expect(provenance.map(({ name }) => name)).toEqual([middle])
  const long = pachd.repos.updateRepo({ repo: { name: repo }, description: 'x'.repeat(4097) })
  await expect(long).rejects.toEqual(failed(Code.invalidArgument, 'invalid-argument', '4096 bytes'))
  const unknown = pachd.repos.updateRepo({ repo: { name: 'nope' } })
  await expect(unknown).rejects.toEqual(failed(Code.notFound, 'not-found', 'nope not found'))
})
