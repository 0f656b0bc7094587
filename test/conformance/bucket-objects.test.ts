import { BlobServiceClient } from '@azure/storage-blob'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { SystemClock } from '../../src/base/clock.ts'
import { NotFoundError, PermissionDeniedError, UnavailableError } from '../../src/base/errors.ts'
import { SystemRandom } from '../../src/base/random.ts'
import type { BucketName, CloudEnvironment, StoreBucket } from '../../src/clouds/bucket.ts'
import { Buckets } from '../../src/clouds/open-buckets.ts'
import { BucketObjectStore, type BucketObjectsPorts } from '../../src/storage/bucket-objects.ts'
import { parseObjectKey } from '../../src/storage/object-store.ts'
import { describeObjectStore } from '../../src/testing/object-store-conformance.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { Azurite } from '../harness/azurite.ts'
import { peersRequired } from '../../src/testing/left-out.ts'
import { GcsServer } from '../harness/gcs-server.ts'
import { Radosgw } from '../harness/radosgw.ts'
import { TappedPort } from '../harness/tapped-port.ts'

/** A running object store with a bucket named `bucket`. */
interface Peer extends AsyncDisposable {
  readonly kind: BucketName['kind']
  readonly clouds: CloudEnvironment
  /** The same with a secret that is wrong; undefined where there are none. */
  readonly wrong?: CloudEnvironment
  /** Puts what no object store of ours would. */
  readonly putForeign: (key: string) => Promise<unknown>
}

const secret = 'c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU='
const key = parseObjectKey

function environment(variables: Readonly<Record<string, string>>): CloudEnvironment {
  return { variables, secretsDirectory: '/nonexistent' }
}

async function startS3(): Promise<Peer> {
  const gateway = await Radosgw.start()
  const client = gateway.client()
  const Bucket = 'bucket'
  return {
    kind: 's3',
    clouds: environment(gateway.variables),
    wrong: environment({ ...gateway.variables, AWS_SECRET_ACCESS_KEY: secret }),
    putForeign: (Key) => client.send(new PutObjectCommand({ Bucket, Key, Body: 'x' })),
    [Symbol.asyncDispose]: async () => {
      client.destroy()
      await gateway[Symbol.asyncDispose]()
    },
  }
}

async function startAzure(): Promise<Peer> {
  const azurite = await Azurite.start()
  const { connection } = azurite
  const client = BlobServiceClient.fromConnectionString(connection)
  const { containerClient } = await client.createContainer('bucket')
  return {
    kind: 'azure',
    clouds: environment({ AZURE_STORAGE_CONNECTION_STRING: connection }),
    wrong: environment({
      AZURE_STORAGE_CONNECTION_STRING: connection.replace(
        /AccountKey=[^;]*/,
        `AccountKey=${secret}`,
      ),
    }),
    putForeign: (name) => containerClient.getBlockBlobClient(name).upload('x', 1),
    [Symbol.asyncDispose]: () => azurite[Symbol.asyncDispose](),
  }
}

