import { create, toBinary } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe } from 'vitest'
import { concatBytes, utf8 } from '../../src/base/bytes.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { PutFileRequestSchema } from '../../src/gen/pfs_pb.ts'
import {
  type BadInput,
  type BadInputStage,
  holdTo as holdServerTo,
  setUpBadInput,
} from '../harness/bad-input.ts'
import { collect, commitOf, fileOf, putFile } from '../harness/files.ts'
import type { TestPachd } from '../harness/test-pachd.ts'

let stage: BadInputStage
/** As `stage` has them, for short. */
let pachd: TestPachd
let repo: string
beforeAll(async () => {
  stage = await setUpBadInput()
  pachd = stage.pachd
  repo = stage.repo
})
afterAll(async () => {
  await stage[Symbol.asyncDispose]()
})

function holdTo(rows: readonly BadInput[]): void {
  holdServerTo(() => stage, rows)
}

/** A message as bytes, for what the generated code refuses to write. */
const send = (path: string, bytes: Uint8Array): Promise<unknown> =>
  pachd.transport.unary(path, bytes)

function field(number: number, bytes: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(number * 8 + 2, bytes.length), bytes])
}
const notUtf8 = Uint8Array.of(0x61, 0xff, 0xfe)

async function* once<Item>(item: Item): AsyncGenerator<Item> {
  await Promise.resolve()
  yield item
}

const invalid = { kind: 'invalid-argument' } as const

describe('messages with parts missing', () => {
  const needed = { ...invalid, text: 'needed' } as const
  holdTo([
    { what: 'create-repo', call: () => pachd.pfs.createRepo({}), ...needed },
    { what: 'inspect-repo', call: () => pachd.pfs.inspectRepo({}), ...needed },
    { what: 'list-repo', call: () => pachd.pfs.listRepo({ provenance: [{}] }), ...needed },
    { what: 'delete-repo', call: () => pachd.pfs.deleteRepo({}), ...needed },
    { what: 'start-commit', call: () => pachd.pfs.startCommit({}), ...needed },
    { what: 'start-commit, repo', call: () => pachd.pfs.startCommit({ parent: {} }), ...needed },
    {
      what: 'start-commit, provenance',
      call: () => pachd.pfs.startCommit({ parent: commitOf(repo, ''), provenance: [{}] }),
      ...needed,
    },
    { what: 'build-commit', call: () => pachd.pfs.buildCommit({}), ...needed },
    { what: 'finish-commit', call: () => pachd.pfs.finishCommit({}), ...needed },
    {
      what: 'finish-commit, id',
      call: () => pachd.pfs.finishCommit({ commit: commitOf(repo, '') }),
      ...needed,
    },
    {
      what: 'inspect-commit',
      call: () => pachd.pfs.inspectCommit({ commit: { id: 'x' } }),
      ...needed,
    },
    { what: 'list-commit', call: () => pachd.pfs.listCommit({}), ...needed },
    { what: 'delete-commit', call: () => pachd.pfs.deleteCommit({}), ...needed },
    {
      what: 'flush-commit',
      call: () => collect(pachd.pfs.flushCommit({ commits: [{}] })),
      ...needed,
    },
    { what: 'subscribe-commit', call: () => collect(pachd.pfs.subscribeCommit({})), ...needed },
    {
      what: 'subscribe-commit, branch',
      call: () => collect(pachd.pfs.subscribeCommit({ repo: { name: repo } })),
      ...needed,
    },
    { what: 'list-branch', call: () => pachd.pfs.listBranch({}), ...needed },
    { what: 'set-branch', call: () => pachd.pfs.setBranch({ branch: 'b' }), ...needed },
    {
      what: 'delete-branch',
      call: () => pachd.pfs.deleteBranch({ repo: { name: repo } }),
      ...needed,
    },
    { what: 'put-file', call: () => pachd.pfs.putFile(once({ value: utf8('x') })), ...needed },
    { what: 'get-file', call: () => collect(pachd.pfs.getFile({})), ...needed },
    { what: 'get-file, commit', call: () => collect(pachd.pfs.getFile({ file: {} })), ...needed },
    {
      what: 'inspect-file',
      call: () => pachd.pfs.inspectFile({ file: { commit: {} } }),
      ...needed,
    },
    { what: 'list-file', call: () => pachd.pfs.listFile({}), ...needed },
    { what: 'glob-file', call: () => pachd.pfs.globFile({ pattern: '*' }), ...needed },
    { what: 'diff-file', call: () => pachd.pfs.diffFile({}), ...needed },
    { what: 'delete-file', call: () => pachd.pfs.deleteFile({}), ...needed },
    { what: 'get-object', call: () => collect(pachd.objects.getObject({})), ...needed },
    {
      what: 'get-objects',
      call: () => collect(pachd.objects.getObjects({ objects: [{}] })),
      ...needed,
    },
    { what: 'get-tag', call: () => collect(pachd.objects.getTag({})), ...needed },
    { what: 'tag-object', call: () => pachd.objects.tagObject({}), ...needed },
    { what: 'check-object', call: () => pachd.objects.checkObject({}), ...needed },
    {
      what: 'put-object with an unnamed tag',
      call: () => pachd.objects.putObject(once({ tags: [{}] })),
      ...invalid,
      text: 'needs a name',
    },
    {
      what: 'PutFiles without a message',
      call: () => pachd.files.putFiles(nothing()),
      ...needed,
      code: Code.invalidArgument,
    },
    {
      what: 'PutFiles without a commit',
      call: () => pachd.files.putFiles(once({})),
      ...needed,
      code: Code.invalidArgument,
    },
    {
      what: 'ListFiles',
      call: () => collect(pachd.files.listFiles({})),
      ...needed,
      code: Code.invalidArgument,
    },
    {
      what: 'GlobFiles',
      call: () => collect(pachd.files.globFiles({})),
      ...needed,
      code: Code.invalidArgument,
    },
    {
      what: 'DiffFiles',
      call: () => collect(pachd.files.diffFiles({})),
      ...needed,
      code: Code.invalidArgument,
    },
    {
      what: 'CopyFile',
      call: () => pachd.files.copyFile({}),
      ...needed,
      code: Code.invalidArgument,
    },
    {
      what: 'MoveFile',
      call: () => pachd.files.moveFile({}),
      ...needed,
      code: Code.invalidArgument,
    },
    {
      what: 'MergeBranch',
      call: () => pachd.commits.mergeBranch({}),
      ...needed,
      code: Code.invalidArgument,
    },
    {
      what: 'RevertCommit',
      call: () => pachd.commits.revertCommit({}),
      ...needed,
      code: Code.invalidArgument,
    },
    {
      what: 'DeleteCommits',
      call: () => collect(pachd.commits.deleteCommits({ commits: [{}] })),
      ...needed,
      code: Code.invalidArgument,
    },
  ])
})

