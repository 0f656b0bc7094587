import { BlobServiceClient } from '@azure/storage-blob'
import {
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concatBytes, utf8 } from '../../src/base/bytes.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import type { CloudEnvironment } from '../../src/clouds/bucket.ts'
import { Azurite } from '../harness/azurite.ts'
import { peersHere } from '../harness/child-program.ts'
import { JobState } from '../../src/gen/pps_pb.ts'
import { failed, freshRepo, refused } from '../harness/expectations.ts'
import {
  collect,
  commitFiles,
  commitOf,
  entriesOf,
  fileOf,
  getText,
  noise,
  putFile,
} from '../harness/files.ts'
import { GcsServer } from '../harness/gcs-server.ts'
import { atomOf, flush, freshPipeline, lastJobOf } from '../harness/pipelines.ts'
import { Radosgw } from '../harness/radosgw.ts'
import { TestPachd } from '../harness/test-pachd.ts'

/** An object store with an empty bucket. */
interface Store extends AsyncDisposable {
  readonly clouds: CloudEnvironment
  /** The same with a secret that is wrong. */
  readonly wrong: CloudEnvironment
  /** Up to the key. */
  readonly url: string
  /** The same, of a bucket that is not there. */
  readonly nowhere: string
  /** By key. */
  list(): Promise<ReadonlyMap<string, { readonly sizeBytes: number; readonly written: string }>>
  read(key: string): Promise<Uint8Array>
  /** As somebody else, who says that it is what another object is. */
  write(key: string, bytes: Uint8Array, metadata?: Record<string, string>): Promise<void>
  /** Uploads that were begun and never ended, as far as the store tells. */
  unfinishedCount(): Promise<number>
}

const secret = 'c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU='
/** Three parts. */
const large = noise(20_000_000)
const files: Readonly<Record<string, string>> = {
  a: 'a',
  'd/f': 'f',
  'd/sub/empty': '',
  'é/日 +%41?#&.txt': 'odd',
}

function environment(variables: Readonly<Record<string, string>>): CloudEnvironment {
  return { variables, secretsDirectory: '/nonexistent' }
}

async function openS3(): Promise<Store> {
  const gateway = await Radosgw.start()
  const client = gateway.client()
  const Bucket = 'bucket'
  return {
    clouds: environment(gateway.variables),
    wrong: environment({ ...gateway.variables, AWS_SECRET_ACCESS_KEY: secret }),
    url: 's3://bucket/',
    nowhere: 's3://no-such-bucket/',
    async list() {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket }))
      return new Map(
        Contents.map(({ Key = '', Size = 0, LastModified }) => [
          Key,
          { sizeBytes: Size, written: LastModified?.toISOString() ?? '' },
        ]),
      )
    },
    async read(Key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
      return (await Body?.transformToByteArray()) ?? new Uint8Array()
    },
    async write(Key, Body, Metadata = {}) {
      await client.send(new PutObjectCommand({ Bucket, Key, Body, Metadata }))
    },
    async unfinishedCount() {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }))
      return Uploads.length
    },
    [Symbol.asyncDispose]: async () => {
      client.destroy()
      await gateway[Symbol.asyncDispose]()
    },
  }
}

async function openAzure(): Promise<Store> {
  const azurite = await Azurite.start()
  const { connection } = azurite
  const container = BlobServiceClient.fromConnectionString(connection).getContainerClient('bucket')
  await container.create()
  const wrong = connection.replace(/AccountKey=[^;]*/, `AccountKey=${secret}`)
  return {
    clouds: environment({ AZURE_STORAGE_CONNECTION_STRING: connection }),
    wrong: environment({ AZURE_STORAGE_CONNECTION_STRING: wrong }),
    url: 'as://host/bucket/',
    nowhere: 'as://host/no-such-bucket/',
    async list() {
      const found = new Map<string, { readonly sizeBytes: number; readonly written: string }>()
      for await (const { name, properties } of container.listBlobsFlat()) {
        const { contentLength = 0, etag } = properties
        found.set(name, { sizeBytes: contentLength, written: etag })
      }
      return found
    },
    read: async (key) => container.getBlobClient(key).downloadToBuffer(),
    async write(key, bytes, metadata = {}) {
      const blob = container.getBlockBlobClient(key)
      await blob.upload(Buffer.from(bytes), bytes.length, { metadata })
    },
    unfinishedCount: async () => 0,
    [Symbol.asyncDispose]: () => azurite[Symbol.asyncDispose](),
  }
}

