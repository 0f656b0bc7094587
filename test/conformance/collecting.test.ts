import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import type { CollectionReport } from '../../src/gen/pachyderm_pb.ts'
import { DatumState } from '../../src/gen/pps_pb.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { failed, freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText } from '../harness/files.ts'
import { atomOf, flush, freshPipeline } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeEach(async () => {
  pachd = await TestPachd.start()
})
afterEach(async () => {
  await pachd[Symbol.asyncDispose]()
})

/** Text that no packer makes smaller. */
function noise(seed: number, size: number): string {
  return Buffer.from(seededBytes(seed, size)).toString('base64')
}

async function collectGarbage(dryRun = false): Promise<CollectionReport> {
  const messages = await collect(pachd.admin.collectGarbage({ dryRun }))
  const last = messages.at(-1)?.message
  if (last?.case !== 'report') throw new Error('the last message is the report')
  return last.value
}

/** Bytes of all packs on the disk. */
async function packBytes(): Promise<number> {
  const directory = join(pachd.root, 'objects', 'packs')
  let bytes = 0
  for (const entry of await readdir(directory, { recursive: true })) {
    const found = await stat(join(directory, entry))
    if (found.isFile()) bytes += found.size
  }
  return bytes
}

async function putObject(text: string, tags: readonly string[] = []): Promise<string> {
  async function* requests() {
    await Promise.resolve()
    yield { value: Buffer.from(text), tags: tags.map((name) => ({ name })) }
  }
  return (await pachd.objects.putObject(requests())).hash
}

test('what a deleted repo has left is freed on the disk, and another repo is as it was', async () => {
  const [kept, gone] = [await freshRepo(pachd), await freshRepo(pachd)]
  const both = noise(1, 100_000)
  await commitFiles(pachd, { repo: kept, branch: 'master' }, { a: both, b: 'small' })
  await commitFiles(pachd, { repo: gone, branch: 'master' }, { a: both, c: noise(2, 300_000) })
  await pachd.pfs.deleteRepo({ repo: { name: gone } })
  const before = await packBytes()

  const rehearsed = await collectGarbage(true)
  expect(rehearsed.dryRun).toBe(true)
  expect(rehearsed.bytesBefore - rehearsed.bytesAfter).toBeGreaterThan(300_000n)
  expect(await packBytes()).toBe(before)

  const report = await collectGarbage()
  expect(report.bytesAfter).toBe(rehearsed.bytesAfter)
  expect(await packBytes()).toBe(Number(report.bytesAfter))
  expect((await getText(pachd, fileOf(kept, 'master', 'a'))) === both).toBe(true)
  expect(await getText(pachd, fileOf(kept, 'master', 'b'))).toBe('small')
  expect(await collectGarbage()).toMatchObject({ bytesAfter: report.bytesAfter })
})

test('what open commits hold stays, and a commit can be finished afterwards', async () => {
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  const text = noise(1, 200_000)
  async function* requests() {
    await Promise.resolve()
    yield { commit: commitOf(repo, id), parts: [{ path: 'a', value: Buffer.from(text) }] }
  }
  await pachd.files.putFiles(requests())
  await collectGarbage()
  await pachd.pps.garbageCollect({})
  await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  expect((await getText(pachd, fileOf(repo, id, 'a'))) === text).toBe(true)
})

test('results of a pipeline stay until it is deleted', async () => {
  const repo = await freshRepo(pachd)
  const first = await commitFiles(pachd, { repo, branch: 'master' }, { a: noise(1, 60_000) })
  const code = 'for f in "$PFS"/*/*; do rev "$f" > "$PFS/out/$(basename "$f")"; done'
  const pipeline = await freshPipeline(
    pachd,
    { cmd: ['sh', '-e'], stdin: [`PFS="\${PFS:-/pfs}"`, code] },
    atomOf(repo, '/*'),
  )
  await flush(pachd, repo, first)
  expect(await collectGarbage()).toMatchObject({ resultsRemoved: 0n })
  const second = await commitFiles(pachd, { repo, branch: 'master' }, { b: 'abc\n' })
  await flush(pachd, repo, second)
  const { jobInfo } = await pachd.pps.listJob({})
  expect(jobInfo.map(({ dataProcessed, dataSkipped }) => [dataProcessed, dataSkipped])).toEqual([
    [1n, 1n],
    [1n, 0n],
  ])
  await pachd.pps.deletePipeline({ pipeline: { name: pipeline }, deleteRepo: true })
  expect(await collectGarbage()).toMatchObject({ resultsRemoved: 2n })
  const [job] = jobInfo
  const { datumInfo } = await pachd.pps.listDatum({ job: { id: job?.job?.id ?? '' } })
  expect(datumInfo.map(({ state }) => state)).toEqual([DatumState.SKIPPED, DatumState.SUCCESS])
})

