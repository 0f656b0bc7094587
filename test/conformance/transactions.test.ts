import type { MessageInitShape } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import type { CallOptions } from '../../src/client/transport.ts'
import { type OperationSchema, Preference } from '../../src/gen/pachyderm_pb.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { failed, freshName, freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, jobsOf, outputOf } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

type OperationInit = MessageInitShape<typeof OperationSchema>

function part(id: string): CallOptions {
  return { metadata: { 'pach-transaction': id } }
}

async function begin(): Promise<string> {
  return (await pachd.transactions.startTransaction({ description: 'test' })).id
}

async function finish(id: string): ReturnType<TestPachd['transactions']['finishTransaction']> {
  return pachd.transactions.finishTransaction({ transaction: { id } })
}

async function openCommit(repo: string, path: string): Promise<string> {
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  await putFile(pachd, fileOf(repo, id, path), `${path}\n`)
  return id
}

async function isFinished(repo: string, commit: string): Promise<boolean> {
  const info = await pachd.pfs.inspectCommit({ commit: commitOf(repo, commit) })
  return info.finished !== undefined
}

function finishOperation(repo: string, commit: string): OperationInit {
  return { operation: { case: 'finishCommit', value: { commit: commitOf(repo, commit) } } }
}

/** Two repos with a commit each, and a pipeline that reads them together. */
async function crossed(): Promise<readonly [string, string, string]> {
  const [left, right] = [await freshRepo(pachd), await freshRepo(pachd)]
  await commitFiles(pachd, { repo: left, branch: 'master' }, { l1: 'l1\n' })
  await commitFiles(pachd, { repo: right, branch: 'master' }, { r1: 'r1\n' })
  const pipeline = await freshPipeline(
    pachd,
    `cat \${PFS:-/pfs}/${left}/* \${PFS:-/pfs}/${right}/* > \${PFS:-/pfs}/out/all`,
    { cross: [atomOf(left, '/'), atomOf(right, '/')] },
  )
  return [left, right, pipeline]
}

describe('a cross of two repos', () => {
  test('gets one job for the commits that a transaction finishes', async () => {
    const [left, right, pipeline] = await crossed()
    const before = (await jobsOf(pachd, pipeline)).length
    const ids = [await openCommit(left, 'l2'), await openCommit(right, 'r2')] as const
    const id = await begin()
    await pachd.pfs.finishCommit({ commit: commitOf(left, ids[0]) }, part(id))
    await pachd.pfs.finishCommit({ commit: commitOf(right, ids[1]) }, part(id))
    expect([await isFinished(left, ids[0]), await isFinished(right, ids[1])]).toEqual([
      false,
      false,
    ])
    const info = await finish(id)
    expect(info.operations.map(({ result }) => result?.commit?.id)).toEqual([...ids])
    await flush(pachd, left, ids[0])
    expect(await jobsOf(pachd, pipeline)).toHaveLength(before + 1)
    expect(await outputOf(pachd, pipeline)).toEqual({ '/all': 'l1\nl2\nr1\nr2\n' })
  })

  test('gets one job for the commits that one call starts, fills and finishes', async () => {
    const [left, right, pipeline] = await crossed()
    const before = (await jobsOf(pachd, pipeline)).length
    const { results } = await pachd.transactions.runTransaction({
      operations: [left, right].flatMap((repo): OperationInit[] => [
        {
          operation: {
            case: 'startCommit',
            value: { parent: commitOf(repo, ''), branch: 'master' },
          },
        },
        {
          operation: {
            case: 'putFile',
            value: { file: fileOf(repo, 'master', 'x2'), content: { case: 'text', value: 'x2\n' } },
          },
        },
        finishOperation(repo, 'master'),
      ]),
    })
    await flush(pachd, right, results.at(-1)?.commit?.id ?? '')
    expect(await jobsOf(pachd, pipeline)).toHaveLength(before + 1)
    expect(await outputOf(pachd, pipeline)).toEqual({ '/all': 'l1\nx2\nr1\nx2\n' })
  })
})

