import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { BlobServiceClient } from '@azure/storage-blob'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CloudEnvironment } from '../../src/clouds/bucket.ts'
import { OpenCommits } from '../../src/gen/pachyderm_pb.ts'
import { type OldLayout, OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { Azurite } from '../harness/azurite.ts'
import { peersRequired } from '../../src/testing/left-out.ts'
import { Etcd } from '../harness/etcd.ts'
import { GcsServer } from '../harness/gcs-server.ts'
import { UnpackedCluster } from '../harness/old-clusters.ts'
import { Radosgw } from '../harness/radosgw.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { expectWhole } from './expect-whole.ts'
import { migrate, type Migrated } from './migrate.ts'
import { expectedContents, servedContents, withoutOpen } from './migrated.ts'

const request = {
  force: true,
  keepPaused: true,
  killUnfinishedJobs: true,
  skipDamaged: true,
  openCommits: OpenCommits.KEEP,
}
/** Of object stores, on a busy machine. */
const startMsMax = 600_000

/** Where the records are read from. */
interface Records {
  readonly snapshot: string
  readonly copiedFile: string
  readonly address: string
}

const recordForms: Readonly<Record<string, keyof Records>> = {
  'a snapshot that etcdctl saved': 'snapshot',
  'the copied file of an etcd that was stopped': 'copiedFile',
  'an etcd that runs': 'address',
}

/** A place that objects can be read from, and how it is reached. */
interface Store {
  readonly storage: string
  readonly variables: Readonly<Record<string, string>>
}

/** Keeps a copy of a bucket, of which keys begin with `pach/`, as a cloud does. */
type FillStore = (bucket: ReadonlyMap<string, Buffer>, name: string) => Promise<Store>

/** All files below a directory, by path. */
async function filesBelow(directory: string): Promise<ReadonlyMap<string, Buffer>> {
  const found = new Map<string, Buffer>()
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    found.set(relative(directory, path), await readFile(path))
  }
  return found
}

/** What a server that kept objects as files would have kept in a bucket, below `directory`/storage. */
async function withLayout(
  storage: string,
  directory: string,
  layout: OldLayout,
): Promise<ReadonlyMap<string, Buffer>> {
  const writer = new OldClusterWriter(directory, { layout, isText: true })
  await writer.begin()
  for (const name of await readdir(join(storage, 'object'))) {
    await writer.putObject(await readFile(join(storage, 'object', name)))
  }
  for (const tag of await readdir(join(storage, 'tag'))) {
    await writer.putTag(tag, basename(await readlink(join(storage, 'tag', tag))))
  }
  await writer.finish()
  const files = await filesBelow(writer.storage)
  return new Map([...files].map(([path, bytes]) => [`pach/${path}`, bytes]))
}

function cloudsOf({ variables }: Store): CloudEnvironment {
  return { variables, secretsDirectory: '/nonexistent' }
}

/** The clouds that run here, with the layouts that the old servers gave them. */
class Clouds implements AsyncDisposable {
  readonly #opened = new AsyncDisposableStack()
  #radosgw: Radosgw | undefined
  #azurite: Azurite | undefined

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync()
  }

  readonly s3: FillStore = async (bucket, name) => {
    this.#radosgw ??= this.#opened.use(await Radosgw.start())
    const client = this.#radosgw.client()
    await client.send(new CreateBucketCommand({ Bucket: name }))
    for (const [Key, Body] of bucket) {
      await client.send(new PutObjectCommand({ Bucket: name, Key, Body }))
    }
    client.destroy()
    return { storage: `s3://${name}`, variables: this.#radosgw.variables }
  }

  /** Keys keep the slash of the path there. */
  readonly gcs: FillStore = async (bucket) => {
    const server = this.#opened.use(await GcsServer.start())
    for (const [key, bytes] of bucket) server.put(`/${key}`, bytes)
    return { storage: 'gs://bucket', variables: { STORAGE_EMULATOR_HOST: server.url } }
  }

  /** As on GCS. */
  readonly azure: FillStore = async (bucket, name) => {
    this.#azurite ??= this.#opened.use(await Azurite.start())
    const { connection } = this.#azurite
    const client = BlobServiceClient.fromConnectionString(connection)
    const container = client.getContainerClient(name)
    await container.createIfNotExists()
    for (const [key, bytes] of bucket) {
      await container.getBlockBlobClient(`/${key}`).upload(bytes, bytes.length)
    }
    const variables = { AZURE_STORAGE_CONNECTION_STRING: connection }
    return { storage: `as://host/${name}`, variables }
  }
}