/** Untested against Google's own. */
async function startGcs(): Promise<Peer> {
  const server = await GcsServer.start()
  return {
    kind: 'gcs',
    clouds: environment({ STORAGE_EMULATOR_HOST: server.url }),
    putForeign: async (name) => server.put(name, utf8('x')),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

const retries = { attemptsMax: 5, pauseMs: 1, pauseMsMax: 20, timeMsMax: 60_000 }

/** Objects below a prefix of its own, in a bucket of the peer. */
async function openObjects(
  bucket: StoreBucket,
  more: Partial<BucketObjectsPorts> = {},
): Promise<{ readonly objects: BucketObjectStore } & AsyncDisposable> {
  await using opened = new AsyncDisposableStack()
  const directory = opened.use(await TemporaryDirectory.create())
  const ports = { clock: new SystemClock(), random: new SystemRandom(), retries }
  const prefix = `${crypto.randomUUID()}/`
  const scratchDirectory = directory.path
  const objects = opened.use(
    new BucketObjectStore({ bucket, prefix, scratchDirectory, ...ports, ...more }),
  )
  const parts = opened.move()
  return { objects, [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose]() }
}

describe.skipIf(!peersRequired && !Radosgw.isInstalled)('in S3', () => {
  testPeer(startS3)
})
describe.skipIf(!peersRequired && !Azurite.isInstalled)('in Azure', () => {
  testPeer(startAzure)
})

describe('by the documentation of Google Cloud Storage', () => {
  testPeer(startGcs)
})

describe.skipIf(!peersRequired && !Radosgw.isInstalled)('over a connection that breaks', () => {
  let gateway: Radosgw
  beforeAll(async () => {
    gateway = await Radosgw.start()
  })
  afterAll(() => gateway[Symbol.asyncDispose]())

  async function openTapped(): Promise<
    { readonly tap: TappedPort; readonly objects: BucketObjectStore } & AsyncDisposable
  > {
    await using opened = new AsyncDisposableStack()
    const tap = opened.use(await TappedPort.open(Number(new URL(gateway.endpoint).port)))
    const AWS_ENDPOINT_URL = `http://127.0.0.1:${tap.port}`
    const buckets = opened.use(new Buckets(environment({ ...gateway.variables, AWS_ENDPOINT_URL })))
    const bucket = await buckets.openStore({ kind: 's3', bucket: 'bucket' })
    const { objects } = opened.use(await openObjects(bucket))
    const parts = opened.move()
    return { tap, objects, [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose]() }
  }

  test('reading goes on where the connection ended', async () => {
    await using opened = await openTapped()
    const { tap, objects } = opened
    const bytes = seededBytes(1, 3_000_000)
    await objects.putIfAbsent(key('x'), [bytes])
    // Less than the object has: no single connection can bring it.
    tap.cutAfterBytes = 1_000_000
    const before = tap.downBytes
    const back = await objects.get(key('x'), 0, bytes.length)
    expect(Buffer.compare(back, bytes)).toBe(0)
    // What had come is not asked for again.
    expect(tap.downBytes - before).toBeLessThan(2 * bytes.length)
  })

  test('a put goes through as soon as the connection lasts, and leaves nothing before', async () => {
    await using opened = await openTapped()
    const { tap, objects } = opened
    const bytes = seededBytes(1, 3_000_000)
    tap.cutAfterBytes = 1_000_000
    await expect(objects.putIfAbsent(key('x'), [bytes])).rejects.toThrow(UnavailableError)
    tap.cutAfterBytes = Infinity
    await expect(objects.sizeBytes(key('x'))).rejects.toThrow(NotFoundError)
    expect(await objects.putIfAbsent(key('x'), [bytes])).toBe(true)
  })

  test('without any connection each call ends with an error that names the bucket', async () => {
    await using opened = await openTapped()
    const { tap, objects } = opened
    tap.cutAfterBytes = 0
    await expect(objects.get(key('x'), 0, 1)).rejects.toThrow(/cannot read s3:\/\/bucket\//)
    await expect(objects.delete(key('x'))).rejects.toThrow(/cannot delete s3:\/\/bucket\//)
    await expect(Array.fromAsync(objects.list(''))).rejects.toThrow(UnavailableError)
  })
})

function testPeer(start: () => Promise<Peer>): void {
  let peer: Peer
  let bucket: StoreBucket
  let buckets: Buckets
  beforeAll(async () => {
    peer = await start()
    buckets = new Buckets(peer.clouds)
    bucket = await buckets.openStore({ kind: peer.kind, bucket: 'bucket' })
  })
  afterAll(async () => {
    buckets[Symbol.dispose]()
    await peer[Symbol.asyncDispose]()
  })

  describeObjectStore('bucket', () => openObjects(bucket))

  test('an object of many megabytes comes back as it was', async () => {
    await using opened = await openObjects(bucket)
    const { objects } = opened
    const bytes = seededBytes(1, 40_000_000)
    expect(await objects.putIfAbsent(key('large'), [bytes])).toBe(true)
    expect(await objects.sizeBytes(key('large'))).toBe(bytes.length)
    const back = await objects.get(key('large'), 0, bytes.length)
    expect(Buffer.compare(back, bytes)).toBe(0)
  })

  test('what somebody else has put among the objects is told apart', async () => {
    const prefix = `${crypto.randomUUID()}/`
    await using opened = await openObjects(bucket, { prefix })
    const { objects } = opened
    await objects.putIfAbsent(key('packs/a'), [utf8('x')])
    for (const name of ['.owner', '.hidden', 'notes to self']) await peer.putForeign(prefix + name)
    expect(await Array.fromAsync(objects.foreignNames())).toEqual(['.hidden', 'notes to self'])
    const listed = await Array.fromAsync(objects.list(''))
    expect(listed.map((info) => info.key)).toEqual(['packs/a'])
  })

  test('a list goes over many pages', async () => {
    await using opened = await openObjects(bucket)
    const { objects } = opened
    const names = Array.from({ length: 1100 }, (_, at) => `many/${String(at).padStart(5, '0')}`)
    for (let at = 0; at < names.length; at += 50) {
      const some = names.slice(at, at + 50)
      await Promise.all(some.map((name) => objects.putIfAbsent(key(name), [utf8('x')])))
    }
    const listed = await Array.fromAsync(objects.list('many/'))
    expect(listed.map((info) => info.key)).toEqual(names)
  })

  test('a bucket that is not there is told as such, and not as a missing object', async () => {
    const absent = await buckets.openStore({ kind: peer.kind, bucket: 'no-such-bucket' })
    await using opened = await openObjects(absent, { retries: { ...retries, attemptsMax: 1 } })
    const { objects } = opened
    for (const call of [
      () => objects.get(key('x'), 0, 1),
      () => objects.putIfAbsent(key('x'), [utf8('x')]),
      () => objects.delete(key('x')),
      () => Array.fromAsync(objects.list('')),
    ]) {
      const error: unknown = await call().then(
        () => undefined,
        (caught: unknown) => caught,
      )
      expect(error).toBeInstanceOf(UnavailableError)
      expect((error as Error).message).toContain('no-such-bucket')
      expect(error).not.toBeInstanceOf(NotFoundError)
    }
  })

  test('a wrong secret is refused with advice, and is not shown', async () => {
    if (peer.wrong === undefined) return
    using others = new Buckets(peer.wrong)
    const refusing = await others.openStore({ kind: peer.kind, bucket: 'bucket' })
    await using opened = await openObjects(refusing)
    const error: unknown = await opened.objects
      .get(key('x'), 0, 1)
      .catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(PermissionDeniedError)
    expect((error as Error).message).toContain("pachd's environment")
    expect((error as Error).message).not.toContain(secret)
  })
}
