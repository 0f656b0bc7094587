import { afterAll, beforeAll, describe } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
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

const put = (path: string): Promise<unknown> => putFile(pachd, fileOf(repo, 'open', path), 'x')
const makeRepo = (name: string): Promise<unknown> => pachd.pfs.createRepo({ repo: { name } })
const setBranch = (branch: string): Promise<unknown> =>
  pachd.pfs.setBranch({ commit: commitOf(repo, 'master'), branch })
const glob = (pattern: string): Promise<unknown> =>
  pachd.pfs.globFile({ commit: commitOf(repo, 'master'), pattern })

const read = (range: {
  readonly offsetBytes?: bigint
  readonly sizeBytes?: bigint
}): Promise<unknown> => collect(pachd.pfs.getFile({ file: fileOf(repo, 'master', 'a'), ...range }))

async function* once<Item>(item: Item): AsyncGenerator<Item> {
  await Promise.resolve()
  yield item
}

const invalid = { kind: 'invalid-argument' } as const
const missing = { kind: 'not-found', text: 'not found' } as const

describe('names', () => {
  holdTo([
    {
      what: 'a repo without a name',
      call: () => makeRepo(''),
      ...invalid,
      text: 'repo name is needed',
    },
    {
      what: 'a repo with a slash',
      call: () => makeRepo('a/b'),
      ...invalid,
      text: 'only alphanumeric',
    },
    {
      what: 'a repo with a dot',
      call: () => makeRepo('..'),
      ...invalid,
      text: 'only alphanumeric',
    },
    {
      what: 'a repo with a newline',
      call: () => makeRepo('a\n'),
      ...invalid,
      text: 'only alphanumeric',
    },
    { what: 'a repo with NUL', call: () => makeRepo('a\0'), ...invalid, text: 'only alphanumeric' },
    {
      what: 'a repo beyond ASCII',
      call: () => makeRepo('bücher'),
      ...invalid,
      text: 'repo name (bücher) invalid: only alphanumeric characters, underscores, and dashes are allowed: a-z, A-Z, 0-9, _ and -',
    },
    {
      what: 'a repo of 256 letters',
      call: () => makeRepo('x'.repeat(256)),
      ...invalid,
      text: 'too long',
    },
    {
      what: 'a branch without a name',
      call: () => setBranch(''),
      ...invalid,
      text: 'branch name is needed',
    },
    {
      what: 'a branch as long as an id',
      call: () => setBranch('b'.repeat(32)),
      ...invalid,
      text: 'same length',
    },
    { what: 'a branch with a slash', call: () => setBranch('a/b'), ...invalid, text: 'slashes' },
    {
      what: 'a branch with NUL',
      call: () => setBranch('a\0b'),
      ...invalid,
      text: 'null character',
    },
    {
      what: 'a branch that is very long',
      call: () => setBranch('b'.repeat(300)),
      ...invalid,
      text: 'too long',
    },
    {
      what: 'a new commit on a branch with a slash',
      call: () => pachd.pfs.startCommit({ parent: commitOf(repo, 'master'), branch: 'a/b' }),
      ...invalid,
      text: 'slashes',
    },
  ])
})

describe('paths', () => {
  holdTo([
    { what: 'out of the root', call: () => put('../x'), ...invalid, text: 'leads out of the root' },
    {
      what: 'out of the root, later',
      call: () => put('/d/../../x'),
      ...invalid,
      text: 'leads out',
    },
    {
      what: 'with NUL',
      call: () => put('a\0b'),
      ...invalid,
      text: 'cannot contain null character',
    },
    { what: 'the root', call: () => put('/'), ...invalid, text: 'root' },
    { what: 'no path', call: () => put(''), ...invalid, text: 'root' },
    {
      what: 'a name of 1,025 bytes',
      call: () => put('n'.repeat(1025)),
      ...invalid,
      text: 'too long',
    },
    {
      what: 'a path over 4,096 bytes',
      call: () => put('name/'.repeat(900)),
      ...invalid,
      text: 'too long',
    },
    {
      what: 'a path of a megabyte',
      call: () => put('x'.repeat(1_000_000)),
      ...invalid,
      text: 'too long',
    },
    {
      what: 'reading out of the root',
      call: () => pachd.pfs.inspectFile({ file: fileOf(repo, 'master', '../a') }),
      ...invalid,
      text: 'leads out',
    },
    {
      what: 'deleting out of the root',
      call: () => pachd.pfs.deleteFile({ file: fileOf(repo, 'open', '..') }),
      ...invalid,
      text: 'leads out',
    },
    {
      what: 'comparing out of the root',
      call: () => pachd.pfs.diffFile({ newFile: fileOf(repo, 'master', '../..') }),
      ...invalid,
      text: 'leads out',
    },
    {
      what: 'a bulk upload with one such path',
      call: () =>
        pachd.files.putFiles(
          once({ commit: commitOf(repo, 'open'), parts: [{ path: 'fine' }, { path: '../x' }] }),
        ),
      ...invalid,
      text: 'leads out',
      code: Code.invalidArgument,
    },
  ])
})

