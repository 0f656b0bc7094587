import { randomBytes } from 'node:crypto'
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type CheckCounts,
  type CheckFinding,
  CheckRepair,
  CheckSeverity,
} from '../../src/gen/pachyderm_pb.ts'
import { freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, lastJobOf } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd

beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

async function check(
  server: TestPachd,
  options: { readonly full?: boolean; readonly fix?: boolean } = {},
): Promise<{ readonly findings: readonly CheckFinding[]; readonly counts: CheckCounts }> {
  const findings: CheckFinding[] = []
  for await (const { event } of server.admin.check(options)) {
    if (event.case === 'finding') findings.push(event.value)
    if (event.case === 'end') return { findings, counts: event.value }
  }
  throw new Error('the check has no end')
}

test('an empty server has no damage', async () => {
  const { findings, counts } = await check(pachd, { full: true })
  expect(findings).toEqual([])
  expect(counts.errors).toBe(0n)
})

test('beside writers and collections, checks find nothing, and the writers go on', async () => {
  const stop = new AbortController()
  const { admin, pfs, pps } = pachd
  const input = await freshRepo(pachd)
  await freshPipeline(pachd, 'cp ${PFS:-/pfs}/in/* ${PFS:-/pfs}/out/', atomOf(input, '/*', 'in'))
  const code = 'cp ${PFS:-/pfs}/in/* ${PFS:-/pfs}/out/'
  const reprocessed = await freshPipeline(pachd, code, atomOf(input, '/*', 'in'))
  await commitFiles(pachd, { repo: input, branch: 'master' }, { f0: 'first' })
  const writers = [
    async (round: number) => {
      const repo = await freshRepo(pachd)
      await commitFiles(pachd, { repo, branch: 'master' }, { a: `text ${round}`.repeat(2000) })
      await pfs.deleteRepo({ repo: { name: repo }, force: true })
    },
    async (round: number) => {
      await commitFiles(pachd, { repo: input, branch: 'master' }, { [`f${round % 3}`]: `${round}` })
    },
    async () => {
      const { id } = await pfs.startCommit({ parent: commitOf(input, ''), branch: 'open' })
      await putFile(pachd, fileOf(input, id, 'large'), [randomBytes(150_000)])
      await pfs.deleteCommit({ commit: commitOf(input, id) })
    },
    async (round: number) => {
      const spec = { pipeline: { name: reprocessed }, input: atomOf(input, '/*', 'in') }
      const transform = { cmd: ['sh', '-c', `echo ${round} > $PFS/out/n`] }
      await pps.createPipeline({ ...spec, transform, update: true, reprocess: true })
      const { job } = await lastJobOf(pachd, reprocessed)
      await pps.inspectJob({ job: { id: job?.id ?? '' }, blockState: true })
    },
    async () => {
      await collect(admin.collectGarbage({}))
    },
    async (round: number) => {
      const derived = await freshRepo(pachd, [input])
      await pfs.startCommit({ parent: commitOf(derived, ''), branch: `b${round}` })
      await pfs.deleteRepo({ repo: { name: derived } })
    },
  ]
  let rounds = 0
  const running = writers.map(async (write) => {
    for (let round = 0; !stop.signal.aborted; round += 1) {
      await write(round)
      rounds += 1
    }
  })
  const found: CheckFinding[] = []
  const before: number[] = []
  for (let time = 0; time < 6; time += 1) {
    before.push(rounds)
    const { findings } = await check(pachd, { full: time % 2 === 1, fix: time > 3 })
    found.push(...findings)
  }
  const during = rounds - (before[0] ?? 0)
  stop.abort()
  await Promise.all(running)
  expect(found.map(({ kind, what }) => `${kind}: ${what}`)).toEqual([])
  expect(during).toBeGreaterThan(20)
  const { findings, counts } = await check(pachd, { full: true })
  expect(findings).toEqual([])
  expect(counts.bytes).toBe(counts.bytesTotal)
})

test('results that no job can reuse and were collected are no damage', async () => {
  await using own = await TestPachd.start()
  const repo = await freshRepo(own)
  const input = atomOf(repo, '/*', 'in')
  const name = await freshPipeline(own, 'cp ${PFS:-/pfs}/in/* ${PFS:-/pfs}/out/', input)
  const gone = await freshPipeline(own, 'cp ${PFS:-/pfs}/in/* ${PFS:-/pfs}/out/', input)
  const text = randomBytes(1000).toString('hex')
  await flush(own, repo, await commitFiles(own, { repo, branch: 'master' }, { a: text }))
  const transform = { cmd: ['sh', '-c', 'exit 1'] }
  const pipeline = { name }
  await own.pps.createPipeline({ pipeline, transform, input, update: true, reprocess: true })
  const { job } = await lastJobOf(own, name)
  await own.pps.inspectJob({ job: { id: job?.id ?? '' }, blockState: true })
  await own.pps.deletePipeline({ pipeline: { name: gone } })
  const messages = await collect(own.admin.collectGarbage({}))
  expect(messages.at(-1)?.message.value).toMatchObject({ resultsRemoved: 2n })
  const { findings } = await check(own, { full: true })
  expect(findings.map(({ kind, what }) => `${kind}: ${what}`)).toEqual([])
})

