import type { MessageInitShape } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import type { SplitSchema } from '../../src/gen/pachyderm_pb.ts'
import { Delimiter } from '../../src/gen/pfs_pb.ts'
import { failed, freshRepo, refused } from '../harness/expectations.ts'
import {
  collect,
  commitFiles,
  commitOf,
  fileOf,
  getPieces,
  getText,
  putFile,
  type PutFileOptions,
} from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

type SplitInit = MessageInitShape<typeof SplitSchema>

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

interface OpenCommit {
  readonly repo: string
  readonly id: string
}

async function openCommit(): Promise<OpenCommit> {
  const repo = await freshRepo(pachd)
  return { repo, id: await startCommit(repo) }
}

async function startCommit(repo: string): Promise<string> {
  return (await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })).id
}

async function finish({ repo, id }: OpenCommit): Promise<void> {
  await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
}

/** What is in a directory: name → text. */
async function filesIn(repo: string, path: string): Promise<Readonly<Record<string, string>>> {
  const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, 'master', path) })
  const texts: Record<string, string> = {}
  for (const { file } of fileInfo) {
    const name = file?.path.split('/').at(-1) ?? ''
    texts[name] = await getText(pachd, fileOf(repo, 'master', `${path}/${name}`))
  }
  return texts
}

const name = (number: number): string => number.toString(16).padStart(16, '0')

function pieces(texts: readonly string[], first = 0): Readonly<Record<string, string>> {
  return Object.fromEntries(texts.map((text, at) => [name(first + at), text]))
}

const { JSON: json, LINE: line, SQL: sql, CSV: csv } = Delimiter

const dump = {
  header: 'CREATE TABLE t (a int);\n\nCOPY t (a) FROM stdin;\n',
  footer: '\\.\n\n-- complete\n',
}

const splits: readonly (readonly [
  what: string,
  fields: PutFileOptions,
  text: string,
  expected: readonly string[],
])[] = [
  ['lines', { delimiter: line }, 'a\n\nb', ['a\n', '\n', 'b']],
  ['lines, two a file', { delimiter: line, targetFileDatums: 2n }, 'a\nb\nc\n', ['a\nb\n', 'c\n']],
  [
    'lines, at least 4 bytes a file',
    { delimiter: line, targetFileBytes: 4n },
    'a\nb\nlong\nc\n',
    ['a\nb\n', 'long\n', 'c\n'],
  ],
  [
    'lines, whichever comes first',
    { delimiter: line, targetFileBytes: 4n, targetFileDatums: 3n },
    'long\n\n\n\nend',
    ['long\n', '\n\n\n', 'end'],
  ],
  [
    'JSON values of any kind, without the space around them',
    { delimiter: json },
    ' {"a": [1, "}"]}\n\n[]2.5 "x\\"y" null{}',
    ['{"a": [1, "}"]}', '[]', '2.5', '"x\\"y"', 'null', '{}'],
  ],
  [
    'JSON values in groups, with nothing between',
    { delimiter: json, targetFileDatums: 2n },
    '{"a": 1}\n{"a": 2}\n{"a": 3}\n',
    ['{"a": 1}{"a": 2}', '{"a": 3}'],
  ],
  [
    'CSV with its header in every file',
    { delimiter: csv, headerRecords: 1n, targetFileDatums: 2n },
    'id,text\r\n1,"two\r\nlines"\r\n2,"a ""word"""\r\n3,c\r\n',
    ['id,text\r\n1,"two\r\nlines"\r\n2,"a ""word"""\r\n', 'id,text\r\n3,c\r\n'],
  ],
  [
    'CSV with header and footer',
    { delimiter: csv, headerRecords: 1n, footerRecords: 1n },
    'id\n1\n2\ntotal 2\n',
    ['id\n1\ntotal 2\n', 'id\n2\ntotal 2\n'],
  ],
  [
    'a dump, each file one by itself',
    { delimiter: sql, targetFileDatums: 2n },
    `${dump.header}1\n2\n3\n${dump.footer}`,
    [`${dump.header}1\n2\n${dump.footer}`, `${dump.header}3\n${dump.footer}`],
  ],
]

