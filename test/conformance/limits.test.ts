import { create, toBinary } from '@bufbuild/protobuf'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { Code, webContentType } from '../../src/base/grpc-wire.ts'
import {
  CreateRepoRequestSchema,
  Delimiter,
  FlushCommitRequestSchema,
} from '../../src/gen/pfs_pb.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { failed, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, putFile } from '../harness/files.ts'
import { grpcMessage } from '../harness/raw-http2.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
let directory: TemporaryDirectory
beforeAll(async () => {
  directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  {
    await using earlier = await TestPachd.start({ root })
    for (const name of ['old-1', 'old-2', 'r', 'branchy']) {
      await earlier.pfs.createRepo({ repo: { name } })
    }
    await commitFiles(earlier, { repo: 'r', branch: 'master' }, { a: '1' })
  }
  storeAsBefore(directory.join('data/metadata.db'))
  pachd = await TestPachd.start({ root })
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
  await directory[Symbol.asyncDispose]()
})

/** What no call stores any more, and releases before there were limits did. */
function storeAsBefore(file: string): void {
  using database = new DatabaseSync(file)
  const description = 'long '.repeat(2_500_000)
  database.prepare("UPDATE repos SET description = ? WHERE name LIKE 'old-%'").run(description)
  // 30 MB of names.
  database.exec(
    `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
      INSERT INTO branches (repo, name, head, written)
      SELECT 'branchy', printf('%0250d', n), printf('%032d', n), n FROM numbers`,
  )
}

async function* each<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  await Promise.resolve()
  yield* items
}

describe('texts that lists show', () => {
  test('a description of more than 4,096 bytes is refused, and nothing is made', async () => {
    const repo = { name: 'talkative' }
    await expect(pachd.pfs.createRepo({ repo, description: 'é'.repeat(2049) })).rejects.toEqual(
      refused(
        'invalid-argument',
        "the repo's description is too long: at most 4096 bytes are allowed, and it has 4098; put long texts into a file of the repo",
      ),
    )
    await pachd.pfs.createRepo({ repo, description: 'é'.repeat(2048) })
    await pachd.pfs.deleteRepo({ repo })
  })

  test('two that were stored before and fill 25 MB do not break list-repo', async () => {
    const { repoInfo } = await pachd.pfs.listRepo({})
    const shown = repoInfo.filter(({ repo }) => repo?.name.startsWith('old-'))
    expect(shown.map(({ description }) => utf8(description).length)).toEqual([4099, 4099])
    expect(shown[0]?.description.endsWith('…')).toBe(true)
    const whole = await pachd.pfs.inspectRepo({ repo: { name: 'old-1' } })
    expect(whole.description).toHaveLength(12_500_000)
  })
})

/** Names a command for a person, and a call for a program. */
function streams(command: string, method: string): string {
  return `pachctl ${command} of this server's release streams it, and so does pachyderm.${method} for programs`
}

function tooLarge(advice: string): unknown {
  const size = 'the answer is larger than one message may be (20971520 bytes)'
  return refused('resource-exhausted', `${size}: ${advice}`)
}

test('branches that do not fit one message are refused with advice', async () => {
  await expect(pachd.pfs.listBranch({ repo: { name: 'branchy' } })).rejects.toEqual(
    tooLarge(streams('list-branch', 'Repos/ListBranches')),
  )
})

test('files whose list does not fit one message are refused with advice, and streamed', async () => {
  const repo = 'deep'
  await pachd.pfs.createRepo({ repo: { name: repo } })
  const path = Array.from({ length: 3 }, () => 'd'.repeat(1000)).join('/')
  const text = Array.from({ length: 8000 }, (_, at) => `${at}\n`).join('')
  const commit = await pachd.pfs.startCommit({ parent: { repo: { name: repo } }, branch: 'master' })
  await putFile(pachd, { commit, path }, text, { delimiter: Delimiter.LINE })
  await pachd.pfs.finishCommit({ commit })
  const file = { commit, path: `/${path}` }
  await expect(pachd.pfs.listFile({ file })).rejects.toEqual(
    tooLarge(`${streams('list-file', 'Files/ListFiles')}; or list a directory below`),
  )
  await expect(pachd.pfs.globFile({ commit, pattern: `/${path}/*` })).rejects.toEqual(
    tooLarge(`${streams('glob-file', 'Files/GlobFiles')}; or use a narrower pattern`),
  )
  const compared = { newFile: file, oldFile: { commit, path: '/nothing' } }
  await expect(pachd.pfs.diffFile(compared)).rejects.toEqual(
    tooLarge(`${streams('diff-file', 'Files/DiffFiles')}; or compare paths below`),
  )
  expect((await pachd.pfs.inspectFile({ file })).children).toHaveLength(8000)
  for (const stream of [
    pachd.files.listFiles({ file }),
    pachd.files.globFiles({ commit, pattern: `/${path}/?*` }),
  ]) {
    const batches = await Array.fromAsync(stream)
    expect(batches.flatMap(({ fileInfo }) => fileInfo)).toHaveLength(8000)
  }
  const diffs = (await Array.fromAsync(pachd.files.diffFiles(compared))).flatMap(
    (batch) => batch.diffs,
  )
  expect(diffs).toHaveLength(8000)
})