test('what only a copy in an open commit refers to is kept, and missed when it is lost', async () => {
  await using own = await TestPachd.start()
  const [from, to] = [await freshRepo(own), await freshRepo(own)]
  const id = await commitFiles(own, { repo: from, branch: 'master' }, { 'd/x': 'x'.repeat(1000) })
  const { id: open } = await own.pfs.startCommit({ parent: commitOf(to, ''), branch: 'master' })
  await own.files.copyFile({ source: fileOf(from, id, 'd'), destination: fileOf(to, open, 'e') })
  await own.files.copyFile({ source: fileOf(from, id, 'd/x'), destination: fileOf(to, open, 'y') })
  await own.pfs.deleteRepo({ repo: { name: from } })
  await collect(own.admin.collectGarbage({}))
  expect((await check(own, { full: true })).findings).toEqual([])
  for (const pack of await packsOf(own)) await rm(join(own.root, 'objects', pack))
  const { findings } = await check(own)
  const affected = findings.flatMap((finding) => finding.affected)
  expect(affected).toContain(`write 1 to open commit ${to}@${open}:/e`)
  expect(affected).toContain(`write 2 to open commit ${to}@${open}:/y`)
})

test('a server finds what its disk has lost while it runs, and says whose it is', async () => {
  await using own = await TestPachd.start()
  const repo = await freshRepo(own)
  const before = await packsOf(own)
  const id = await commitFiles(own, { repo, branch: 'master' }, { lost: 'x'.repeat(1000) })
  const [pack = ''] = (await packsOf(own)).filter((name) => !before.includes(name))
  await rm(join(own.root, 'objects', pack))
  const { findings, counts } = await check(own)
  expect(findings).toHaveLength(1)
  expect(findings[0]).toMatchObject({
    kind: 'pack-missing',
    severity: CheckSeverity.ERROR,
    repair: CheckRepair.NONE,
    subject: { pack: pack.slice(-64) },
    affected: [`${repo}@${id}`],
    affectedCount: 1n,
  })
  expect(counts.errors).toBe(1n)
})

test('a pack that is exchanged while the server has it open is looked at as it is', async () => {
  await using own = await TestPachd.start()
  const repo = await freshRepo(own)
  const before = await packsOf(own)
  const text = randomBytes(1000).toString('hex')
  const id = await commitFiles(own, { repo, branch: 'master' }, { f: text })
  const [pack = ''] = (await packsOf(own)).filter((name) => !before.includes(name))
  const path = join(own.root, 'objects', pack)
  const good = await readFile(path)
  /** As cp and mv do: the file that the server has open is another one then. */
  const exchange = async (bytes: Uint8Array): Promise<void> => {
    await writeFile(join(own.root, 'draft'), bytes)
    await rename(join(own.root, 'draft'), path)
  }
  const read = async (): Promise<string> => getText(own, fileOf(repo, id, 'f'))
  expect(await read()).toBe(text)
  const bad = Buffer.from(good)
  for (let at = 20; at < bad.length / 2; at += 1) bad[at] = (bad[at] ?? 0) ^ 1
  await exchange(bad)
  expect((await check(own, { full: true })).findings.map(({ kind }) => kind)).toContain(
    'chunk-damaged',
  )
  await exchange(good)
  expect((await check(own, { full: true })).findings).toEqual([])
  expect(await read()).toBe(text)
})

async function packsOf(server: TestPachd): Promise<readonly string[]> {
  const names = await readdir(join(server.root, 'objects'), { recursive: true })
  return names.filter((name) => /[0-9a-f]{64}$/.test(name))
}

test('a check that nobody follows any more ends, and another may begin', async () => {
  await using own = await TestPachd.start()
  const repo = await freshRepo(own)
  const files = Object.fromEntries(
    Array.from({ length: 30 }, (_, index) => [`f${index}`, randomBytes(70_000).toString('hex')]),
  )
  await commitFiles(own, { repo, branch: 'master' }, files)
  const stop = new AbortController()
  const first = own.admin.check({ full: true }, { signal: stop.signal })[Symbol.asyncIterator]()
  const begun = first.next().catch(() => undefined)
  stop.abort()
  await begun
  const again = async (): Promise<bigint | undefined> =>
    (await check(own).catch(() => undefined))?.counts.errors
  await expect.poll(again).toBe(0n)
})

test('a repo deleted by force, and made again, leaves nothing that is damage', async () => {
  const input = await freshRepo(pachd)
  const first = await commitFiles(pachd, { repo: input, branch: 'master' }, { a: 'a' })
  const code = 'cp ${PFS:-/pfs}/in/* ${PFS:-/pfs}/out/'
  const pipeline = await freshPipeline(pachd, code, atomOf(input, '/*', 'in'))
  await flush(pachd, input, first)
  await pachd.pfs.deleteRepo({ repo: { name: input }, force: true })
  await pachd.pfs.createRepo({ repo: { name: input } })
  await commitFiles(pachd, { repo: input, branch: 'master' }, { b: 'b' })
  const { findings } = await check(pachd, { full: true })
  const kinds = findings.filter(({ subject }) => subject?.pipeline === pipeline)
  expect(kinds).toEqual([])
  expect(findings.filter(({ severity }) => severity === CheckSeverity.ERROR)).toEqual([])
})