const peers = {
  'Ceph, by S3': { open: openS3, isInstalled: Radosgw.isInstalled },
  Azurite: { open: openAzure, isInstalled: Azurite.isInstalled },
} as const

describe.each(peersHere(peers))('to %s', (_name, { open }) => {
  let store: Store
  let pachd: TestPachd
  let repo: string

  beforeAll(async () => {
    store = await open()
    pachd = await TestPachd.start({ clouds: store.clouds })
    repo = await freshRepo(pachd)
    await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    for (const [path, text] of Object.entries(files)) {
      await putFile(pachd, fileOf(repo, 'master', path), [utf8(text)])
    }
    await putFile(pachd, fileOf(repo, 'master', 'large'), [large])
    await pachd.pfs.finishCommit({ commit: commitOf(repo, 'master') })
  })

  afterAll(async () => {
    await pachd[Symbol.asyncDispose]()
    await store[Symbol.asyncDispose]()
  })

  /** The last that is told. */
  async function exported(
    key: string,
    { path = '/', commit = 'master', verify = false, url = store.url } = {},
    from = pachd,
  ) {
    const file = fileOf(repo, commit, path)
    return (await collect(from.files.exportFiles({ file, url: url + key, verify }))).at(-1)
  }

  async function below(prefix: string): Promise<ReadonlyMap<string, string>> {
    const found = [...(await store.list())].filter(([key]) => key.startsWith(prefix))
    return new Map(found.map(([key, { written }]) => [key.slice(prefix.length), written]))
  }

  test('a tree goes with every byte, whatever its names and sizes', async () => {
    const sizeBytes = BigInt(large.length + 5)
    const none = { sameFiles: 0n, sameBytes: 0n }
    const last = await exported('tree', { verify: true })
    expect(last).toMatchObject({ files: 5n, bytes: sizeBytes, ...none, done: true })
    expect([...(await below('tree/')).keys()].toSorted()).toEqual(
      [...Object.keys(files), 'large'].toSorted(),
    )
    for (const [path, text] of Object.entries(files)) {
      expect(Buffer.from(await store.read(`tree/${path}`)).toString()).toBe(text)
    }
    expect(Buffer.compare(await store.read('tree/large'), large)).toBe(0)
    expect(await store.unfinishedCount()).toBe(0)
  })

  test('a file goes to the key, or below one with a slash at its end', async () => {
    await exported('one/key', { path: '/d/f' })
    await exported('one/', { path: '/a' })
    expect([...(await below('one/')).keys()]).toEqual(['a', 'key'])
  })

  test('again, nothing is written; then only what changed', async () => {
    await exported('again')
    const before = await below('again/')
    expect(await exported('again')).toMatchObject({ files: 5n, sameFiles: 5n })
    expect(await below('again/')).toEqual(before)
    await store.write('again/mine', utf8('mine'))
    const { id } = await pachd.pfs.startCommit({
      parent: commitOf(repo, 'master'),
      branch: 'changed',
    })
    await putFile(pachd, fileOf(repo, id, 'a'), [utf8('A')])
    await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
    const last = await exported('again', { commit: 'changed' })
    expect(last).toMatchObject({ files: 5n, sameFiles: 4n })
    expect(last?.commit?.id).toBe(id)
    expect(Buffer.from(await store.read('again/a')).toString()).toBe('aA')
    expect((await below('again/')).has('mine')).toBe(true)
  })

  test('what only looks right is found when all is read back, and made right', async () => {
    await exported('check')
    const { hash } = await pachd.pfs.inspectFile({ file: fileOf(repo, 'master', 'a') })
    const metadata = { pachydermhash: Buffer.from(hash).toString('hex') }
    await store.write('check/a', utf8('x'), metadata)
    expect(await exported('check')).toMatchObject({ sameFiles: 5n })
    await store.write('check/d/f', utf8('x'))
    expect(await exported('check', { verify: true })).toMatchObject({ files: 5n, sameFiles: 3n })
    const read = await Promise.all(['check/a', 'check/d/f'].map((key) => store.read(key)))
    expect(Buffer.from(concatBytes(read)).toString()).toBe('af')
  })

  test('a pipeline writes its outputs there, and what changed in them', async () => {
    const input = await freshRepo(pachd)
    const URL = `${store.url}of a pipeline`.replaceAll(' ', '%20')
    const code = 'cp -r $PFS/in/. $PFS/out/'
    const pipeline = await freshPipeline(pachd, code, atomOf(input, '/*', 'in'), {
      egress: { URL },
    })
    const master = { repo: input, branch: 'master' }
    await flush(pachd, input, await commitFiles(pachd, master, { a: '1', b: '2' }))
    const before = await below('of a pipeline/')
    expect([...before.keys()].toSorted()).toEqual(['a', 'b'])
    expect(await lastJobOf(pachd, pipeline)).toMatchObject({
      state: JobState.JOB_SUCCESS,
      egress: { URL },
    })
    const { egress } = await pachd.pps.inspectPipeline({ pipeline: { name: pipeline } })
    expect(egress?.URL).toBe(URL)
    await flush(pachd, input, await commitFiles(pachd, master, { b: '3' }))
    const after = await below('of a pipeline/')
    expect(after.get('a')).toBe(before.get('a'))
    expect(Buffer.from(await store.read('of a pipeline/b')).toString()).toBe('23')
  })

  test('a pipeline whose bucket is not there fails its job, which says so, and has no output', async () => {
    const input = await freshRepo(pachd)
    const pipeline = await freshPipeline(pachd, 'echo > $PFS/out/x', atomOf(input, '/*', 'in'), {
      egress: { URL: store.nowhere },
    })
    const commit = await commitFiles(pachd, { repo: input, branch: 'master' }, { a: '1' })
    await expect(flush(pachd, input, commit)).rejects.toEqual(
      refused('failed-precondition', /could not be exported to \S*no-such-bucket\S*: .*not found/),
    )
    expect(await lastJobOf(pachd, pipeline)).toMatchObject({
      state: JobState.JOB_FAILURE,
      dataProcessed: 1n,
    })
    const { branchInfo } = await pachd.pfs.listBranch({ repo: { name: pipeline } })
    expect(branchInfo).toEqual([])
  })

  test('a pipeline brings its own credentials in a secret, and the server lends it none', async (context) => {
    const variables = store.clouds.variables
    const { AWS_ENDPOINT_URL = '', AWS_ACCESS_KEY_ID: id = '' } = variables
    const { AWS_SECRET_ACCESS_KEY: key = '' } = variables
    // Of Azure, its emulator is told by a connection string alone, which says where to connect to.
    if (id === '') return context.skip('the emulator has no endpoint of its own')
    await using other = await TestPachd.start({ clouds: environment({ AWS_ENDPOINT_URL }) })
    const name = 'bucket-keys'
    const whole = { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: `${key}\n` }
    const wrong = { ...whole, AWS_SECRET_ACCESS_KEY: secret }
    await other.secrets.createSecret({ name, entries: entriesOf(wrong) })
    const input = await freshRepo(other)
    const URL = `${store.url}of-a-secret`
    const pipeline = await freshPipeline(
      other,
      'cp $PFS/in/* $PFS/out',
      atomOf(input, '/*', 'in'),
      {
        egress: { URL, secret: name },
      },
    )
    const { egress } = await other.pps.inspectPipeline({ pipeline: { name: pipeline } })
    expect(egress).toMatchObject({ URL, secret: name })
    const commit = await commitFiles(other, { repo: input, branch: 'master' }, { a: '1' })
    await expect(flush(other, input, commit)).rejects.toThrow('could not be exported')
    for (const [values, text] of [
      [wrong, 'the secret with the credentials has the right AWS_ACCESS_KEY_ID and AWS_SECRET'],
      [{ AWS_ENDPOINT_URL: 'http://127.0.0.1:1' }, 'lacks AWS_ACCESS_KEY_ID'],
      [{ AWS_ACCESS_KEY_ID: id }, 'lacks AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY'],
    ] as const) {
      await other.secrets.updateSecret({ name, entries: entriesOf(values) })
      const { id: again } = await other.pps.createJob({ pipeline: { name: pipeline } })
      const ended = await other.pps.inspectJob({ job: { id: again }, blockState: true })
      expect(ended.reason).toContain(text)
    }
    // Where to connect to is the server's to say.
    const elsewhere = { ...whole, AWS_ENDPOINT_URL: 'http://127.0.0.1:1' }
    await other.secrets.updateSecret({ name, entries: entriesOf(elsewhere) })
    await other.pps.createJob({ pipeline: { name: pipeline } })
    await flush(other, input, commit)
    expect(Buffer.from(await store.read('of-a-secret/a')).toString()).toBe('1')
    // So do whoever exports, and whoever puts from there.
    const file = fileOf(input, 'master', '/a')
    const url = `${store.url}of-a-call`
    const calls = other.files
    await collect(calls.exportFiles({ file, url, secret: name }))
    const { id: back } = await other.pfs.startCommit({
      parent: commitOf(input, ''),
      branch: 'back',
    })
    const put = { commit: commitOf(input, back), sources: [{ url, path: 'back' }] }
    await collect(calls.putSources({ ...put, secret: name }))
    expect(await getText(other, fileOf(input, back, '/back'))).toBe('1')
    await expect(collect(calls.putSources(put))).rejects.toThrow('refused')
    await expect(collect(calls.exportFiles({ file, url }))).rejects.toThrow('refused')
    expect(other.log.join('\n')).not.toContain(secret)
  })

  test('a wrong secret is refused, and shown to nobody; so is a bucket that is not there', async () => {
    await using other = await TestPachd.start({ clouds: store.wrong })
    await other.pfs.createRepo({ repo: { name: repo } })
    await commitFiles(other, { repo, branch: 'master' }, { a: 'a' })
    const error = (await exported('x', {}, other).catch((caught: unknown) => caught)) as {
      code: number
      message: string
    }
    expect(error.code).toBe(Code.permissionDenied)
    expect(error.message).toContain("pachd's environment")
    expect(error.message + other.log.join('')).not.toContain(secret)
    await expect(exported('x', { url: store.nowhere })).rejects.toEqual(
      failed(Code.notFound, 'not-found', 'not found'),
    )
  })
})