async function* nothing(): AsyncGenerator<never> {
  // Ends at once.
}

const putBytes = (bytes: Uint8Array): Promise<unknown> =>
  pachd.transport.clientStream('/pfs.API/PutFile', once(bytes))

async function* goodThenNoise(): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
  const fields = { file: fileOf(repo, 'open', 'half'), value: utf8('x') }
  yield toBinary(PutFileRequestSchema, create(PutFileRequestSchema, fields))
  yield Uint8Array.of(0x1a, 0x50, 0x01)
}

describe('bytes that are no message', () => {
  const malformed = { kind: undefined, text: /./, code: Code.internal } as const
  holdTo([
    {
      what: 'noise',
      call: () => send('/pfs.API/CreateRepo', Uint8Array.of(1, 2, 3)),
      ...malformed,
    },
    {
      what: 'a field that ends too early',
      call: () => send('/pfs.API/CreateRepo', Uint8Array.of(0x0a, 200)),
      ...malformed,
    },
    {
      what: 'a repo name that is not UTF-8',
      call: () => send('/pfs.API/CreateRepo', field(1, field(1, notUtf8))),
      kind: 'invalid-argument',
      text: 'a text in the pfs.CreateRepoRequest is not UTF-8',
    },
    {
      what: 'a path that is not UTF-8',
      call: () => putBytes(field(1, field(2, notUtf8))),
      kind: 'invalid-argument',
      text: 'not UTF-8',
    },
    {
      what: 'noise as a file',
      call: () => putBytes(Uint8Array.of(0xff, 0xff, 0xff)),
      kind: 'invalid-argument',
      text: 'malformed message',
    },
    {
      what: 'noise after a good first message',
      call: () => pachd.transport.clientStream('/pfs.API/PutFile', goodThenNoise()),
      kind: 'invalid-argument',
      text: 'malformed message',
    },
  ])
})

describe('messages that are too large', () => {
  const large = { kind: undefined, text: 'larger than max', code: Code.resourceExhausted } as const
  const bytes = new Uint8Array(21 * 1024 * 1024)
  holdTo([
    {
      what: 'one request',
      call: () =>
        pachd.pfs.createRepo({ repo: { name: 'big' }, description: 'x'.repeat(bytes.length) }),
      ...large,
    },
    {
      what: 'the first of a put',
      call: () => pachd.pfs.putFile(once({ file: fileOf(repo, 'open', 'big'), value: bytes })),
      ...large,
    },
    {
      what: 'a later one of a put',
      call: () => putFile(pachd, fileOf(repo, 'open', 'big'), [utf8('x'), bytes]),
      ...large,
    },
  ])
})