describe('merges, reverts and commit tags', () => {
  test('are part of a transaction, and make one job with what else it finishes', async () => {
    const [left, right, pipeline] = await crossed()
    await pachd.pfs.setBranch({ commit: commitOf(right, 'master'), branch: 'dev' })
    const undone = await commitFiles(pachd, { repo: right, branch: 'master' }, { wrong: 'w\n' })
    await commitFiles(pachd, { repo: right, branch: 'dev' }, { r2: 'r2\n' })
    await flush(pachd, right, undone)
    const before = (await jobsOf(pachd, pipeline)).length
    const open = await openCommit(left, 'l2')
    const id = await begin()
    const { commits } = pachd
    await pachd.pfs.finishCommit({ commit: commitOf(left, open) }, part(id))
    const merge = { from: commitOf(right, 'dev'), into: 'master', message: 'both' }
    const merged = (await commits.mergeBranch(merge, part(id))).head?.id ?? ''
    const revert = { commit: commitOf(right, undone), branch: 'master' }
    const reverted = (await commits.revertCommit(revert, part(id))).head?.id ?? ''
    await commits.tagCommit({ commit: commitOf(right, merged), tag: 'before' }, part(id))
    await commits.tagCommit({ commit: commitOf(left, open), tag: 'gone' }, part(id))
    await commits.deleteCommitTag({ repo: { name: left }, tag: 'gone' }, part(id))
    await expect(getText(pachd, fileOf(right, 'master', 'r2'))).rejects.toThrow('not found')
    const info = await finish(id)
    const results = info.operations.map(({ result }) => result?.commit?.id)
    expect(results).toEqual([open, merged, reverted, undefined, undefined, undefined])
    expect(await getText(pachd, fileOf(right, 'before', 'wrong'))).toBe('w\n')
    await flush(pachd, right, reverted)
    expect(await jobsOf(pachd, pipeline)).toHaveLength(before + 1)
    expect(await outputOf(pachd, pipeline)).toEqual({ '/all': 'l1\nl2\nr1\nr2\n' })
    const made = await pachd.pfs.inspectCommit({ commit: commitOf(right, merged) })
    expect(made).toMatchObject({ parentCommit: { id: undone } })
    await expect(collect(commits.listCommitTags({ repo: { name: left } }))).resolves.toEqual([])
  })

  test('merge what the transaction itself finishes, or move the branch there', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    await pachd.pfs.setBranch({ commit: commitOf(repo, 'master'), branch: 'dev' })
    const started = { parent: commitOf(repo, ''), branch: 'dev' }
    const put = { file: fileOf(repo, 'dev', 'b'), content: { case: 'text', value: '2' } } as const
    const merge = { from: commitOf(repo, 'dev'), into: 'master' }
    const { results } = await pachd.transactions.runTransaction({
      operations: [
        { operation: { case: 'startCommit', value: started } },
        { operation: { case: 'putFile', value: put } },
        finishOperation(repo, 'dev'),
        { operation: { case: 'mergeBranch', value: merge } },
        { operation: { case: 'mergeBranch', value: merge } },
      ],
    })
    const [commit] = results
    expect(results.slice(2)).toEqual([commit, commit, commit])
    expect(await getText(pachd, fileOf(repo, 'master', 'b'))).toBe('2')
  })

  test('do nothing at all where a path is in conflict, or nothing is left to undo', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    await pachd.pfs.setBranch({ commit: commitOf(repo, 'master'), branch: 'dev' })
    const ours = await commitFiles(pachd, { repo, branch: 'master' }, { a: '2' })
    await commitFiles(pachd, { repo, branch: 'dev' }, { a: '3' })
    const tag = { commit: commitOf(repo, 'master'), tag: 'v1' }
    const merge = { from: commitOf(repo, 'dev'), into: 'master' }
    const run = (operation: OperationInit): Promise<unknown> =>
      pachd.transactions.runTransaction({
        operations: [{ operation: { case: 'tagCommit', value: tag } }, operation],
      })
    await expect(run({ operation: { case: 'mergeBranch', value: merge } })).rejects.toEqual(
      failed(
        Code.failedPrecondition,
        'failed-precondition',
        `operation 2 of 2 (merge-branch ${repo}/dev into master) failed, so nothing of the transaction was done: both sides changed "/a" differently: change one of them, or prefer ours or theirs (--prefer)`,
      ),
    )
    const nothing = await pachd.commits.revertCommit({
      commit: commitOf(repo, ours),
      branch: 'master',
    })
    const revert = { commit: commitOf(repo, ours), branch: 'master' }
    expect(nothing.head?.id).not.toBe(ours)
    await expect(run({ operation: { case: 'revertCommit', value: revert } })).rejects.toThrow(
      `the branch has nothing left of what commit ${repo}/${ours} changed: leave the revert out`,
    )
    await expect(
      run({ operation: { case: 'mergeBranch', value: { ...merge, dryRun: true } } }),
    ).rejects.toThrow('a dry run cannot be part of a transaction')
    expect(await collect(pachd.commits.listCommitTags({ repo: { name: repo } }))).toEqual([])
    const preferred = { ...merge, prefer: Preference.THEIRS }
    await run({ operation: { case: 'mergeBranch', value: preferred } })
    const { commit: theirs } = await pachd.pfs.inspectCommit({ commit: merge.from })
    const made = await pachd.pfs.inspectCommit({ commit: commitOf(repo, 'master') })
    expect(made.mergeParents.map(({ id }) => id)).toEqual([theirs?.id])
    expect(await getText(pachd, fileOf(repo, 'master', 'a'))).toBe('13')
  })
})

