import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { peersHere } from '../harness/child-program.ts'
import {
  type FarSource,
  type FarSourceKind,
  ownSource,
  recordedSource,
  webSources,
} from '../harness/far-sources.ts'
import { failed, freshRepo } from '../harness/expectations.ts'
import { collect, commitOf, fileOf, getPieces, noise, putFile } from '../harness/files.ts'
import { mountSmallDisk } from '../harness/small-disk.ts'
import { TappedPort } from '../harness/tapped-port.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { openTlsPort, trustTlsPorts } from '../harness/tls-port.ts'
import { leaveOut } from '../../src/testing/left-out.ts'

interface Kind extends FarSourceKind {
  /** Empty: a directory with all that is in it. */
  readonly file: string
  readonly sizeBytes: number
  /** Of what has come by then, at least more than so much does not come again. */
  readonly keptBytesMin: bigint
  /** Less than that. */
  readonly someBytes: number
}

const large = noise(16_000_000)
function withLarge(kinds: Readonly<Record<string, FarSourceKind>>): Readonly<Record<string, Kind>> {
  const ofOne = {
    file: 'large',
    sizeBytes: large.length,
    someBytes: 2_500_000,
    keptBytesMin: 1_000_000n,
  }
  return Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => [name, { ...kind, ...ofOne }]),
  )
}

const byTls = withLarge(webSources)
const recorded = { file: '', someBytes: 2000, keptBytesMin: -1n }
const all: Readonly<Record<string, Kind>> = {
  ...byTls,
  ...withLarge({ 'a server like this': ownSource }),
  'a server of 1.3': { ...recordedSource('1.3.18'), ...recorded, sizeBytes: 4_822_483 },
  'a server of 1.4': { ...recordedSource('1.3.19'), ...recorded, sizeBytes: 4_822_473 },
}

// `fetch` does not say that TLS broke in the midst of a body: that is a stall.
const patience = { stallMs: 5000, attemptsMax: 3, pauseMs: 1 }
const unreachable = failed(Code.unavailable, 'unavailable', /large|pachd at/)

async function openCommit(pachd: TestPachd): Promise<{ repo: string; id: string }> {
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  return { repo, id }
}

interface Put {
  readonly repo: string
  readonly id: string
  readonly resume?: boolean
}

async function put(pachd: TestPachd, url: string, { repo, id, resume = false }: Put) {
  const recursive = /^pfs:.*master$/.test(url)
  const sources = [{ url, path: 'x' }]
  const request = { commit: commitOf(repo, id), sources, recursive, resume, endsCommit: true }
  return (await collect(pachd.files.putSources(request))).at(-1)
}

async function expectNothing(pachd: TestPachd, repo: string): Promise<void> {
  expect((await pachd.pfs.listCommit({ repo: { name: repo } })).commitInfo).toEqual([])
  expect((await pachd.pfs.listBranch({ repo: { name: repo } })).branchInfo).toEqual([])
}

async function expectAll(
  pachd: TestPachd,
  repo: string,
  { file, sizeBytes }: Pick<Kind, 'file' | 'sizeBytes'>,
): Promise<void> {
  const there = fileOf(repo, 'master', 'x')
  expect(Number((await pachd.pfs.inspectFile({ file: there })).sizeBytes)).toBe(sizeBytes)
  if (file === '') return
  const hash = createHash('sha256')
  for (const piece of await getPieces(pachd, there)) hash.update(piece)
  expect(hash.digest('hex')).toBe(createHash('sha256').update(large).digest('hex'))
}

describe.each(peersHere(all))('a source that is %s', (_name, kind) => {
  const { file, someBytes, keptBytesMin } = kind
  let source: FarSource
  beforeAll(async () => {
    source = await kind.open({ large })
  })
  afterAll(async () => source[Symbol.asyncDispose]())

  test('and is gone midway leaves nothing, and is gone on with when it is back', async () => {
    await using tap = await TappedPort.open(source.port)
    const origin = `http://localhost:${tap.port}`
    await using pachd = await TestPachd.start({ clouds: source.clouds(origin), patience })
    const lost = await openCommit(pachd)
    tap.goneAfterBytes = someBytes
    await expect(put(pachd, source.url(origin, file), lost)).rejects.toEqual(unreachable)
    expect(tap.downBytes).toBeGreaterThanOrEqual(someBytes)
    await expectNothing(pachd, lost.repo)
    tap.cutAfterBytes = Infinity
    const { id } = await pachd.pfs.startCommit({
      parent: commitOf(lost.repo, ''),
      branch: 'master',
    })
    const done = await put(pachd, source.url(origin, file), { repo: lost.repo, id, resume: true })
    expect(done).toMatchObject({ endedCommit: true })
    expect(done?.keptBytes).toBeGreaterThan(keptBytesMin)
    await expectAll(pachd, lost.repo, kind)
  })

  test('and has more than the disk has room for leaves nothing, and other puts go on', async (context) => {
    if (file === '') return context.skip('what was recorded fits any disk')
    await using directory = await TemporaryDirectory.create()
    const disk = directory.join('disk')
    await using mounted = await mountSmallDisk(disk, 12)
    if (mounted === undefined) return leaveOut(context, 'this machine lets us mount nothing')
    const origin = `http://localhost:${source.port}`
    const clouds = source.clouds(origin)
    await using pachd = await TestPachd.start({ root: `${disk}/root`, clouds, patience })
    const full = await openCommit(pachd)
    await expect(put(pachd, source.url(origin, file), full)).rejects.toEqual(
      failed(Code.resourceExhausted, 'resource-exhausted', /disk.*full/),
    )
    await expectNothing(pachd, full.repo)
    const { repo, id } = await openCommit(pachd)
    await putFile(pachd, fileOf(repo, id, 'small'), 'fits')
    await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  })
})

describe.each(peersHere(byTls))('by TLS, a source that is %s', (_name, kind) => {
  const { file } = kind
  let source: FarSource
  beforeAll(async () => {
    source = await kind.open({ large })
  })
  afterAll(async () => source[Symbol.asyncDispose]())

  test('and shows a certificate of its own is not read, and it is said how it could be', async () => {
    await using tls = await openTlsPort(source.port)
    const origin = `https://localhost:${tls.port}`
    await using pachd = await TestPachd.start({ clouds: source.clouds(origin), patience })
    const { repo, id } = await openCommit(pachd)
    await expect(put(pachd, source.url(origin, file), { repo, id })).rejects.toEqual(
      failed(Code.unavailable, 'unavailable', /certificate.*NODE_EXTRA_CA_CERTS/),
    )
    await expectNothing(pachd, repo)
  })

  test('is read again from where a byte was changed on the way', async () => {
    using _ = trustTlsPorts()
    await using tls = await openTlsPort(source.port)
    await using tap = await TappedPort.open(tls.port)
    const origin = `https://localhost:${tap.port}`
    await using pachd = await TestPachd.start({ clouds: source.clouds(origin), patience })
    const { repo, id } = await openCommit(pachd)
    tap.garbledByte = 5_000_000
    await put(pachd, source.url(origin, file), { repo, id })
    expect(tap.garbledByte).toBe(Infinity)
    expect(tap.downBytes).toBeGreaterThan(large.length)
    await expectAll(pachd, repo, kind)
  })
})
