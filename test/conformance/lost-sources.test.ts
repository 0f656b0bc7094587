import { createHash } from 'node:crypto'
import { BlobServiceClient } from '@azure/storage-blob'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import type { CloudEnvironment } from '../../src/clouds/bucket.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { Azurite } from '../harness/azurite.ts'
import { peersHere } from '../harness/child-program.ts'
import { failed, freshRepo } from '../harness/expectations.ts'
import { collect, commitOf, fileOf, getPieces, noise, putFile } from '../harness/files.ts'
import { GcsServer } from '../harness/gcs-server.ts'
import { Radosgw } from '../harness/radosgw.ts'
import { ReplayedServer } from '../harness/replayed-server.ts'
import { mountSmallDisk } from '../harness/small-disk.ts'
import { TappedPort } from '../harness/tapped-port.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { openTlsPort, trustTlsPorts } from '../harness/tls-port.ts'
import { WebServer } from '../harness/web-server.ts'

/** Where a file or a directory comes from, by way of a port that a test can do something to. */
interface Source extends AsyncDisposable {
  readonly port: number
  /** For a server that is reached at `origin`, such as `http://localhost:1234`. */
  clouds(origin: string): CloudEnvironment
  url(origin: string): string
  /** Less than all that comes. */
  readonly someBytes: number
  /** Of what was put as `/x`, or below it; undefined: of `large`. */
  readonly sizes?: Readonly<Record<string, number>>
}

interface Kind {
  readonly open: () => Promise<Source>
  readonly isInstalled: boolean
}

const large = noise(16_000_000)
const someBytes = 2_500_000

function environment(variables: Readonly<Record<string, string>>): CloudEnvironment {
  return { variables, secretsDirectory: '/nonexistent' }
}

const portOf = (url: string): number => Number(new URL(url).port)

