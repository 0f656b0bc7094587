import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { Delimiter } from '../../src/gen/pfs_pb.ts'
import { peersHere } from '../harness/child-program.ts'
import { failed, freshRepo } from '../harness/expectations.ts'
import { type FarSource, ownSource, recordedSource, webSources } from '../harness/far-sources.ts'
import { collect, commitOf, fileOf, getText } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const lines = Array.from({ length: 3000 }, (_, index) => `row ${index}`)
const texts: Readonly<Record<string, string>> = {
  line: lines.join('\n'),
  json: lines.map((line) => JSON.stringify({ line })).join(' \n'),
  csv: `name,line\n${lines.map((line) => `"a\nb",${line}\n`).join('')}`,
  sql: `CREATE TABLE t (a text);\nCOPY t (a) FROM stdin;\n${lines.join('\n')}\n\\.\n\nSELECT 1;\n`,
  malformed: '{"a": 1}\n{"a" 2}\n',
}
const files = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, utf8(text)]))
const splits = {
  line: { delimiter: Delimiter.LINE, targetFileBytes: 4000n },
  json: { delimiter: Delimiter.JSON, targetFileDatums: 700n },
  csv: { delimiter: Delimiter.CSV, targetFileDatums: 700n, headerRecords: 1n, footerRecords: 1n },
  sql: { delimiter: Delimiter.SQL, targetFileDatums: 700n },
} as const
const kinds = Object.keys(splits) as readonly (keyof typeof splits)[]

/** The pieces at a path, by name. */
async function piecesAt(pachd: TestPachd, repo: string, path: string) {
  const pieces: Record<string, string> = {}
  const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, 'master', path) })
  for (const { file } of fileInfo) {
    const name = file?.path ?? ''
    pieces[name.slice(name.lastIndexOf('/'))] = await getText(pachd, fileOf(repo, 'master', name))
  }
  return pieces
}

async function openRepo(pachd: TestPachd): Promise<string> {
  const repo = await freshRepo(pachd)
  await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  return repo
}

const peers = { ...webSources, 'a server like this': ownSource }

describe.each(peersHere(peers))('from %s', (_name, { open }) => {
  let source: FarSource
  let pachd: TestPachd
  let origin: string

  beforeAll(async () => {
    source = await open(files)
    origin = `http://localhost:${source.port}`
    pachd = await TestPachd.start({ clouds: source.clouds(origin) })
  })

  afterAll(async () => {
    await pachd[Symbol.asyncDispose]()
    await source[Symbol.asyncDispose]()
  })

  test.each(kinds)('a file is split by %s as one that is sent is', async (kind) => {
    const repo = await openRepo(pachd)
    const split = splits[kind]
    async function* sent() {
      const commit = commitOf(repo, 'master')
      yield { commit, split, parts: [{ path: 'sent', value: files[kind] ?? utf8('') }] }
    }
    await pachd.files.putFiles(sent())
    const sources = [{ url: source.url(origin, kind), path: 'fetched' }]
    await collect(pachd.files.putSources({ commit: commitOf(repo, 'master'), sources, split }))
    const pieces = await piecesAt(pachd, repo, 'fetched')
    expect(Object.keys(pieces).length).toBeGreaterThanOrEqual(5)
    expect(pieces).toEqual(await piecesAt(pachd, repo, 'sent'))
  })

  test('malformed input says where, and records nothing', async () => {
    const repo = await openRepo(pachd)
    const sources = ['json', 'malformed'].map((name) => ({
      url: source.url(origin, name),
      path: name,
    }))
    const request = { commit: commitOf(repo, 'master'), sources, split: splits.json }
    await expect(collect(pachd.files.putSources(request))).rejects.toEqual(
      failed(
        Code.invalidArgument,
        'invalid-argument',
        '"/malformed": at byte 15, line 2: a colon is missing',
      ),
    )
    expect(await piecesAt(pachd, repo, '/')).toEqual({})
  })
})

test.each(['1.3.18', '1.3.19'] as const)(
  'files of the recorded server %s are split, of which 1.4.8 left them whole without a word',
  async (version) => {
    await using source = await recordedSource(version).open({})
    await using pachd = await TestPachd.start()
    const repo = await openRepo(pachd)
    const url = source.url(`http://127.0.0.1:${source.port}`, 'top.txt')
    const request = { commit: commitOf(repo, 'master'), sources: [{ url, path: 'x' }] }
    await collect(pachd.files.putSources(request))
    const whole = await getText(pachd, fileOf(repo, 'master', 'x'))
    const split = { delimiter: Delimiter.LINE }
    await collect(pachd.files.putSources({ ...request, overwrite: true, split }))
    const pieces = Object.values(await piecesAt(pachd, repo, 'x'))
    expect(pieces).toEqual(whole.match(/.*\n/g))
    expect(pieces).toHaveLength(2)
  },
)