describe('copies and moves', () => {
  test('take what the operations before have left, in every commit that these change', async () => {
    const [raw, archive] = [await freshRepo(pachd), await freshRepo(pachd)]
    await commitFiles(pachd, { repo: raw, branch: 'master' }, { 'd/a': 'one', b: 'two' })
    const open = await openCommit(archive, 'x')
    const id = await begin()
    const { files, pfs } = pachd
    const copied = await files.copyFile(
      { source: fileOf(raw, 'master', 'd'), destination: fileOf(archive, open, 'in/d') },
      part(id),
    )
    expect(copied).toMatchObject({ files: 0n, bytes: 0n })
    const next = await pfs.startCommit({ parent: commitOf(raw, ''), branch: 'master' }, part(id))
    for (const [from, to] of [
      [fileOf(raw, next.id, 'b'), fileOf(archive, open, 'in/b')],
      [fileOf(raw, next.id, 'd/a'), fileOf(raw, next.id, 'e')],
    ] as const) {
      await files.moveFile({ source: from, destination: to }, part(id))
    }
    await files.copyFile(
      {
        source: fileOf(archive, open, 'in/b'),
        destination: fileOf(archive, open, 'in/d/a'),
        append: true,
      },
      part(id),
    )
    await pfs.finishCommit({ commit: next }, part(id))
    const whole = { source: fileOf(raw, next.id, '/'), destination: fileOf(archive, open, 'raw') }
    await files.copyFile(whole, part(id))
    // What comes before the finish counts, too.
    await putFile(pachd, fileOf(archive, open, 'late'), 'late')
    const text = (path: string) => getText(pachd, fileOf(archive, open, path))
    await expect(text('in/b')).rejects.toThrow('not found')
    const info = await finish(id)
    expect(info.operations.map(({ operation }) => operation?.operation.case)).toEqual([
      'copyFile',
      'startCommit',
      'moveFile',
      'moveFile',
      'copyFile',
      'finishCommit',
      'copyFile',
    ])
    const texts = [await text('in/b'), await text('in/d/a'), await text('raw/e')]
    expect(texts).toEqual(['two', 'onetwo', 'one'])
    expect(await isFinished(archive, open)).toBe(false)
    await pfs.finishCommit({ commit: commitOf(archive, open) })
    expect(await text('late')).toBe('late')
    const { fileInfo } = await pfs.globFile({ commit: commitOf(raw, 'master'), pattern: '*' })
    expect(fileInfo.map(({ file }) => file?.path)).toEqual(['/d', '/e'])
  })

  test('are in one call with the puts of what they copy', async () => {
    const [raw, archive] = [await freshRepo(pachd), await freshRepo(pachd)]
    const starts = [raw, archive].map((repo): OperationInit => {
      const value = { parent: commitOf(repo, ''), branch: 'master' }
      return { operation: { case: 'startCommit', value } }
    })
    const put = { file: fileOf(raw, 'master', 'a'), content: { case: 'text', value: 'a' } } as const
    const copy = {
      source: fileOf(raw, 'master', 'a'),
      destination: fileOf(archive, 'master', '/copies/a'),
    }
    const run = (...operations: readonly OperationInit[]): Promise<unknown> =>
      pachd.transactions.runTransaction({
        operations: [...starts, { operation: { case: 'putFile', value: put } }, ...operations],
      })
    const copied = { operation: { case: 'copyFile', value: copy } } as const
    const [ends, early] = [
      [finishOperation(raw, 'master'), finishOperation(archive, 'master')],
      { operation: { case: 'moveFile', value: copy } },
    ] as const
    await expect(run(copied, early, ...ends)).rejects.toEqual(
      failed(Code.alreadyExists, 'already-exists', /^operation 5 of 7 \(move-file .*\/copies\/a/),
    )
    await expect(pachd.pfs.inspectCommit({ commit: commitOf(raw, 'master') })).rejects.toThrow(
      'not found',
    )
    await run(copied, ...ends)
    expect(await getText(pachd, fileOf(archive, 'master', 'copies/a'))).toBe('a')
  })

  test('are refused when they are added, or at the end, and nothing is done', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { 'd/a': '1' })
    const open = await openCommit(repo, 'x')
    const { files } = pachd
    const id = await begin()
    const within = { source: fileOf(repo, open, 'd'), destination: fileOf(repo, open, 'd/e') }
    await expect(files.copyFile(within, part(id))).rejects.toThrow(
      failed(Code.invalidArgument, 'invalid-argument', 'into itself'),
    )
    const ended = { source: fileOf(repo, 'master^', 'd'), destination: fileOf(repo, open, 'e') }
    await expect(files.moveFile(ended, part(id))).rejects.toThrow(
      failed(Code.failedPrecondition, 'failed-precondition', 'cannot move files out of commit'),
    )
    const both = { ...ended, overwrite: true, append: true }
    await expect(files.copyFile(both, part(id))).rejects.toThrow('cannot both be asked for')
    await files.copyFile(ended, part(id))
    const missing = { source: fileOf(repo, open, 'none'), destination: fileOf(repo, open, 'f') }
    await files.copyFile(missing, part(id))
    await expect(finish(id)).rejects.toThrow(
      failed(Code.notFound, 'not-found', /^operation 2 of 2 \(copy-file .*:none to .*not found/),
    )
    await expect(getText(pachd, fileOf(repo, open, 'e/a'))).rejects.toThrow('not found')
  })
})

