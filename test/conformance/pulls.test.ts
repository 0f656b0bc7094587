import { create, toBinary } from '@bufbuild/protobuf'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { RelayedCalls } from '../../src/cli/pushing/relayed-calls.ts'
import { RpcError } from '../../src/client/rpc-error.ts'
import {
  AnswerPushResponseSchema,
  PushedCallSchema,
  type PulledRepo,
} from '../../src/gen/pachyderm_pb.ts'
import { ListBranchRequestSchema } from '../../src/gen/pfs_pb.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { failed, freshName } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { atomOf, flush, freshPipeline } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let there: TestPachd
let here: TestPachd
beforeEach(async () => {
  ;[there, here] = [await TestPachd.start(), await TestPachd.start()]
})
afterEach(async () => {
  await here[Symbol.asyncDispose]()
  await there[Symbol.asyncDispose]()
})

interface Wish {
  readonly withProvenance?: boolean
  readonly onlyNew?: boolean
  readonly dryRun?: boolean
}

async function pull(repos: readonly string[], wish: Wish = {}): Promise<readonly PulledRepo[]> {
  const address = `127.0.0.1:${there.port}`
  const events = await collect(here.transfers.pull({ address, repos: [...repos], ...wish }))
  return events.flatMap(({ event }) => (event.case === 'repo' ? [event.value] : []))
}

/** All that is told of the commits of a repo, but for when they were written here. */
async function commitsOf({ pfs }: TestPachd, repo: string) {
  const { commitInfo } = await pfs.listCommit({ repo: { name: repo } })
  return commitInfo.map((info) => ({
    id: info.commit?.id,
    parent: info.parentCommit?.id,
    started: info.started,
    finished: info.finished,
    size: info.sizeBytes,
    tree: info.tree?.hash,
    message: info.message,
    merged: info.mergeParents.map(({ id }) => id),
    provenance: info.provenance.map(({ id }) => id).toSorted((a, b) => (a < b ? -1 : 1)),
  }))
}

async function branchesOf({ pfs }: TestPachd, repo: string) {
  const { branchInfo } = await pfs.listBranch({ repo: { name: repo } })
  return Object.fromEntries(branchInfo.map(({ name, head }) => [name, head?.id]))
}

async function tagsOf({ commits }: TestPachd, repo: string) {
  const batches = await collect(commits.listCommitTags({ repo: { name: repo } }))
  return batches.flatMap(({ tags }) =>
    tags.map(({ tag, commit, tagged }) => [tag, commit?.id, tagged]),
  )
}

async function damageOf({ admin }: TestPachd) {
  const events = await collect(admin.check({ full: true }))
  return events.filter(({ event }) => event.case === 'finding')
}

async function makeRepo(server: TestPachd, name: string): Promise<void> {
  await server.pfs.createRepo({ repo: { name }, description: `about ${name}` })
  const big = Buffer.from(seededBytes(1, 400_000)).toString('base64')
  await commitFiles(server, { repo: name, branch: 'master' }, { 'a/one': big, small: 's' })
  await commitFiles(server, { repo: name, branch: 'master' }, { 'a/two': `${big}x`, 'b/c/d': 'd' })
}

test('commits of several branches are listed in the order that they have there', async () => {
  const repo = freshName('lines')
  await there.pfs.createRepo({ repo: { name: repo } })
  for (const text of ['1', '2', '3']) {
    for (const branch of ['b', 'a', 'c'])
      await commitFiles(there, { repo, branch }, { [branch]: text })
  }
  await pull([repo])
  expect(await commitsOf(here, repo)).toEqual(await commitsOf(there, repo))
  expect((await commitsOf(here, repo)).length).toBe(9)
})