describe('what is not there', () => {
  holdTo([
    {
      what: 'a repo',
      call: () => pachd.pfs.inspectRepo({ repo: { name: 'nowhere' } }),
      ...missing,
    },
    {
      what: 'the repo of a commit',
      call: () => pachd.pfs.inspectCommit({ commit: commitOf('nowhere', 'master') }),
      ...missing,
    },
    {
      what: 'a commit',
      call: () => pachd.pfs.inspectCommit({ commit: commitOf(repo, '0'.repeat(32)) }),
      ...missing,
    },
    {
      what: 'a branch to delete',
      call: () => pachd.pfs.deleteBranch({ repo: { name: repo }, branch: 'nobody' }),
      ...missing,
    },
    {
      what: 'a commit to finish',
      call: () => pachd.pfs.finishCommit({ commit: commitOf(repo, 'nobody') }),
      ...missing,
    },
    {
      what: 'a commit of another repo',
      call: () => pachd.pfs.listFile({ file: fileOf('nowhere', stage.finished, '/') }),
      ...missing,
    },
    {
      what: 'a commit to glob in',
      call: () => pachd.pfs.globFile({ commit: commitOf(repo, 'nobody'), pattern: '*' }),
      ...missing,
    },
    {
      what: 'a commit to compare with',
      call: () =>
        pachd.pfs.diffFile({
          newFile: fileOf(repo, 'master', '/'),
          oldFile: fileOf(repo, 'nobody', '/'),
        }),
      ...missing,
    },
    {
      what: 'a directory',
      call: () => pachd.pfs.listFile({ file: fileOf(repo, 'master', '/none') }),
      kind: 'not-found',
      text: 'no node at "/none"',
    },
    {
      what: 'for our own calls, with a code of its own',
      call: () => collect(pachd.files.listFiles({ file: fileOf(repo, 'nobody', '/') })),
      ...missing,
      code: Code.notFound,
    },
  ])
})

describe('writes to a finished commit', () => {
  const state = { kind: 'failed-precondition' } as const
  holdTo([
    {
      what: 'put',
      call: () => putFile(pachd, fileOf(repo, stage.finished, 'x'), 'x'),
      ...state,
      text: 'is not open',
    },
    {
      what: 'delete',
      call: () => pachd.pfs.deleteFile({ file: fileOf(repo, stage.finished, 'a') }),
      ...state,
      text: 'has already finished',
    },
    {
      what: 'bulk upload',
      call: () =>
        pachd.files.putFiles(
          once({ commit: commitOf(repo, stage.finished), parts: [{ path: 'x' }] }),
        ),
      ...state,
      text: 'is not open',
      code: Code.failedPrecondition,
    },
    {
      what: 'finish',
      call: () => pachd.pfs.finishCommit({ commit: commitOf(repo, stage.finished) }),
      ...state,
      text: /already (been )?finished/,
    },
  ])
})

describe('numbers and patterns', () => {
  holdTo([
    {
      what: 'a negative offset',
      call: () => read({ offsetBytes: -1n }),
      ...invalid,
      text: 'offset_bytes',
    },
    {
      what: 'a negative size',
      call: () => read({ sizeBytes: -5n }),
      ...invalid,
      text: 'size_bytes',
    },
    {
      what: 'an absurd offset',
      call: () => read({ offsetBytes: 2n ** 62n }),
      ...invalid,
      text: 'offset_bytes',
    },
    {
      what: 'an absurd number of commits',
      call: () => pachd.pfs.listCommit({ repo: { name: repo }, number: 2n ** 63n }),
      ...invalid,
      text: 'number',
    },
    {
      what: 'a class without an end',
      call: () => glob('/['),
      ...invalid,
      text: 'glob "/[" is malformed',
    },
    { what: 'a backslash at the end', call: () => glob('a\\'), ...invalid, text: 'is malformed' },
    {
      what: 'a malformed part that nothing reaches',
      call: () => glob('/none/['),
      ...invalid,
      text: 'malformed',
    },
  ])
})
