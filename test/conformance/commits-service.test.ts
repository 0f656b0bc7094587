import { afterAll, beforeAll, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { BranchOutcome, DiffKind, Preference } from '../../src/gen/pachyderm_pb.ts'
import { FileType } from '../../src/gen/pfs_pb.ts'
import { failed, freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, jobsOf, outputOf } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

/** A repo whose `master` and `dev` have one commit of their own each. */
async function forked(
  ours: Readonly<Record<string, string>>,
  theirs: Readonly<Record<string, string>>,
): Promise<string> {
  const repo = await freshRepo(pachd)
  const base = await commitFiles(pachd, { repo, branch: 'master' }, { a: 'a' })
  await pachd.pfs.setBranch({ commit: commitOf(repo, base), branch: 'dev' })
  await commitFiles(pachd, { repo, branch: 'master' }, ours)
  await commitFiles(pachd, { repo, branch: 'dev' }, theirs)
  return repo
}

test('a merge makes one finished commit that downstream pipelines process', async () => {
  const repo = await forked({ b: 'ours' }, { c: 'theirs' })
  const pipeline = await freshPipeline(
    pachd,
    `cp $PFS/${repo}/* $PFS/out/`.replaceAll('$PFS', '${PFS:-/pfs}'),
    atomOf(repo, '/*'),
  )
  const from = commitOf(repo, 'dev')
  const dry = await pachd.commits.mergeBranch({ from, into: 'master', dryRun: true })
  expect(dry).toMatchObject({ outcome: BranchOutcome.COMMITTED, addedFiles: 1n })
  expect(dry.head).toBeUndefined()
  const change = await pachd.commits.mergeBranch({ from, into: 'master', message: 'both' })
  const id = change.head?.id ?? ''
  const dev = await pachd.pfs.inspectCommit({ commit: commitOf(repo, 'dev') })
  const info = await pachd.pfs.inspectCommit({ commit: commitOf(repo, 'master') })
  expect(info).toMatchObject({ commit: { id }, message: 'both', provenance: [] })
  expect(info.mergeParents).toEqual([dev.commit])
  const { commitInfo } = await pachd.pfs.listCommit({ repo: { name: repo } })
  const merged = commitInfo.filter(({ mergeParents }) => mergeParents.length > 0)
  expect(merged).toEqual([info])
  expect(info.finished).toBeDefined()
  await flush(pachd, repo, id)
  expect(await outputOf(pachd, pipeline)).toEqual({ '/a': 'a', '/b': 'ours', '/c': 'theirs' })
  await expect(
    pachd.commits.mergeBranch({ from: commitOf(pipeline, 'x'), into: 'master' }),
  ).rejects.toThrow(
    failed(Code.failedPrecondition, 'failed-precondition', 'is written by pipeline'),
  )
})

test('conflicts say what each side did, and are decided by a preference', async () => {
  const repo = await forked({ a: ' ours' }, { a: ' and theirs' })
  const request = { from: commitOf(repo, 'dev'), into: 'master' }
  const change = await pachd.commits.mergeBranch(request)
  expect(change.outcome).toBe(BranchOutcome.CONFLICTED)
  expect(change.conflictCount).toBe(1n)
  expect(change.conflicts).toMatchObject([
    {
      path: '/a',
      ours: { kind: DiffKind.CHANGED, fileType: FileType.FILE, sizeBytes: 6n },
      theirs: { kind: DiffKind.CHANGED, fileType: FileType.FILE, sizeBytes: 12n },
    },
  ])
  expect(await getText(pachd, fileOf(repo, 'master', 'a'))).toBe('a ours')
  await pachd.commits.mergeBranch({ ...request, prefer: Preference.THEIRS })
  expect(await getText(pachd, fileOf(repo, 'master', 'a'))).toBe('a and theirs')
  expect((await pachd.commits.mergeBranch(request)).outcome).toBe(BranchOutcome.UNCHANGED)
  const back = await pachd.commits.mergeBranch({ from: commitOf(repo, 'master'), into: 'dev' })
  expect(back.outcome).toBe(BranchOutcome.FAST_FORWARDED)
})

test('bad names and missing fields are refused with rich codes', async () => {
  const repo = await forked({ b: 'b' }, { c: 'c' })
  const from = commitOf(repo, 'dev')
  await expect(pachd.commits.mergeBranch({ from })).rejects.toThrow(
    failed(Code.invalidArgument, 'invalid-argument', 'the request has no into'),
  )
  await expect(pachd.commits.mergeBranch({ from, into: 'none' })).rejects.toThrow(
    failed(Code.notFound, 'not-found', 'none not found'),
  )
  await expect(pachd.commits.revertCommit({ commit: commitOf(repo, 'none') })).rejects.toThrow(
    failed(Code.notFound, 'not-found', 'none not found'),
  )
  const message = 'x'.repeat(70_000)
  await expect(pachd.commits.mergeBranch({ from, into: 'master', message })).rejects.toThrow(
    failed(Code.invalidArgument, 'invalid-argument', 'message is too long: at most 4096 bytes'),
  )
  await expect(collect(pachd.commits.deleteCommits({}))).rejects.toThrow(
    failed(Code.invalidArgument, 'invalid-argument', 'a commit is needed'),
  )
})

test('a revert takes back what a commit did', async () => {
  const repo = await freshRepo(pachd)
  const branch = 'master'
  await commitFiles(pachd, { repo, branch }, { a: 'good' })
  const wrong = await commitFiles(pachd, { repo, branch }, { a: ' and wrong', b: 'wrong' })
  await commitFiles(pachd, { repo, branch }, { c: 'later' })
  const commit = commitOf(repo, wrong)
  const change = await pachd.commits.revertCommit({ commit })
  expect(change).toMatchObject({
    outcome: BranchOutcome.COMMITTED,
    base: { id: wrong },
    changedFiles: 1n,
    removedFiles: 1n,
  })
  expect(await getText(pachd, fileOf(repo, branch, 'a'))).toBe('good')
  expect(await getText(pachd, fileOf(repo, branch, 'c'))).toBe('later')
  expect((await pachd.commits.revertCommit({ commit })).outcome).toBe(BranchOutcome.UNCHANGED)
})

test('a wrong commit goes with its results, and a dry run said so', async () => {
  const repo = await freshRepo(pachd)
  const place = { repo, branch: 'master' }
  const code = 'cp ${PFS:-/pfs}/' + repo + '/* ${PFS:-/pfs}/out/'
  const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/*'))
  const good = await commitFiles(pachd, place, { a: 'good' })
  await flush(pachd, repo, good)
  const wrong = await commitFiles(pachd, place, { b: 'wrong' })
  await flush(pachd, repo, wrong)
  const commit = commitOf(repo, wrong)
  await expect(pachd.pfs.deleteCommit({ commit })).rejects.toThrow(
    refused('failed-precondition', /cannot delete finished commit .*delete-commit --recursive/),
  )
  const request = { commits: [commit] }
  const dry = await collect(pachd.commits.deleteCommits({ ...request, dryRun: true }))
  expect(await jobsOf(pachd, pipeline)).toHaveLength(2)
  const done = await collect(pachd.commits.deleteCommits(request))
  expect(done).toEqual(dry)
  const repos = done.flatMap(({ commits }) => commits.map((one) => one.commit?.repo?.name))
  expect(new Set(repos)).toEqual(new Set([pipeline, repo]))
  expect(done.flatMap(({ branches }) => branches)).toHaveLength(2)
  expect(done.flatMap(({ jobs }) => jobs)).toMatchObject([
    { pipeline: { name: pipeline }, killed: false },
  ])
  expect(done.map(({ datumResults }) => datumResults)).toContain(1n)
  expect(await outputOf(pachd, pipeline)).toEqual({ '/a': 'good' })
  expect((await pachd.pfs.inspectCommit({ commit: commitOf(repo, 'master') })).commit?.id).toBe(
    good,
  )
  expect(await jobsOf(pachd, pipeline)).toHaveLength(1)
  await expect(pachd.pfs.inspectCommit({ commit })).rejects.toThrow(
    refused('not-found', 'not found'),
  )
})