describe('an export', () => {
  let pachd: TestPachd
  beforeAll(async () => {
    pachd = await TestPachd.start({ sources: 'none' })
    await pachd.pfs.createRepo({ repo: { name: 'r' } })
    await commitFiles(pachd, { repo: 'r', branch: 'master' }, { a: 'a' })
  })
  afterAll(async () => {
    await pachd[Symbol.asyncDispose]()
  })

  test.each([
    ['s3://bucket', Code.permissionDenied, 'permission-denied', '--sources none'],
    ['https://example.com/x', Code.invalidArgument, 'invalid-argument', 'name an object store'],
    ['', Code.invalidArgument, 'invalid-argument', 'name an object store'],
  ] as const)('to %j is refused', async (url, code, kind, text) => {
    const done = collect(pachd.files.exportFiles({ file: fileOf('r', 'master', '/'), url }))
    await expect(done).rejects.toEqual(failed(code, kind, text))
  })

  test('is refused as a pipeline is made, and leaves nothing of it', async () => {
    const made = freshPipeline(pachd, 'true', atomOf('r', '/'), { egress: { URL: 's3://bucket' } })
    await expect(made).rejects.toEqual(refused('permission-denied', '--sources none'))
    expect((await pachd.pps.listPipeline({})).pipelineInfo).toEqual([])
  })

  test('to what answers like Google Cloud Storage goes in parts, and is found again', async () => {
    await using server = await GcsServer.start()
    await using other = await TestPachd.start({
      clouds: environment({ STORAGE_EMULATOR_HOST: server.url }),
    })
    await other.pfs.createRepo({ repo: { name: 'r' } })
    const text = Buffer.from(large.subarray(0, 7_000_000)).toString('base64')
    await commitFiles(other, { repo: 'r', branch: 'master' }, { 'd/é %': 'a', empty: '', text })
    const request = { file: fileOf('r', 'master', '/'), url: 'gs://bucket/x', verify: true }
    const first = (await collect(other.files.exportFiles(request))).at(-1)
    expect(first).toMatchObject({ files: 3n, sameFiles: 0n, done: true })
    expect(server.names().toSorted()).toEqual(['x/d/é %', 'x/empty', 'x/text'])
    expect(Buffer.from(server.get('x/text') ?? []).toString()).toBe(text)
    server.put('x/empty', utf8('changed'))
    const again = (await collect(other.files.exportFiles(request))).at(-1)
    expect(again).toMatchObject({ files: 3n, sameFiles: 2n })
  })
})
