import { createHash } from 'node:crypto'
import { BlobServiceClient } from '@azure/storage-blob'
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { SystemClock } from '../../src/base/clock.ts'
import { SystemRandom } from '../../src/base/random.ts'
import type { CloudEnvironment } from '../../src/clouds/bucket.ts'
import { Buckets } from '../../src/clouds/open-buckets.ts'
import { resumedBytes } from '../../src/sources/resumed-bytes.ts'
import { SourceBrokeError } from '../../src/sources/source.ts'
import { Azurite } from '../harness/azurite.ts'
import { failed, freshRepo } from '../harness/expectations.ts'
import { collect, commitOf, fileOf, getPieces, noise } from '../harness/files.ts'
import { peersHere } from '../harness/child-program.ts'
import { Radosgw } from '../harness/radosgw.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { WebServer } from '../harness/web-server.ts'

/** An object store, with a bucket of objects. */
interface Store extends AsyncDisposable {
  readonly clouds: CloudEnvironment
  /** The same with a secret that is wrong. */
  readonly wrong: CloudEnvironment
  /** Up to the key. */
  readonly url: string
  /** Without credentials, and a URL that needs none. */
  readonly anybody: { readonly clouds: CloudEnvironment; readonly url: string }
}

const large = noise(6_000_000)
const objects: Readonly<Record<string, Uint8Array>> = {
  'dir/a': utf8('a'),
  'dir/b/c': utf8('c'),
  'dir2/x': utf8('x'),
  'list-1': utf8('1'),
  'list-2': utf8('2'),
  'with space + percent%.txt': utf8('odd'),
  empty: utf8(''),
  large,
}
const secret = 'c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU='

function environment(variables: Readonly<Record<string, string>>): CloudEnvironment {
  return { variables, secretsDirectory: '/nonexistent' }
}

async function openS3Store(): Promise<Store> {
  const gateway = await Radosgw.start()
  const { endpoint } = gateway
  const client = gateway.client()
  for (const [Key, Body] of Object.entries({ ...objects, 'dir/folder/': utf8('') })) {
    await client.send(new PutObjectCommand({ Bucket: 'bucket', Key, Body }))
  }
  await client.send(new CreateBucketCommand({ Bucket: 'public', ACL: 'public-read' }))
  const open = { Bucket: 'public', Key: 'open', Body: utf8('open'), ACL: 'public-read' } as const
  await client.send(new PutObjectCommand(open))
  return {
    clouds: environment(gateway.variables),
    wrong: environment({ ...gateway.variables, AWS_SECRET_ACCESS_KEY: secret }),
    url: 's3://bucket/',
    anybody: {
      clouds: environment({ AWS_ENDPOINT_URL: endpoint }),
      url: 's3://public/',
    },
    [Symbol.asyncDispose]: async () => {
      client.destroy()
      await gateway[Symbol.asyncDispose]()
    },
  }
}

async function openAzureStore(): Promise<Store> {
  const azurite = await Azurite.start()
  const { connection } = azurite
  const service = BlobServiceClient.fromConnectionString(connection)
  const container = service.getContainerClient('bucket')
  await container.create()
  for (const [key, bytes] of Object.entries(objects)) {
    await container.getBlockBlobClient(key).upload(Buffer.from(bytes), bytes.length)
  }
  const open = service.getContainerClient('public')
  await open.create({ access: 'container' })
  await open.getBlockBlobClient('open').upload('open', 4)
  const wrong = connection.replace(/AccountKey=[^;]*/, `AccountKey=${secret}`)
  return {
    clouds: environment({ AZURE_STORAGE_CONNECTION_STRING: connection }),
    wrong: environment({ AZURE_STORAGE_CONNECTION_STRING: wrong }),
    url: 'as://host/bucket/',
    anybody: {
      clouds: environment({
        AZURE_STORAGE_ACCOUNT: service.accountName,
        AZURE_STORAGE_ENDPOINT: service.url,
      }),
      url: 'as://host/public/',
    },
    [Symbol.asyncDispose]: () => azurite[Symbol.asyncDispose](),
  }
}