describe('too many of something, in words that help', () => {
  const provenance = Array.from({ length: 1001 }, (_, at) => ({ name: `p-${at}` }))
  const refusal =
    'pfs.CreateRepoRequest.provenance is there 1001 times, and at most 1000 are allowed in one request: make repos of some of them, and this one of those'

  test('from a service of 1.5, with its code', async () => {
    const made = pachd.pfs.createRepo({ repo: { name: 'x' }, provenance })
    await expect(made).rejects.toEqual(refused('invalid-argument', refusal))
  })

  test('as part of a transaction', async () => {
    const { id } = await pachd.transactions.startTransaction({ description: '' })
    const request = create(CreateRepoRequestSchema, { repo: { name: 'x' }, provenance })
    const recorded = pachd.transport.unary(
      '/pfs.API/CreateRepo',
      toBinary(CreateRepoRequestSchema, request),
      { metadata: { 'pach-transaction': id } },
    )
    await expect(recorded).rejects.toEqual(refused('invalid-argument', refusal))
    const operations = Array.from({ length: 2 }, (_, at) => ({
      operation: {
        case: 'createRepo' as const,
        value: { repo: { name: `x-${at}` }, provenance: provenance.slice(0, 600) },
      },
    }))
    // All of a request count together.
    await expect(pachd.transactions.runTransaction({ operations })).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'provenance is there 1200 times'),
    )
  })

  test('over gRPC-Web', async () => {
    const commits = Array.from({ length: 10_001 }, () => commitOf('r', 'master'))
    const request = create(FlushCommitRequestSchema, { commits })
    const response = await fetch(`http://127.0.0.1:${pachd.port}/pfs.API/FlushCommit`, {
      method: 'POST',
      headers: { 'content-type': webContentType },
      body: grpcMessage(toBinary(FlushCommitRequestSchema, request)),
    })
    expect(await response.text()).toContain('pfs.FlushCommitRequest.commits is there 10001 times')
  })

  test('in a stream, where each message counts for itself', async () => {
    const tags = Array.from({ length: 10_001 }, (_, at) => ({ name: `t-${at}` }))
    const { hash } = await pachd.objects.putObject(each([{ value: utf8('x'), tags: [] }]))
    await expect(pachd.objects.tagObject({ object: { hash }, tags })).rejects.toEqual(
      refused('invalid-argument', 'pfs.TagObjectRequest.tags is there 10001 times'),
    )
    const parts = Array.from({ length: 20_001 }, (_, at) => ({ path: `/${at}` }))
    const commit = await pachd.pfs.startCommit({ parent: commitOf('r', ''), branch: 'bulk' })
    await expect(pachd.files.putFiles(each([{ commit, parts }]))).rejects.toEqual(
      failed(
        Code.invalidArgument,
        'invalid-argument',
        'pachyderm.PutFilesRequest.parts is there more than 20000 times, which is all that is allowed in one message: send them in several messages of the stream',
      ),
    )
    const half = parts.slice(0, 15_000)
    const { files } = await pachd.files.putFiles(each([{ commit, parts: half }, { parts: half }]))
    expect(files).toBe(30_000n)
  })
})

test('names of commits that go back too far together', async () => {
  const names = Array.from({ length: 501 }, (_, at) => commitOf('r', `master~${at + 100}`))
  await expect(collect(pachd.pfs.flushCommit({ commits: names }))).rejects.toEqual(
    refused('invalid-argument', 'commits together, and at most 10000 are counted in one request'),
  )
})
