import { BlobServiceClient } from '@azure/storage-blob'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Backup } from '../../src/backups/backup.ts'
import { forgetSnapshots, newest } from '../../src/backups/retention.ts'
import { parseKey } from '../../src/backups/sealing.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { SystemClock } from '../../src/base/clock.ts'
import { SystemRandom } from '../../src/base/random.ts'
import type { CloudEnvironment } from '../../src/clouds/bucket.ts'
import { backupPlaces } from '../../src/server/backup-places.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { Azurite } from '../harness/azurite.ts'
import { peersHere } from '../harness/child-program.ts'
import { failed, freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles, fileOf, getText, noise } from '../harness/files.ts'
import { GcsServer } from '../harness/gcs-server.ts'
import { Radosgw } from '../harness/radosgw.ts'
import { TestPachd } from '../harness/test-pachd.ts'

/** Of more than one part of an upload. */
const large = Buffer.from(noise(9_000_000)).toString('base64')

interface Store extends AsyncDisposable {
  readonly clouds: CloudEnvironment
  readonly url: string
}

function environment(variables: Readonly<Record<string, string>>): CloudEnvironment {
  return { variables, secretsDirectory: '/nonexistent' }
}

async function openS3(): Promise<Store> {
  const gateway = await Radosgw.start()
  const { AWS_ENDPOINT_URL: _, ...credentials } = gateway.variables
  return {
    clouds: environment(credentials),
    // As it is named to pachd --store.
    url: `s3://bucket/backups/one?endpoint=${gateway.endpoint}`,
    [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
  }
}

async function openAzure(): Promise<Store> {
  const azurite = await Azurite.start()
  const { connection } = azurite
  await BlobServiceClient.fromConnectionString(connection).getContainerClient('bucket').create()
  return {
    clouds: environment({ AZURE_STORAGE_CONNECTION_STRING: connection }),
    url: 'as://host/bucket/backups/one',
    [Symbol.asyncDispose]: () => azurite[Symbol.asyncDispose](),
  }
}

/** No emulator of it is to be had: this answers as its documentation says. */
async function openGcs(): Promise<Store> {
  const server = await GcsServer.start()
  return {
    clouds: environment({ STORAGE_EMULATOR_HOST: server.url }),
    url: 'gs://bucket/backups/one',
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

const peers = {
  'Ceph, by S3': { open: openS3, isInstalled: Radosgw.isInstalled },
  Azurite: { open: openAzure, isInstalled: Azurite.isInstalled },
  'what answers like Google Cloud Storage': { open: openGcs, isInstalled: true },
} as const
describe.each(peersHere(peers))('backups in %s', (_name, { open }) => {
  let store: Store
  let pachd: TestPachd
  let repo: string
  const value = Buffer.alloc(32, 0xcd)
  const secret = { secret: { case: 'key', value } } as const

  beforeAll(async () => {
    store = await open()
    pachd = await TestPachd.start({ clouds: store.clouds })
    repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { large, small: 'small' })
  })

  afterAll(async () => {
    await pachd[Symbol.asyncDispose]()
    await store[Symbol.asyncDispose]()
  })

  async function extracted(): Promise<{ readonly name: string; readonly objectsWritten: number }> {
    const place = { url: store.url, secret }
    const events = await collect(pachd.backups.extract({ place }))
    let [name, objectsWritten] = ['', 0]
    for (const { event } of events) {
      if (event.case === 'progress') objectsWritten = Number(event.value.objectsWritten)
      if (event.case === 'end') ({ name } = event.value)
    }
    return { name, objectsWritten }
  }

  test('the server writes them, a second one shares what is there, and restores them', async () => {
    const place = { url: store.url, secret }
    const first = await extracted()
    expect(first.objectsWritten).toBeGreaterThan(3)
    expect(await extracted()).toMatchObject({ objectsWritten: 1 })
    const events = await collect(pachd.backups.verifyBackup({ place }))
    const snapshots = events.flatMap(({ event }) =>
      event.case === 'snapshot' ? [event.value] : [],
    )
    expect(snapshots).toMatchObject([{ name: first.name, whole: true }, { whole: true }])
    expect(events.filter(({ event }) => event.case === 'damage')).toEqual([])

    const wrong = {
      url: store.url,
      secret: { secret: { case: 'key', value: Buffer.alloc(32) } },
    } as const
    await expect(collect(pachd.backups.verifyBackup({ place: wrong }))).rejects.toEqual(
      failed(Code.permissionDenied, 'permission-denied', 'does not open the backup'),
    )

    await using directory = await TemporaryDirectory.create()
    const root = directory.join('new')
    {
      await using empty = await TestPachd.start({ root, clouds: store.clouds })
      const counts = await collect(
        empty.backups.restore({ place, snapshot: first.name.slice(0, 22) }),
      )
      const snapshot = counts.at(-1)?.snapshot ?? ''
      expect(snapshot).toBe(first.name)
      // This one is not started again by itself.
      await expect(empty.backups.finishRestore({ snapshot })).rejects.toEqual(
        failed(Code.failedPrecondition, 'failed-precondition', 'restart it'),
      )
    }
    await using restored = await TestPachd.start({ root })
    expect((await getText(restored, fileOf(repo, 'master', 'large'))) === large).toBe(true)
  })

  test('old ones are forgotten, with what only they had', async () => {
    await commitFiles(pachd, { repo, branch: 'master' }, { more: 'more' })
    await extracted()
    const { signal } = new AbortController()
    const [clock, random] = [new SystemClock(), new SystemRandom()]
    const ports = { clouds: store.clouds, clock, random }
    const places = backupPlaces({ ...ports, directories: [], reach: 'any' })
    await using place = await places(store.url, signal)
    const backup = await Backup.open(place, { secret: parseKey('cd'.repeat(32)), random })
    const before = await backup.snapshots()
    const { names } = await forgetSnapshots(backup, newest(1), { pause: () => undefined })
    expect(names).toEqual(before.slice(0, -1))
    const asked = { url: store.url, secret }
    const events = await collect(pachd.backups.verifyBackup({ place: asked }))
    expect(events.at(-1)?.event).toMatchObject({ case: 'end', value: { unneeded: 0n } })
    expect(events.filter(({ event }) => event.case === 'damage')).toEqual([])
  })
})