/** No emulator of it is to be had: this answers as its documentation says. */
async function openGcsStore(): Promise<Store> {
  const web = await WebServer.start()
  const path = '/storage/v1/b/bucket/o'
  const item = (key: string) => ({
    name: key,
    size: String(objects[key]?.length ?? 0),
    generation: '17',
  })
  const keys = Object.keys(objects).toSorted()
  web.on(path, (request, response) => {
    const query = new URL(request.url ?? '', web.url).searchParams
    const found = keys.filter((key) => key.startsWith(query.get('prefix') ?? ''))
    const from = Number(query.get('pageToken') ?? 0)
    const next = from + 2 < found.length ? { nextPageToken: String(from + 2) } : {}
    response.end(JSON.stringify({ items: found.slice(from, from + 2).map(item), ...next }))
  })
  for (const key of keys) {
    web.on(`${path}/${encodeURIComponent(key)}`, (request, response) => {
      const query = new URL(request.url ?? '', web.url).searchParams
      if (query.get('alt') !== 'media') return void response.end(JSON.stringify(item(key)))
      if (query.get('generation') !== '17') return void response.writeHead(404).end()
      const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      response.writeHead(request.headers.range === undefined ? 200 : 206)
      response.end(objects[key]?.subarray(start))
    })
  }
  return {
    clouds: environment({ STORAGE_EMULATOR_HOST: web.url }),
    wrong: environment({ GOOGLE_APPLICATION_CREDENTIALS: `/nonexistent/${secret}` }),
    url: 'gs://bucket/',
    anybody: { clouds: environment({ STORAGE_EMULATOR_HOST: web.url }), url: 'gs://bucket/dir/b' },
    [Symbol.asyncDispose]: () => web[Symbol.asyncDispose](),
  }
}

interface Peer {
  readonly open: () => Promise<Store>
  readonly wrongCode: number
  readonly isInstalled: boolean
}

const peers: Readonly<Record<string, Peer>> = {
  'Ceph, by S3': {
    open: openS3Store,
    wrongCode: Code.permissionDenied,
    isInstalled: Radosgw.isInstalled,
  },
  Azurite: {
    open: openAzureStore,
    wrongCode: Code.permissionDenied,
    isInstalled: Azurite.isInstalled,
  },
  'what answers like Google Cloud Storage': {
    open: openGcsStore,
    wrongCode: Code.failedPrecondition,
    isInstalled: true,
  },
}