const clouds = new Clouds()
const areInstalled =
  (Etcd.isInstalled && Radosgw.isInstalled && Azurite.isInstalled) || peersRequired

/** By form of store: which cluster lies there, and how its objects are laid out. */
const clusters = {
  '1.4.8': { ofFiles: '1.4.8', ofBucket: '1.4.8' },
  '1.5.3': { ofFiles: '1.5.3', ofBucket: '1.5.3-objectstore' },
} as const
const layouts = {
  S3: { fill: clouds.s3, layout: 'blocks' },
  'Google Cloud Storage': { fill: clouds.gcs, layout: 'compacted' },
  'Azure, as as://': { fill: clouds.azure, layout: 'blocks' },
  'Azure, as wasb://': { fill: clouds.azure, layout: 'compacted' },
} as const satisfies Record<string, { readonly fill: FillStore; readonly layout: OldLayout }>
const cloudNames = Object.keys(layouts) as readonly (keyof typeof layouts)[]

afterAll(async () => clouds[Symbol.asyncDispose]())

/** Everything that one old cluster can be read from, and what comes of it. */
class OldSources implements AsyncDisposable {
  readonly records: Records
  readonly etcd: Etcd
  readonly cluster: UnpackedCluster
  /** What comes of its own snapshot and directory: clusters.test.ts compares it with what it said itself. */
  readonly expected: Migrated
  readonly #directory: TemporaryDirectory
  readonly #opened: AsyncDisposableStack

  private constructor(
    facts: Pick<OldSources, 'records' | 'etcd' | 'cluster' | 'expected'>,
    directory: TemporaryDirectory,
    opened: AsyncDisposableStack,
  ) {
    this.records = facts.records
    this.etcd = facts.etcd
    this.cluster = facts.cluster
    this.expected = facts.expected
    this.#directory = directory
    this.#opened = opened
  }

  static async open(name: '1.4.8' | '1.5.3' | '1.5.3-objectstore'): Promise<OldSources> {
    await using opened = new AsyncDisposableStack()
    const directory = opened.use(await TemporaryDirectory.create())
    const cluster = opened.use(await UnpackedCluster.unpack(name))
    const [snapshot, copiedFile] = [directory.join('saved.db'), directory.join('copied.db')]
    {
      await using stopped = await Etcd.start(cluster.etcd)
      await stopped.saveSnapshot(snapshot)
      await stopped.stopInto(copiedFile)
    }
    const etcd = opened.use(await Etcd.start(cluster.etcd))
    await using pachd = await TestPachd.start()
    const expected = await migrate(pachd, cluster, request)
    const records = { snapshot, copiedFile, address: etcd.address }
    const facts = { records, etcd, cluster, expected }
    return new OldSources(facts, directory, opened.move())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync()
  }