test('objects go by their tags; for a client of 1.5, by its rules', async () => {
  const repo = await freshRepo(pachd)
  const [inline, chunk] = ['in a file', noise(1, 5000)]
  await commitFiles(pachd, { repo, branch: 'master' }, { inline, chunk })
  const tagged = await putObject(noise(2, 5000), ['mine'])
  const young = await putObject(noise(3, 5000))
  const small = await putObject('in no file')
  const inFiles = [await putObject(inline), await putObject(chunk)]
  const listed = async (): Promise<readonly string[]> =>
    (await collect(pachd.objects.listObjects({}))).map(({ hash }) => hash)
  const all = [tagged, young, small, ...inFiles].toSorted()
  expect(await listed()).toEqual(all)
  await collectGarbage()
  expect(await listed()).toEqual(all)

  await pachd.pps.garbageCollect({})
  expect(await listed()).toEqual(inFiles.toSorted())
  expect(await collect(pachd.objects.listTags({}))).toEqual([])
  expect((await getText(pachd, fileOf(repo, 'master', 'chunk'))) === chunk).toBe(true)
  await pachd.pfs.deleteRepo({ repo: { name: repo } })
  await pachd.pps.garbageCollect({})
  expect(await listed()).toEqual([])
  expect(await packBytes()).toBe(0)
})

test('one collection runs at a time', async () => {
  const repo = await freshRepo(pachd)
  const files: Record<string, string> = {}
  for (let index = 0; index < 300; index += 1) files[`f${index}`] = noise(index, 300)
  await commitFiles(pachd, { repo, branch: 'master' }, files)
  const [first, second] = await Promise.allSettled([collectGarbage(), collectGarbage()])
  const refusal = failed(Code.failedPrecondition, 'failed-precondition', /one runs at a time/)
  expect(first.status).toBe('fulfilled')
  expect(second).toMatchObject({ status: 'rejected', reason: refusal })
  await collectGarbage()
})

test('small packs are joined when asked, and nothing else changes', async () => {
  const { objects } = pachd
  const hashes: string[] = []
  for (let index = 0; index < 12; index += 1) hashes.push(await putObject(noise(index, 1000)))
  const count = async (): Promise<number> => {
    const names = await readdir(join(pachd.root, 'objects', 'packs'), { recursive: true })
    return names.filter((name) => name.length > 60).length
  }
  expect(await count()).toBe(12)
  await objects.compact({})
  expect(await count()).toBe(1)
  for (const hash of hashes) {
    expect((await objects.checkObject({ object: { hash } })).exists).toBe(true)
    expect((await collect(objects.getObject({ hash }))).length).toBeGreaterThan(0)
  }
})

test('whoever has packs joined is told of which, and nothing else changes', async () => {
  const repo = await freshRepo(pachd)
  const files = { a: noise(1, 100_000), b: noise(2, 100_000), c: noise(3, 100_000) }
  for (const [name, text] of Object.entries(files)) {
    await commitFiles(pachd, { repo, branch: 'master' }, { [name]: text })
  }
  const joined = await pachd.admin.compact({})
  expect(joined).toMatchObject({ packsWritten: 1n, packs: 1n })
  expect(joined.packsJoined).toBeGreaterThanOrEqual(3n)
  expect(joined.bytesJoined).toBeGreaterThan(300_000n)
  expect(joined.bytesWritten).toBe(BigInt(await packBytes()))
  expect(await pachd.admin.compact({})).toMatchObject({ packsJoined: 0n, packs: 1n })

  await commitFiles(pachd, { repo, branch: 'master' }, { d: noise(4, 100_000) })
  await pachd.objects.compact({})
  expect(await pachd.admin.compact({})).toMatchObject({ packsJoined: 0n, packs: 1n })
  for (const [name, text] of Object.entries(files)) {
    expect(await getText(pachd, fileOf(repo, 'master', name))).toBe(text)
  }
})