test('a repo is cloned with its commits, ids, branches and files, and pulled again for what is new', async () => {
  await makeRepo(there, 'data')
  await there.pfs.setBranch({ commit: commitOf('data', 'master'), branch: 'kept' })
  expect(await pull(['data'], { onlyNew: true })).toMatchObject([{ repo: 'data', commits: 2n }])
  expect(await commitsOf(here, 'data')).toEqual(await commitsOf(there, 'data'))
  expect(await branchesOf(here, 'data')).toEqual(await branchesOf(there, 'data'))
  const [mine, theirs] = [here, there].map((server) =>
    server.pfs.inspectRepo({ repo: { name: 'data' } }),
  )
  expect((await mine)?.sizeBytes).toBe((await theirs)?.sizeBytes)
  expect((await mine)?.description).toBe('about data')
  expect(await getText(here, fileOf('data', 'master', 'b/c/d'))).toBe('d')

  expect(await pull(['data'])).toMatchObject([{ commits: 0n, branches: [] }])
  await there.pfs.deleteFile({ file: fileOf('data', await startOn(there, 'data'), 'small') })
  await there.pfs.finishCommit({ commit: commitOf('data', 'master') })
  await there.pfs.setBranch({ commit: commitOf('data', 'master'), branch: 'kept' })
  const moved = expect.arrayContaining(['master', 'kept']) as unknown
  expect(await pull(['data'])).toMatchObject([{ commits: 1n, branches: moved }])
  expect(await branchesOf(here, 'data')).toEqual(await branchesOf(there, 'data'))
  expect(await commitsOf(here, 'data')).toEqual(await commitsOf(there, 'data'))
  expect(await damageOf(here)).toEqual([])
  await expect(pull(['data'], { onlyNew: true })).rejects.toEqual(
    failed(Code.failedPrecondition, 'failed-precondition', 'is here already'),
  )
})

test('commits that nothing leads to stay where they are, and are counted when they are new', async () => {
  await makeRepo(there, 'data')
  const leave = async (branch: string) => {
    await commitFiles(there, { repo: 'data', branch }, { [branch]: branch })
    await there.pfs.deleteBranch({ repo: { name: 'data' }, branch })
  }
  await leave('one')
  await leave('two')
  expect(await pull(['data'], { dryRun: true })).toMatchObject([{ commits: 2n, leftOut: 2n }])
  const args = ['clone', `127.0.0.1:${there.port}`, 'data']
  const { out } = await pachctlHere(args, { port: here.port, home: '/' })
  expect(out).toMatch(
    /^data: 2 commits pulled, to master, .*; 2 commits stay there that no branch leads to\n$/,
  )
  await commitFiles(there, { repo: 'data', branch: 'master' }, { more: 'm' })
  expect(await pull(['data'])).toMatchObject([{ commits: 1n, leftOut: 2n }])
  await leave('three')
  expect(await pull(['data'])).toMatchObject([{ commits: 0n, leftOut: 1n }])
  const pushing = { port: there.port, home: '/' }
  const pushed = await pachctlHere(['push', `127.0.0.1:${here.port}`, 'data'], pushing)
  expect(pushed.out).toContain('; 1 commit stays there that no branch leads to\n')
})

async function startOn({ pfs }: TestPachd, repo: string): Promise<string> {
  return (await pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })).id
}

test('contents that are here do not come, and empty directories do', async () => {
  await makeRepo(there, 'data')
  await makeRepo(here, 'other')
  const id = await startOn(there, 'data')
  // What it held is gone, and the directory stays.
  await there.pfs.deleteFile({ file: fileOf('data', id, 'b/c/d') })
  await there.pfs.finishCommit({ commit: commitOf('data', id) })
  const address = `127.0.0.1:${there.port}`
  const events = await collect(here.transfers.pull({ address, repos: ['data'] }))
  const came = events.flatMap(({ event }) =>
    event.case === 'progress' ? [Number(event.value.bytes)] : [],
  )
  expect(Math.max(...came)).toBeLessThan(1000)
  expect(await commitsOf(here, 'data')).toEqual(await commitsOf(there, 'data'))
})