const byTls: Readonly<Record<string, Kind>> = {
  'the web': {
    isInstalled: true,
    async open() {
      const web = await WebServer.start()
      web.file('/large', large)
      const { port } = web
      const clouds = () => environment({})
      const close = () => web[Symbol.asyncDispose]()
      return {
        port,
        clouds,
        url: (origin) => `${origin}/large`,
        someBytes,
        [Symbol.asyncDispose]: close,
      }
    },
  },
  'Ceph, by S3': {
    isInstalled: Radosgw.isInstalled,
    async open() {
      const gateway = await Radosgw.start()
      const client = gateway.client()
      await client.send(new PutObjectCommand({ Bucket: 'bucket', Key: 'large', Body: large }))
      client.destroy()
      return {
        port: portOf(gateway.endpoint),
        clouds: (origin) => environment({ ...gateway.variables, AWS_ENDPOINT_URL: origin }),
        url: () => 's3://bucket/large',
        someBytes,
        [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
      }
    },
  },
  Azurite: {
    isInstalled: Azurite.isInstalled,
    async open() {
      const azurite = await Azurite.start()
      const { connection } = azurite
      const container =
        BlobServiceClient.fromConnectionString(connection).getContainerClient('bucket')
      await container.create()
      await container.getBlockBlobClient('large').upload(Buffer.from(large), large.length)
      const endpoint = /BlobEndpoint=(http:\/\/[^/;]*)/.exec(connection)?.[1] ?? ''
      return {
        port: portOf(endpoint),
        clouds: (origin) =>
          environment({
            AZURE_STORAGE_CONNECTION_STRING: connection
              .replace(endpoint, origin)
              .replace('Protocol=http;', `Protocol=${new URL(origin).protocol.slice(0, -1)};`),
          }),
        url: () => 'as://host/bucket/large',
        someBytes,
        [Symbol.asyncDispose]: () => azurite[Symbol.asyncDispose](),
      }
    },
  },
  'what answers like Google Cloud Storage': {
    isInstalled: true,
    async open() {
      const server = await GcsServer.start()
      server.put('large', large)
      return {
        port: portOf(server.url),
        clouds: (origin) => environment({ STORAGE_EMULATOR_HOST: origin }),
        url: () => 'gs://bucket/large',
        someBytes,
        [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
      }
    },
  },
}

function recordedServer(version: '1.3.18' | '1.3.19'): Kind {
  return {
    isInstalled: true,
    async open() {
      const server = await ReplayedServer.start(version)
      const files = Object.entries(server.expected.files['legacy@master'] ?? {})
      return {
        port: portOf(`http://${server.address}`),
        clouds: () => environment({}),
        url: (origin) => `pfs://${new URL(origin).host}/legacy/master`,
        someBytes: 2000,
        sizes: Object.fromEntries(files.map(([path, { size }]) => [path, size])),
        [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
      }
    },
  }
}

const inClear: Readonly<Record<string, Kind>> = {
  'a server of 1.3': recordedServer('1.3.18'),
  'a server of 1.4': recordedServer('1.3.19'),
  'a server like this': {
    isInstalled: true,
    async open() {
      const server = await TestPachd.start()
      await server.pfs.createRepo({ repo: { name: 'there' } })
      await server.pfs.startCommit({ parent: commitOf('there', ''), branch: 'master' })
      await putFile(server, fileOf('there', 'master', 'large'), [large])
      return {
        port: server.port,
        clouds: () => environment({}),
        url: (origin) => `pfs://${new URL(origin).host}/there/master/large`,
        someBytes,
        [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
      }
    },
  },
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

async function expectAll(pachd: TestPachd, repo: string, { sizes }: Source): Promise<void> {
  if (sizes === undefined) {
    const hash = createHash('sha256')
    for (const piece of await getPieces(pachd, fileOf(repo, 'master', 'x'))) hash.update(piece)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(large).digest('hex'))
    return
  }
  const { sizeBytes } = await pachd.pfs.inspectFile({ file: fileOf(repo, 'master', 'x') })
  expect(Number(sizeBytes)).toBe(Object.values(sizes).reduce((sum, size) => sum + size, 0))
}

describe.each(peersHere({ ...byTls, ...inClear }))('a source that is %s', (_name, { open }) => {
  let source: Source
  beforeAll(async () => {
    source = await open()
  })
  afterAll(async () => source[Symbol.asyncDispose]())

  test('and is gone midway leaves nothing, and is gone on with when it is back', async () => {
    await using tap = await TappedPort.open(source.port)
    const origin = `http://localhost:${tap.port}`
    await using pachd = await TestPachd.start({ clouds: source.clouds(origin), patience })
    const lost = await openCommit(pachd)
    tap.goneAfterBytes = source.someBytes
    await expect(put(pachd, source.url(origin), lost)).rejects.toEqual(unreachable)
    expect(tap.downBytes).toBeGreaterThanOrEqual(source.someBytes)
    await expectNothing(pachd, lost.repo)
    tap.cutAfterBytes = Infinity
    const { id } = await pachd.pfs.startCommit({
      parent: commitOf(lost.repo, ''),
      branch: 'master',
    })
    const done = await put(pachd, source.url(origin), { repo: lost.repo, id, resume: true })
    expect(done).toMatchObject({ endedCommit: true })
    if (source.sizes === undefined) expect(done?.keptBytes).toBeGreaterThan(1_000_000n)
    await expectAll(pachd, lost.repo, source)
  })

  test('and has more than the disk has room for leaves nothing, and other puts go on', async (context) => {
    if (source.sizes !== undefined) return context.skip('what was recorded fits any disk')
    await using directory = await TemporaryDirectory.create()
    const disk = directory.join('disk')
    await using mounted = await mountSmallDisk(disk, 12)
    if (mounted === undefined) return context.skip('this machine lets us mount nothing')
    const origin = `http://localhost:${source.port}`
    const clouds = source.clouds(origin)
    await using pachd = await TestPachd.start({ root: `${disk}/root`, clouds, patience })
    const full = await openCommit(pachd)
    await expect(put(pachd, source.url(origin), full)).rejects.toEqual(
      failed(Code.resourceExhausted, 'resource-exhausted', /disk.*full/),
    )
    await expectNothing(pachd, full.repo)
    const { repo, id } = await openCommit(pachd)
    await putFile(pachd, fileOf(repo, id, 'small'), 'fits')
    await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  })
})

describe.each(peersHere(byTls))('by TLS, a source that is %s', (_name, { open }) => {
  let source: Source
  beforeAll(async () => {
    source = await open()
  })
  afterAll(async () => source[Symbol.asyncDispose]())

  test('and shows a certificate of its own is not read, and it is said how it could be', async () => {
    await using tls = await openTlsPort(source.port)
    const origin = `https://localhost:${tls.port}`
    await using pachd = await TestPachd.start({ clouds: source.clouds(origin), patience })
    const { repo, id } = await openCommit(pachd)
    await expect(put(pachd, source.url(origin), { repo, id })).rejects.toEqual(
      failed(Code.unavailable, 'unavailable', /certificate.*NODE_EXTRA_CA_CERTS/),
    )
    await expectNothing(pachd, repo)
  })

  test('is read again from where a byte was changed on the way', async () => {
    using _trust = trustTlsPorts()
    await using tls = await openTlsPort(source.port)
    await using tap = await TappedPort.open(tls.port)
    const origin = `https://localhost:${tap.port}`
    await using pachd = await TestPachd.start({ clouds: source.clouds(origin), patience })
    const { repo, id } = await openCommit(pachd)
    tap.garbledByte = 5_000_000
    await put(pachd, source.url(origin), { repo, id })
    expect(tap.garbledByte).toBe(Infinity)
    expect(tap.downBytes).toBeGreaterThan(large.length)
    await expectAll(pachd, repo, source)
  })
})