describe('PutFile with a delimiter', () => {
  test.each(splits)('splits %s', async (_, fields, text, expected) => {
    const commit = await openCommit()
    const { repo, id } = commit
    // Byte by byte, so that no place depends on how the messages are cut.
    const bytes = Buffer.from(text)
    const values = Array.from(bytes, (__, at) => bytes.subarray(at, at + 1))
    await putFile(pachd, fileOf(repo, id, 'd/in'), values, fields)
    await putFile(pachd, fileOf(repo, id, 'whole'), text, fields)
    await finish(commit)
    expect(await filesIn(repo, 'd/in')).toEqual(pieces(expected))
    expect(await filesIn(repo, 'whole')).toEqual(pieces(expected))
  })

  test('goes on numbering behind the last name, also of the parent, and begins anew with overwrite', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { 'log/000000000000000f': 'old' })
    const commit = { repo, id: await startCommit(repo) }
    const log = fileOf(repo, 'master', 'log')
    await putFile(pachd, log, 'a\n', { delimiter: line })
    await putFile(pachd, log, 'b\n', { delimiter: line })
    const kept = { [name(15)]: 'old', ...pieces(['a\n', 'b\n'], 16) }
    expect(await filesIn(repo, 'log')).toEqual(kept)
    await finish(commit)
    expect(await filesIn(repo, 'log')).toEqual(kept)
    const next = { repo, id: await startCommit(repo) }
    await putFile(pachd, log, 'c\n', { delimiter: line, overwrite: true })
    await finish(next)
    expect(await filesIn(repo, 'log')).toEqual(pieces(['c\n']))
  })

  test('of nothing records nothing', async () => {
    const { repo, id } = await openCommit()
    for (const delimiter of [line, json, csv, sql]) {
      await putFile(pachd, fileOf(repo, id, 'empty'), '', { delimiter, headerRecords: 0n })
    }
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, id, '/') })
    expect(fileInfo).toEqual([])
  })

  test('is refused where its files have no place, in the words of 1.5', async () => {
    const commit = await openCommit()
    const { repo, id } = commit
    await putFile(pachd, fileOf(repo, id, 'f'), 'x')
    await putFile(pachd, fileOf(repo, id, 'd/name'), 'x')
    for (const [path, text] of [
      ['f', 'the file at "/f" is not a directory'],
      ['d', 'error parsing filename name as int'],
      ['f/below', 'attempted to visit "/f", which is not a directory'],
    ] as const) {
      const split = putFile(pachd, fileOf(repo, id, path), 'a\n', { delimiter: line })
      await expect(split).rejects.toEqual(refused('failed-precondition', text))
    }
    await finish(commit)
    expect(await filesIn(repo, 'd')).toEqual({ name: 'x' })
  })

  test.each([
    ['a delimiter that nobody knows', { delimiter: 9 as Delimiter }, 'unrecognized delimiter 9'],
    [
      'a target below 0',
      { delimiter: line, targetFileBytes: -1n },
      'target_file_bytes cannot be -1',
    ],
    ['a header of a dump', { delimiter: sql, headerRecords: 1n }, 'an SQL dump says itself'],
    ['a footer of JSON', { delimiter: json, footerRecords: 1n }, 'JSON has no footer records'],
    ['a huge header', { delimiter: csv, headerRecords: 1n << 40n }, 'too many for a header'],
  ] as const)('refuses %s', async (_, fields, text) => {
    const { repo, id } = await openCommit()
    const split = putFile(pachd, fileOf(repo, id, 'in'), 'a\n', fields)
    await expect(split).rejects.toEqual(refused('invalid-argument', text))
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, id, '/') })
    expect(fileInfo).toEqual([])
  })

  test('says where the input is malformed, and leaves the commit as it was', async () => {
    const commit = await openCommit()
    const { repo, id } = commit
    await putFile(pachd, fileOf(repo, id, 'log'), 'a\n', { delimiter: line })
    const many = '{"a": 1}\n'.repeat(50_000)
    const split = putFile(pachd, fileOf(repo, id, 'log'), `${many}{"a" 1}`, { delimiter: json })
    await expect(split).rejects.toEqual(
      refused(
        'invalid-argument',
        'cannot split what is put at "/log": at byte 450006, line 50001: a colon is missing',
      ),
    )
    await finish(commit)
    expect(await filesIn(repo, 'log')).toEqual(pieces(['a\n']))
  })

  test('makes more files of one put than 1.5 could, and large ones', async () => {
    const commit = await openCommit()
    const { repo, id } = commit
    const count = 13_000
    const lines = Array.from({ length: count }, (_, at) => `line ${at}\n`)
    await putFile(pachd, fileOf(repo, id, 'many'), lines.join(''), { delimiter: line })
    const large = Buffer.alloc(7_000_000, 'so it is ')
    for (let at = 2_999_999; at < large.length; at += 3_000_000) large[at] = 10
    await putFile(pachd, fileOf(repo, id, 'large'), [large], { delimiter: line })
    await finish(commit)
    const { sizeBytes } = await pachd.pfs.inspectFile({ file: fileOf(repo, id, 'large') })
    expect(sizeBytes).toBe(7_000_000n)
    const middle = await getPieces(pachd, fileOf(repo, id, `large/${name(1)}`))
    expect(Buffer.compare(Buffer.concat(middle), large.subarray(3_000_000, 6_000_000))).toBe(0)
    const batches = await collect(pachd.files.listFiles({ file: fileOf(repo, id, 'many') }))
    const names = batches.flatMap(({ fileInfo }) => fileInfo.map(({ file }) => file?.path))
    expect(names).toEqual(lines.map((_, at) => `many/${name(at)}`))
    expect(await getText(pachd, fileOf(repo, id, `many/${name(count - 1)}`))).toBe(lines.at(-1))
  })
})