test('branches that have gone two ways are told of, and nothing changes', async () => {
  await makeRepo(there, 'data')
  await makeRepo(there, 'more')
  await pull(['data'])
  await commitFiles(there, { repo: 'data', branch: 'master' }, { theirs: 't' })
  await commitFiles(here, { repo: 'data', branch: 'master' }, { mine: 'm' })
  const before = await branchesOf(here, 'data')
  await expect(pull(['data', 'more'])).rejects.toEqual(
    failed(Code.failedPrecondition, 'failed-precondition', 'has gone another way here than there'),
  )
  expect(await branchesOf(here, 'data')).toEqual(before)
  expect((await here.pfs.listRepo({})).repoInfo.length).toBe(1)
})

test('a branch that is ahead here stays, and a dry run brings nothing', async () => {
  await makeRepo(there, 'data')
  expect(await pull(['data'], { dryRun: true })).toMatchObject([{ commits: 2n }])
  expect((await here.pfs.listRepo({})).repoInfo).toEqual([])
  await pull(['data'])
  await commitFiles(here, { repo: 'data', branch: 'master' }, { mine: 'm' })
  const before = await branchesOf(here, 'data')
  expect(await pull(['data'])).toMatchObject([{ commits: 0n, branches: [], ahead: ['master'] }])
  expect(await branchesOf(here, 'data')).toEqual(before)
})

test('what a pipeline made comes with what it was made from, and new commits start pipelines here', async () => {
  await makeRepo(there, 'data')
  const made = await freshPipeline(
    there,
    'cp -r "${PFS:-/pfs}/data/a" "${PFS:-/pfs}/out/"',
    atomOf('data', '/'),
  )
  await flush(there, 'data', 'master')
  const advice = `${made} is made from data, which is not here: have it come, too (--with-provenance)`
  await expect(pull([made])).rejects.toEqual(failed(Code.notFound, 'not-found', advice))
  expect((await here.pfs.listRepo({})).repoInfo).toEqual([])
  await pull([made], { withProvenance: true })
  expect(await commitsOf(here, made)).toEqual(await commitsOf(there, made))
  expect(await damageOf(here)).toEqual([])
  const follower = await freshPipeline(
    here,
    'cp -r "${PFS:-/pfs}/data/." "${PFS:-/pfs}/out/"',
    atomOf('data', '/'),
  )
  await commitFiles(there, { repo: 'data', branch: 'master' }, { late: 'late' })
  await pull(['data'])
  const [commits, toRepos] = [[commitOf('data', 'master')], [{ name: follower }]]
  await collect(here.pfs.flushCommit({ commits, toRepos }))
  expect(await getText(here, fileOf(follower, 'master', 'late'))).toBe('late')
})

test('commit tags come, and the commits that only they lead to; one that is another here stays', async () => {
  await makeRepo(there, 'data')
  await there.commits.tagCommit({ commit: commitOf('data', 'master'), tag: 'v1' })
  await commitFiles(there, { repo: 'data', branch: 'side' }, { side: 's' })
  await there.commits.tagCommit({ commit: commitOf('data', 'side'), tag: 'v2' })
  await there.pfs.deleteBranch({ repo: { name: 'data' }, branch: 'side' })
  const open = await startOn(there, 'data')
  await there.commits.tagCommit({ commit: commitOf('data', open), tag: 'unfinished' })
  expect(await pull(['data'])).toMatchObject([{ commits: 3n, tags: ['v1', 'v2'], otherTags: [] }])
  expect(await tagsOf(here, 'data')).toEqual((await tagsOf(there, 'data')).slice(1))
  await there.pfs.finishCommit({ commit: commitOf('data', open) })
  await there.commits.tagCommit({ commit: commitOf('data', open), tag: 'v1', move: true })
  await there.pfs.setBranch({ commit: commitOf('data', open), branch: 'mine' })
  await here.commits.tagCommit({ commit: commitOf('data', 'v2'), tag: 'mine' })
  await expect(pull(['data'])).rejects.toEqual(
    failed(Code.failedPrecondition, 'failed-precondition', 'has a commit tag mine here'),
  )
  await here.commits.deleteCommitTag({ repo: { name: 'data' }, tag: 'mine' })
  const before = await tagsOf(here, 'data')
  expect(await pull(['data'])).toMatchObject([
    { commits: 1n, tags: ['unfinished'], otherTags: ['v1'] },
  ])
  expect((await tagsOf(here, 'data')).slice(1)).toEqual(before)
  expect(await damageOf(here)).toEqual([])
})

