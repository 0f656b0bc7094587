import { createHash } from 'node:crypto'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concatBytes, hexText, utf8Text } from '../../src/base/bytes.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import type { GetFilesPart, GetFilesRequest, GetFilesResponse } from '../../src/gen/pachyderm_pb.ts'
import { type CommitSchema, FileType } from '../../src/gen/pfs_pb.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { failed, freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

type Request = Partial<
  Pick<GetFilesRequest, 'paths' | 'pattern' | 'recursive' | 'withoutContent'>
> & { readonly commit?: MessageInitShape<typeof CommitSchema> }

const mib = 1024 * 1024
const large = seededBytes(1, 5_000_000)
const medium = seededBytes(2, 2 * mib)

let pachd: TestPachd
let repo: string
let id: string
beforeAll(async () => {
  pachd = await TestPachd.start()
  repo = await freshRepo(pachd)
  const branch = { repo, branch: 'master' }
  await commitFiles(pachd, branch, { a: 'hello', 'd/f': 'in d', 'd/e/deep': '' })
  const { id: open } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  await putFile(pachd, fileOf(repo, open, 'l/large'), [large])
  await putFile(pachd, fileOf(repo, open, 'l/medium'), [medium])
  await pachd.pfs.finishCommit({ commit: commitOf(repo, open) })
  id = open
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

async function get(request: Request): Promise<readonly GetFilesResponse[]> {
  return collect(pachd.files.getFiles({ commit: commitOf(repo, 'master'), ...request }))
}

/** The parts of each file, joined. */
function joined(messages: readonly GetFilesResponse[]): readonly (Pick<
  GetFilesPart,
  'path' | 'fileType' | 'sizeBytes' | 'hash'
> & {
  readonly content: Uint8Array
})[] {
  const all = messages.flatMap(({ parts }) => parts)
  const files: { first: GetFilesPart; values: Uint8Array[] }[] = []
  let goesOn = false
  for (const part of all) {
    const first = goesOn ? files.at(-1)?.first : part
    if (!goesOn) files.push({ first: part, values: [] })
    const { path, fileType, sizeBytes } = first ?? part
    expect(part).toMatchObject(
      goesOn ? { path, fileType: 0, sizeBytes: 0n } : { path, fileType, sizeBytes },
    )
    files.at(-1)?.values.push(part.value)
    goesOn = part.more
  }
  expect(goesOn).toBe(false)
  return files.map(({ first, values }) => ({ ...first, content: concatBytes(values) }))
}

describe('GetFiles', () => {
  test('gives a whole commit, with the commit’s id in the first message only', async () => {
    const messages = await get({ paths: ['/'], recursive: true })
    expect(messages.map(({ commit }) => commit?.id)).toEqual([
      id,
      ...messages.slice(1).map(() => undefined),
    ])
    const files = joined(messages)
    expect(files.map(({ path, fileType }) => [path, fileType])).toEqual([
      ['', FileType.DIR],
      ['/a', FileType.FILE],
      ['/d', FileType.DIR],
      ['/d/e', FileType.DIR],
      ['/d/e/deep', FileType.FILE],
      ['/d/f', FileType.FILE],
      ['/l', FileType.DIR],
      ['/l/large', FileType.FILE],
      ['/l/medium', FileType.FILE],
    ])
    const contents = new Map(files.map(({ path, content }) => [path, content]))
    expect(utf8Text(contents.get('/a') ?? new Uint8Array())).toBe('hello')
    expect(Buffer.compare(contents.get('/l/large') ?? new Uint8Array(), large)).toBe(0)
    expect(Buffer.compare(contents.get('/l/medium') ?? new Uint8Array(), medium)).toBe(0)
    expect(files[0]).toMatchObject({ sizeBytes: BigInt(9 + large.length + medium.length) })
    expect(messages[0]?.parts[0]?.fileCount).toBe(5n)
  })

  test('says sizes and hashes as InspectFile does, with and without contents', async () => {
    const paths = ['a', 'd', 'l/large']
    const told = joined(await get({ paths, withoutContent: true }))
    expect(told.map(({ content }) => content.length)).toEqual([0, 0, 0])
    const whole = joined(await get({ paths }))
    for (const [index, path] of paths.entries()) {
      const info = await pachd.pfs.inspectFile({ file: fileOf(repo, 'master', path) })
      for (const file of [told[index], whole[index]]) {
        expect(file?.sizeBytes).toBe(info.sizeBytes)
        expect(hexText(file?.hash ?? new Uint8Array())).toBe(hexText(info.hash))
      }
    }
  })

  test('gives what matches a pattern', async () => {
    const files = joined(await get({ pattern: '/d/*' }))
    expect(files.map(({ path }) => path)).toEqual(['/d/e', '/d/f'])
    const all = joined(await get({ pattern: '/d/*', recursive: true }))
    expect(all.map(({ path }) => path)).toEqual(['/d/e', '/d/e/deep', '/d/f'])
    const [nothing] = await get({ pattern: '/none*' })
    expect(nothing).toMatchObject({ commit: { id }, parts: [] })
  })

  test('reads an open commit as it is', async () => {
    const fork = { parent: commitOf(repo, 'master'), branch: 'open' }
    await pachd.pfs.startCommit(fork)
    await putFile(pachd, fileOf(repo, 'open', 'new'), 'fresh')
    const [file] = joined(await get({ commit: commitOf(repo, 'open'), paths: ['new'] }))
    expect(utf8Text(file?.content ?? new Uint8Array())).toBe('fresh')
  })

  test('no message is larger than 1 MiB', async () => {
    const { transport } = pachd
    const { encodeGetFilesRequest } = await import('../../src/base/download-messages.ts')
    const [request] = encodeGetFilesRequest({
      commit: { repo, id: 'master' },
      paths: [''],
      recursive: true,
    })
    const sizes: number[] = []
    for await (const message of transport.serverStream(
      '/pachyderm.Files/GetFiles',
      request ?? new Uint8Array(),
    )) {
      sizes.push(message.sizeBytes)
    }
    expect(Math.max(...sizes)).toBeLessThanOrEqual(mib)
    expect(sizes.length).toBeGreaterThan(6)
  })

  test.each([
    [{}, Code.invalidArgument, 'neither paths nor pattern'],
    [{ paths: ['a'], pattern: '*' }, Code.invalidArgument, 'cannot both be given'],
    [{ paths: ['../a'] }, Code.invalidArgument, 'leads out of the root'],
    [{ pattern: '[' }, Code.invalidArgument, 'is malformed'],
    [{ paths: ['a', 'none'] }, Code.notFound, 'file /none not found'],
    [{ commit: {}, paths: ['a'] }, Code.invalidArgument, 'a repo name is needed'],
    [{ commit: commitOf('none', 'x'), paths: ['a'] }, Code.notFound, 'not found'],
  ] as const)('%j is refused', async (request, code, text) => {
    const kind = code === Code.notFound ? 'not-found' : 'invalid-argument'
    await expect(get(request as unknown as Request)).rejects.toEqual(failed(code, kind, text))
  })

  test('more paths than one call may name are refused', async () => {
    const paths = Array.from({ length: 10_001 }, () => 'a')
    await expect(get({ paths })).rejects.toThrow(
      'pachyderm.GetFilesRequest.paths is there 10001 times, and at most 10000 are allowed',
    )
  })
})

async function chunksOf(path: string) {
  const batches = await collect(pachd.files.listChunks({ file: fileOf(repo, 'master', path) }))
  return batches.flatMap(({ chunks }) => chunks)
}

describe('ListChunks', () => {
  test('tells the SHA-256 of each run of bytes', async () => {
    const chunks = await chunksOf('l/large')
    let at = 0
    for (const { hash, sizeBytes } of chunks) {
      const bytes = large.subarray(at, at + Number(sizeBytes))
      expect(hexText(hash)).toBe(createHash('sha256').update(bytes).digest('hex'))
      at += bytes.length
    }
    expect([at, chunks.length > 1]).toEqual([large.length, true])
  })

  test('of a small file it is one, with the file’s own hash; of an empty one none', async () => {
    const [only] = await chunksOf('a')
    const { hash } = await pachd.pfs.inspectFile({ file: fileOf(repo, 'master', 'a') })
    expect(hexText(only?.hash ?? new Uint8Array())).toBe(hexText(hash))
    expect(await chunksOf('d/e/deep')).toEqual([])
  })

  test('a directory has none, and a missing file neither', async () => {
    await expect(chunksOf('d')).rejects.toEqual(
      failed(Code.failedPrecondition, 'failed-precondition', '/d is a directory'),
    )
    await expect(chunksOf('none')).rejects.toEqual(failed(Code.notFound, 'not-found', 'not found'))
  })
})