/** Puts all files in one call, each in two parts. */
async function putSplit(
  { repo, id }: OpenCommit,
  split: SplitInit,
  files: readonly (readonly [path: string, text: string, overwrite?: boolean])[],
): Promise<{ readonly files: bigint; readonly bytes: bigint }> {
  async function* requests() {
    await Promise.resolve()
    yield { commit: commitOf(repo, id), split }
    for (const [path, text, overwrite = false] of files) {
      const bytes = Buffer.from(text)
      const middle = bytes.length >> 1
      const first = { path, value: bytes.subarray(0, middle), more: true, overwrite }
      yield { parts: [first] }
      yield { parts: [{ path, value: bytes.subarray(middle) }] }
    }
  }
  return await pachd.files.putFiles(requests())
}

describe('PutFiles with a split', () => {
  test('splits every file, each into a directory of its own, with one acknowledgement', async () => {
    const commit = await openCommit()
    const { repo } = commit
    const split = { delimiter: csv, headerRecords: 1n, targetFileDatums: 1n }
    const result = await putSplit(commit, split, [
      ['b/two.csv', 'h\n1\n2\n'],
      ['a.csv', 'k\n3\n'],
      ['empty.csv', ''],
      ['b/two.csv', 'h\n4\n'],
    ])
    expect(result).toMatchObject({ files: 4n, bytes: 16n })
    await finish(commit)
    expect(await filesIn(repo, 'a.csv')).toEqual(pieces(['k\n3\n']))
    expect(await filesIn(repo, 'b/two.csv')).toEqual(pieces(['h\n1\n', 'h\n2\n', 'h\n4\n']))
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, 'master', '/') })
    expect(fileInfo.map(({ file }) => file?.path)).toEqual(['/a.csv', '/b'])
  })

  test('all or none: one that is malformed or has no place takes back the others', async () => {
    const commit = await openCommit()
    const { repo, id } = commit
    await putFile(pachd, fileOf(repo, id, 'f'), 'x')
    const malformed = putSplit(commit, { delimiter: json }, [
      ['good', '{}'],
      ['bad', '{"a": 1}\n{'],
    ])
    await expect(malformed).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'put at "/bad": at byte 10, line 2: '),
    )
    const placeless = putSplit(commit, { delimiter: json }, [
      ['good', '{}'],
      ['f', '{}'],
    ])
    await expect(placeless).rejects.toEqual(
      failed(Code.failedPrecondition, 'failed-precondition', 'the file at "/f" is not a directory'),
    )
    await finish(commit)
    expect(await filesIn(repo, '/')).toEqual({ f: 'x' })
  })

  test('overwrites each path for itself', async () => {
    const commit = await openCommit()
    const { repo } = commit
    const split = { delimiter: line }
    await putSplit(commit, split, [
      ['a', '1\n2\n'],
      ['b', '1\n2\n'],
    ])
    await putSplit(commit, split, [
      ['a', '3\n', true],
      ['b', '3\n'],
    ])
    expect(await filesIn(repo, 'a')).toEqual(pieces(['3\n']))
    expect(await filesIn(repo, 'b')).toEqual(pieces(['1\n', '2\n', '3\n']))
  })

  test('without a delimiter it is as if there were no split', async () => {
    const commit = await openCommit()
    const { repo } = commit
    await putSplit(commit, { delimiter: Delimiter.NONE, targetFileDatums: 1n }, [['a', '1\n2\n']])
    expect(await filesIn(repo, '/')).toEqual({ a: '1\n2\n' })
  })
})