describe('calls with pach-transaction', () => {
  test('do nothing before the finish, and all they say at it', async () => {
    const [old, made] = [await freshRepo(pachd), freshName('repo')]
    const head = await commitFiles(pachd, { repo: old, branch: 'master' }, { a: '1', b: '2' })
    const id = await begin()
    const { pfs } = pachd
    await pfs.createRepo({ repo: { name: made }, description: 'made' }, part(id))
    const started = await pfs.startCommit(
      { parent: commitOf(made, ''), branch: 'master' },
      part(id),
    )
    expect(started.id).toMatch(/^[0-9a-f]{12}4[0-9a-f]{19}$/)
    expect(started.repo?.name).toBe(made)
    await pfs.finishCommit({ commit: started }, part(id))
    const next = await pfs.startCommit({ parent: commitOf(old, ''), branch: 'master' }, part(id))
    await pfs.deleteFile({ file: fileOf(old, next.id, '/a') }, part(id))
    await pfs.finishCommit({ commit: next }, part(id))
    await pfs.setBranch({ commit: commitOf(old, head), branch: 'before' }, part(id))
    await pfs.setBranch({ commit: commitOf(old, head), branch: 'gone' }, part(id))
    await pfs.deleteBranch({ repo: { name: old }, branch: 'gone' }, part(id))
    await pfs.startCommit({ parent: commitOf(old, 'before'), branch: 'dropped' }, part(id))
    await pfs.deleteCommit({ commit: commitOf(old, 'dropped') }, part(id))
    await expect(pfs.inspectRepo({ repo: { name: made } })).rejects.toMatchObject({
      kind: 'not-found',
    })
    expect((await pfs.listBranch({ repo: { name: old } })).branchInfo).toHaveLength(1)

    const info = await finish(id)
    expect(info.finished).toBeDefined()
    expect(info.operations[1]?.reserved?.id).toBe(started.id)
    expect(await isFinished(made, started.id)).toBe(true)
    await expect(getText(pachd, fileOf(old, 'master', '/a'))).rejects.toMatchObject({
      kind: 'not-found',
    })
    expect(await getText(pachd, fileOf(old, 'master', '/b'))).toBe('2')
    const { branchInfo } = await pfs.listBranch({ repo: { name: old } })
    expect(new Map(branchInfo.map(({ name, head: at }) => [name, at?.id]))).toEqual(
      new Map([
        ['before', head],
        ['dropped', head],
        ['master', next.id],
      ]),
    )
  })

  test('are refused in the words of 1.5 when they could not be done', async () => {
    const repo = await freshRepo(pachd)
    const id = await begin()
    await expect(pachd.pfs.createRepo({ repo: { name: repo } }, part(id))).rejects.toThrow(
      refused('already-exists', /^cannot add create-repo .* to transaction .*already exists\)$/),
    )
    await expect(pachd.pfs.createRepo({ repo: { name: 'no/such' } }, part(id))).rejects.toThrow(
      refused('invalid-argument', 'only alphanumeric characters'),
    )
    await expect(
      pachd.pfs.setBranch({ commit: commitOf(repo, 'x'), branch: '' }, part(id)),
    ).rejects.toThrow(refused('invalid-argument', 'a branch name is needed'))
    await expect(pachd.pfs.deleteRepo({ all: true }, part(id))).rejects.toThrow(
      refused('invalid-argument', 'cannot be part of a transaction'),
    )
    expect((await finish(id)).operations).toEqual([])
  })

  test('are refused where they cannot be part of a transaction', async () => {
    const repo = await freshRepo(pachd)
    const id = await begin()
    const text = 'cannot be part of a transaction'
    await expect(pachd.pfs.inspectRepo({ repo: { name: repo } }, part(id))).rejects.toThrow(
      refused('failed-precondition', text),
    )
    await expect(
      collect(pachd.pfs.getFile({ file: fileOf(repo, 'master', 'a') }, part(id))),
    ).rejects.toThrow(refused('failed-precondition', text))
    await expect(
      collect(pachd.files.listFiles({ file: fileOf(repo, 'master', '/') }, part(id))),
    ).rejects.toThrow(failed(Code.failedPrecondition, 'failed-precondition', text))
    const commit = await openCommit(repo, 'a')
    async function* put(): AsyncGenerator<object> {
      yield await Promise.resolve({ file: fileOf(repo, commit, 'b'), value: utf8('b') })
    }
    await expect(pachd.pfs.putFile(put(), part(id))).rejects.toThrow(
      refused('failed-precondition', text),
    )
    await expect(getText(pachd, fileOf(repo, commit, 'b'))).rejects.toThrow(/not found/)
  })

  test('are refused for transactions that are unknown or finished', async () => {
    const id = await begin()
    await finish(id)
    const call = pachd.pfs.createRepo({ repo: { name: freshName('repo') } }, part(id))
    await expect(call).rejects.toThrow(refused('failed-precondition', 'has already finished'))
    const unknown = pachd.pfs.createRepo({ repo: { name: 'x' } }, part('../no such'))
    await expect(unknown).rejects.toThrow(
      refused('not-found', 'transaction "../no such" not found'),
    )
  })
})