describe.each(peersHere(peers))('from %s', (_name, { open, wrongCode }) => {
  let store: Store
  let pachd: TestPachd

  beforeAll(async () => {
    store = await open()
    const patience = { stallMs: 20_000, attemptsMax: 2, pauseMs: 1 }
    pachd = await TestPachd.start({ clouds: store.clouds, patience })
  })

  afterAll(async () => {
    await pachd[Symbol.asyncDispose]()
    await store[Symbol.asyncDispose]()
  })

  async function put(
    key: string,
    options: { readonly recursive?: boolean; readonly path?: string } = {},
  ) {
    const repo = await freshRepo(pachd)
    await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    const { path = '', recursive = false } = options
    const sources = [{ url: `${store.url}${key}`, path, addOwnName: path === '' }]
    await collect(pachd.files.putSources({ commit: commitOf(repo, 'master'), sources, recursive }))
    const { fileInfo } = await pachd.pfs.globFile({
      commit: commitOf(repo, 'master'),
      pattern: '/*',
    })
    const deeper = await pachd.pfs.globFile({ commit: commitOf(repo, 'master'), pattern: '/*/*' })
    const deepest = await pachd.pfs.globFile({
      commit: commitOf(repo, 'master'),
      pattern: '/*/*/*',
    })
    const files = [...fileInfo, ...deeper.fileInfo, ...deepest.fileInfo]
    return {
      repo,
      paths: files.filter(({ fileType }) => fileType === 1).map(({ file }) => file?.path),
    }
  }

  test('an object comes, whatever its key and size', async () => {
    expect((await put('dir/a')).paths).toEqual(['/dir/a'])
    expect((await put('empty')).paths).toEqual(['/empty'])
    expect((await put('with space + percent%25.txt', { path: 'x' })).paths).toEqual(['/x'])
    const { repo } = await put('large')
    const hash = createHash('sha256')
    for (const piece of await getPieces(pachd, fileOf(repo, 'master', '/large'))) hash.update(piece)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(large).digest('hex'))
  })

  test('below a key that is a directory, all comes; else all whose keys begin with it', async () => {
    for (const key of ['dir', 'dir/']) {
      const { paths } = await put(key, { recursive: true })
      expect(paths).toEqual(['/dir/a', '/dir/b/c'])
    }
    const { paths } = await put('list-', { recursive: true, path: 'lists' })
    expect(paths).toEqual(['/lists/1', '/lists/2'])
    const all = await put('', { recursive: true })
    expect(new Set(all.paths)).toEqual(new Set(Object.keys(objects).map((key) => `/${key}`)))
  })

  test.each([
    ['nothing', false, 'not found: there is no such object'],
    ['dir', false, 'use -r'],
    ['nothing', true, 'no key begins with it'],
  ])('%s (recursive: %s) is refused in words', async (key, recursive, text) => {
    await expect(put(key, { recursive })).rejects.toEqual(failed(Code.notFound, 'not-found', text))
  })

  test('a wrong secret is refused, and shown to nobody', async () => {
    await using other = await TestPachd.start({ clouds: store.wrong })
    const repo = await freshRepo(other)
    await other.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    const sources = [{ url: `${store.url}dir/a`, path: 'x' }]
    const done = collect(other.files.putSources({ commit: commitOf(repo, 'master'), sources }))
    const error = (await done.catch((caught: unknown) => caught)) as {
      code: number
      message: string
    }
    expect(error.code).toBe(wrongCode)
    expect(error.message + other.log.join('')).not.toContain(secret)
  })

  test('what is public is read without credentials', async () => {
    const { clouds, url } = store.anybody
    await using other = await TestPachd.start({ clouds })
    const repo = await freshRepo(other)
    const commit = commitOf(repo, 'master')
    await other.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    const request = { commit, sources: [{ url, path: 'x' }], recursive: true }
    expect((await collect(other.files.putSources(request))).at(-1)).toMatchObject({ files: 1n })
  })

  test('reading goes on where it broke', async () => {
    using buckets = new Buckets(store.clouds)
    const kind = ({ s3: 's3', gs: 'gcs', as: 'azure' } as const)[
      store.url.slice(0, 2) as 's3' | 'gs' | 'as'
    ]
    const bucket = await buckets.open({ kind, bucket: 'bucket' })
    const { signal } = new AbortController()
    const object = await bucket.find('large', signal)
    expect(object?.sizeBytes).toBe(large.length)
    const starts: number[] = []
    const file = {
      path: '',
      sizeBytes: large.length,
      version: object?.version,
      async *open(offset: number, stop: AbortSignal) {
        starts.push(offset)
        let size = 0
        const found = object ?? { key: '', sizeBytes: 0, version: '' }
        for await (const slice of bucket.read(found, offset, stop)) {
          yield slice
          size += slice.length
          if (starts.length < 3 && size > 2_000_000) throw new SourceBrokeError('it broke')
        }
      },
    }
    const ports = {
      clock: new SystemClock(),
      random: new SystemRandom(),
      patience: { stallMs: 20_000, attemptsMax: 3, pauseMs: 1 },
    }
    const hash = createHash('sha256')
    for await (const slice of resumedBytes(ports, file, { name: 'large', signal }))
      hash.update(slice)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(large).digest('hex'))
    expect(starts).toHaveLength(3)
  })
})