  /** Its objects, as a server would have kept them in a bucket. */
  async bucket(layout: OldLayout): Promise<ReadonlyMap<string, Buffer>> {
    const own = await filesBelow(this.cluster.storage)
    if ([...own.keys()].some((path) => path.startsWith('pach/'))) return own
    return await withLayout(this.cluster.storage, this.#directory.join(layout), layout)
  }

  /** What comes from `etcd` and `store`. */
  async migrated(etcd: string, store: Store): Promise<Migrated> {
    await using pachd = await TestPachd.start({ clouds: cloudsOf(store) })
    const from = { etcd, storage: store.storage }
    const migrated = await migrate(pachd, from, request)
    await expectWhole(pachd, this.cluster, 'keep')
    return migrated
  }
}

/** What is the same, wherever it comes from; the hash of a tree is that of all its paths and contents. */
function factsOf({ commits, damage, summary }: Migrated): unknown {
  return { commits, damage, counts: summary?.counts }
}

describe.runIf(areInstalled).each(['1.4.8', '1.5.3'] as const)('a cluster of %s', (version) => {
  const opened = new AsyncDisposableStack()
  let ofFiles: OldSources
  let ofBucket: OldSources
  const stores = new Map<string, Store>()

  beforeAll(async () => {
    const { ofFiles: files, ofBucket: bucket } = clusters[version]
    ofFiles = opened.use(await OldSources.open(files))
    ofBucket = files === bucket ? ofFiles : opened.use(await OldSources.open(bucket))
    for (const name of cloudNames) {
      const { fill, layout } = layouts[name]
      const store = await fill(
        await ofBucket.bucket(layout),
        `old-${version.replaceAll('.', '')}-${layout}`,
      )
      const [container = ''] = store.storage.split('/').slice(-1)
      const wasb = `wasb://${container}@devstoreaccount1.blob.core.windows.net`
      stores.set(name, name === 'Azure, as wasb://' ? { ...store, storage: wasb } : store)
    }
  }, startMsMax)

  afterAll(async () => opened.disposeAsync())

  const forms = Object.keys(recordForms)

  test.each(forms)('comes whole from %s and a directory of files', async (form) => {
    const { storage } = ofFiles.cluster
    const migrated = await ofFiles.migrated(recordOf(ofFiles, form), { storage, variables: {} })
    expect(factsOf(migrated)).toEqual(factsOf(ofFiles.expected))
  })

  test.each(forms)('comes whole from %s and a copy of its bucket', async (form) => {
    await using directory = await TemporaryDirectory.create()
    const { cluster } = ofBucket
    const isBucket = cluster !== ofFiles.cluster
    if (!isBucket) await withLayout(cluster.storage, directory.path, 'blocks')
    const storage = isBucket ? cluster.storage : directory.join('storage')
    const migrated = await ofBucket.migrated(recordOf(ofBucket, form), { storage, variables: {} })
    expect(factsOf(migrated)).toEqual(factsOf(ofBucket.expected))
  })

  // Records are read in one way, whatever objects lie in: each cloud goes with one form of them.
  const turn = version === '1.4.8' ? 0 : 1
  const cloudForms = cloudNames.map((name, index) => ({
    name,
    form: forms[(index + turn) % forms.length] ?? '',
  }))

  test.each(cloudForms)('comes whole from $form and from $name', async ({ name, form }) => {
    const store = stores.get(name) ?? { storage: '', variables: {} }
    const migrated = await ofBucket.migrated(recordOf(ofBucket, form), store)
    expect(factsOf(migrated)).toEqual(factsOf(ofBucket.expected))
  })

  test('what is written to its etcd while it is read is noticed', async () => {
    await using pachd = await TestPachd.start()
    const { cluster, etcd } = ofFiles
    const place = { ...request, etcd: etcd.address }
    let hasWritten: Promise<void> | undefined
    const disturbed = migrate(pachd, cluster, place, () => {
      hasWritten ??= etcd.put('pachyderm_pfs/branches/docs/later', 'x')
    })
    await expect(disturbed).rejects.toThrow(/was written to while it was read/)
    expect((await pachd.pfs.listRepo({})).repoInfo).toEqual([])
    const { damage } = await migrate(pachd, cluster, place)
    expect(damage.map(({ what }) => what)).toContain('pachyderm_pfs/branches/docs/later')
    expect(withoutOpen(await servedContents(pachd))).toEqual(
      withoutOpen(expectedContents(cluster.expected)),
    )
  })
})

function recordOf({ records }: OldSources, form: string): string {
  return records[recordForms[form] ?? 'snapshot']
}