describe('pachyderm.Transactions', () => {
  test('finishes again with the same answer', async () => {
    const id = await begin()
    await pachd.pfs.createRepo({ repo: { name: freshName('repo') } }, part(id))
    const first = await finish(id)
    expect(await finish(id)).toEqual(first)
    expect(await pachd.transactions.inspectTransaction({ transaction: { id } })).toEqual(first)
  })

  test('lists without operations, and deletes', async () => {
    const id = await begin()
    await pachd.pfs.createRepo({ repo: { name: freshName('repo') } }, part(id))
    const batches = await collect(pachd.transactions.listTransactions({}))
    const [latest] = batches.flatMap(({ transactionInfo }) => transactionInfo)
    expect(latest).toMatchObject({
      transaction: { id },
      description: 'test',
      operationCount: 1,
      operations: [],
    })
    await pachd.transactions.deleteTransaction({ transaction: { id } })
    await expect(finish(id)).rejects.toThrow(failed(Code.notFound, 'not-found', 'not found'))
    await expect(finish('')).rejects.toThrow(
      failed(Code.invalidArgument, 'invalid-argument', 'transaction.id'),
    )
  })

  test('answers with the code of what went wrong, and nothing was done', async () => {
    const repo = await freshRepo(pachd)
    const commit = await openCommit(repo, 'a')
    const operations = [finishOperation(repo, commit), finishOperation(repo, 'nowhere')]
    await expect(pachd.transactions.runTransaction({ operations })).rejects.toThrow(
      failed(Code.notFound, 'not-found', /^operation 2 of 2 \(finish-commit .*nowhere not found/),
    )
    expect(await isFinished(repo, commit)).toBe(false)
    await expect(pachd.transactions.runTransaction({ operations: [{}] })).rejects.toThrow(
      failed(Code.invalidArgument, 'invalid-argument', 'an operation is needed'),
    )
  })

  test('remembers over a restart what was added', async () => {
    await using directory = await TemporaryDirectory.create()
    const root = directory.join('data')
    const id = await (async () => {
      await using first = await TestPachd.start({ root })
      await first.pfs.createRepo({ repo: { name: 'r' } })
      const { id: begun } = await first.transactions.startTransaction({})
      await first.pfs.startCommit({ parent: commitOf('r', ''), branch: 'master' }, part(begun))
      return begun
    })()
    await using second = await TestPachd.start({ root })
    await second.pfs.finishCommit({ commit: commitOf('r', 'master') }, part(id))
    const { operations } = await second.transactions.finishTransaction({ transaction: { id } })
    const [started, finished] = operations.map(({ result }) => result?.commit?.id)
    expect(started).toBe(operations[0]?.reserved?.id)
    expect(finished).toBe(started)
  })
})