test('what a merge brought in comes, too, and merges go on from there', async () => {
  await makeRepo(there, 'data')
  await there.pfs.setBranch({ commit: commitOf('data', 'master'), branch: 'side' })
  await commitFiles(there, { repo: 'data', branch: 'side' }, { side: 'one' })
  await commitFiles(there, { repo: 'data', branch: 'master' }, { main: 'm' })
  await there.commits.mergeBranch({ from: commitOf('data', 'side'), into: 'master' })
  await commitFiles(there, { repo: 'data', branch: 'side' }, { side: 'two' })
  await there.pfs.setBranch({ commit: commitOf('data', 'side'), branch: 'later' })
  await there.pfs.deleteBranch({ repo: { name: 'data' }, branch: 'side' })
  await pull(['data'])
  const commits = await commitsOf(here, 'data')
  expect(commits.filter(({ merged }) => merged.length > 0).length).toBe(1)
  const byId = (list: typeof commits) => new Map(list.map((commit) => [commit.id, commit]))
  expect(byId(commits)).toEqual(byId(await commitsOf(there, 'data')))
  // Without the first merge, `side` would have been changed on both sides.
  await here.commits.mergeBranch({ from: commitOf('data', 'later'), into: 'master' })
  expect(await getText(here, fileOf('data', 'master', 'side'))).toBe('onetwo')
  expect(await damageOf(here)).toEqual([])
})

test('commits of two branches that were made in turns come with what was made from each', async () => {
  await makeRepo(there, 'data')
  await there.pfs.setBranch({ commit: commitOf('data', 'master'), branch: 'also' })
  const made = await freshPipeline(there, 'cp -r "${PFS:-/pfs}/data/small" "${PFS:-/pfs}/out/"', {
    atom: { repo: 'data', branch: 'also', glob: '/' },
  })
  for (const [branch, text] of [
    ['master', '1'],
    ['also', '2'],
    ['master', '3'],
    ['also', '4'],
  ] as const) {
    await commitFiles(there, { repo: 'data', branch }, { small: text })
  }
  await flush(there, 'data', 'also')
  await pull([made], { withProvenance: true })
  expect((await commitsOf(here, made)).length).toBe((await commitsOf(there, made)).length)
})

test('pachctl pushes to a server that cannot reach this one, and pushes what is new again', async () => {
  await using closed = await TestPachd.start({ sources: 'none' })
  await makeRepo(here, 'data')
  await here.commits.tagCommit({ commit: commitOf('data', 'master'), tag: 'v1' })
  const push = (...args: readonly string[]) =>
    pachctlHere(['push', `127.0.0.1:${closed.port}`, ...args], { port: here.port, home: '/' })
  const dry = await push('data', '--dry-run')
  expect(dry).toMatchObject({
    code: 0,
    out: 'data: 2 commits would be pushed, to master, tagged v1\n',
  })
  expect((await closed.pfs.listRepo({})).repoInfo).toEqual([])
  const run = await push('data')
  expect(run).toMatchObject({ code: 0, err: '' })
  expect(run.out).toMatch(
    /^data: 2 commits pushed, to master, tagged v1, .* of files that were not there\n$/,
  )
  expect(await commitsOf(closed, 'data')).toEqual(await commitsOf(here, 'data'))
  expect(await damageOf(closed)).toEqual([])
  await commitFiles(here, { repo: 'data', branch: 'master' }, { more: 'm' })
  await commitFiles(closed, { repo: 'data', branch: 'master' }, { other: 'o' })
  const apart = await push()
  expect(apart.code).toBe(1)
  expect(apart.err).toMatch(
    /says, and "here" is that server: branch master of data has gone another/,
  )
  const none = await push('none')
  expect(none.err).toMatch(/pushing side says: .*none not found/)
})

test('a server that is pushed to reads nothing but the repos that are pushed', async () => {
  await makeRepo(here, 'data')
  await makeRepo(here, 'private')
  const { transport, pfs } = here
  const answered: unknown[] = []
  const to = {
    answerPush: async (parts: AsyncIterable<{ readonly part?: unknown }>) => {
      for await (const { part } of parts) answered.push(part)
      return create(AnswerPushResponseSchema)
    },
  } as unknown as ConstructorParameters<typeof RelayedCalls>[0]['to']
  const wish = { repos: ['data'], withProvenance: false }
  const unanswered: unknown[] = []
  const calls = new RelayedCalls({ from: transport, to }, wish, (reason) => unanswered.push(reason))
  const call = (method: string, request: Uint8Array) => {
    calls.start(create(PushedCallSchema, { id: 'x', method, request }))
  }
  const listed = toBinary(
    ListBranchRequestSchema,
    create(ListBranchRequestSchema, { repo: { name: 'private' } }),
  )
  call('/pfs.API/ListBranch', listed)
  call('/pfs.API/ListRepo', new Uint8Array())
  call('/pfs.API/DeleteRepo', listed)
  call('/pfs.API/ListBranch', Uint8Array.of(255))
  await calls.settled()
  expect(answered.length).toBe(8)
  expect(
    answered.filter((part) => (part as { readonly case: string }).case === 'failure').length,
  ).toBe(4)
  expect((await pfs.listRepo({})).repoInfo.length).toBe(2)
  expect(unanswered).toEqual([])
})

/** The names of all contents at the head of a branch. */
async function contentIds(repo: string): Promise<readonly Uint8Array[]> {
  const batches = await collect(here.files.listContents({ file: fileOf(repo, 'master', '') }))
  const files = batches.flatMap((batch) => batch.files)
  return files.map(({ content }) => content.value ?? new Uint8Array(0))
}

async function getChunks(repo: string, ids: readonly Uint8Array[]) {
  return collect(here.files.getChunks({ commit: commitOf(repo, 'master'), ids: [...ids] }))
}

test('chunks are had of the commit that they are part of, and of no other', async () => {
  const repos = { data: freshName('data'), private: freshName('private') }
  for (const [kind, repo] of Object.entries(repos)) {
    await here.pfs.createRepo({ repo: { name: repo } })
    const text = `${kind} ${repo} `
    const files = { small: text.repeat(9), large: text.repeat(100_000) }
    await commitFiles(here, { repo, branch: 'master' }, files)
  }
  const [ours, theirs] = [await contentIds(repos.data), await contentIds(repos.private)]
  expect((await getChunks(repos.data, ours)).flatMap(({ chunks }) => chunks)).toHaveLength(2)
  for (const id of theirs) {
    await expect(getChunks(repos.data, [...ours, id])).rejects.toEqual(
      failed(Code.notFound, 'not-found', `not found in commit ${repos.data}/`),
    )
  }
})

test('a push tells why an answer of its did not come through, and nothing of one that nobody waits for', async () => {
  const refused = new RpcError(Code.resourceExhausted, 'too many wait')
  const failures = [refused, new RpcError(Code.notFound, 'nobody waits for this answer any more')]
  const to = {
    answerPush: async () => await Promise.reject(failures.shift() ?? new Error('no more')),
  } as unknown as ConstructorParameters<typeof RelayedCalls>[0]['to']
  const unanswered: unknown[] = []
  const wish = { repos: [], withProvenance: false }
  const calls = new RelayedCalls({ from: here.transport, to }, wish, (reason) =>
    unanswered.push(reason),
  )
  for (const method of ['/pfs.API/ListRepo', '/pfs.API/ListRepo']) {
    calls.start(create(PushedCallSchema, { id: 'x', method, request: new Uint8Array() }))
  }
  await calls.settled()
  expect(unanswered).toEqual([refused])
})
