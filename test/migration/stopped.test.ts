import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type MigrationProgress, OpenCommits } from '../../src/gen/pachyderm_pb.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { UnpackedCluster } from '../harness/old-clusters.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'
import { migrate } from './migrate.ts'
import { expectedContents, servedContents, withoutOpen } from './migrated.ts'

const request = {
  force: true,
  keepPaused: true,
  killUnfinishedJobs: true,
  openCommits: OpenCommits.KEEP,
}
/** Moments at which the server is killed, spread over what a migration takes; more by hand. */
const killCount = Number(process.env['KILLED_ROUNDS'] ?? 3)
const tookMs = 1200

test('a migration whose server is killed shows nothing, and goes on where it was', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await using directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  let isComplete = false
  for (let round = 0; round < killCount && !isComplete; round += 1) {
    await using child = new ChildPachd(['--root', root, '--address', '127.0.0.1:0'])
    await using client = new TestClient(await child.ready)
    const { repoInfo } = await client.pfs.listRepo({})
    isComplete = repoInfo.length > 0
    if (isComplete) break
    // What has come is kept, whatever is collected.
    for await (const _ of client.admin.collectGarbage({}));
    const migrating = migrate(client, cluster, request).catch(() => undefined)
    await sleep((tookMs * (round + 1)) / (killCount + 1))
    const shown = await client.pfs.listRepo({})
    expect([0, 25]).toContain(shown.repoInfo.length)
    child.signal('SIGKILL')
    await migrating
  }
  await using pachd = await TestPachd.start({ root })
  if ((await pachd.pfs.listRepo({})).repoInfo.length === 0) {
    await migrate(pachd, cluster, request)
  }
  expect(withoutOpen(await servedContents(pachd))).toEqual(
    withoutOpen(expectedContents(cluster.expected)),
  )
  const found: string[] = []
  for await (const { event } of pachd.admin.check({ full: true })) {
    if (event.case === 'finding') found.push(event.value.what)
  }
  expect(found).toEqual([])
})

function objectsIn({ counts }: MigrationProgress): bigint {
  return counts?.objects ?? 0n
}

async function objectsOfWhole(cluster: UnpackedCluster): Promise<bigint | undefined> {
  await using pachd = await TestPachd.start()
  const { summary } = await migrate(pachd, cluster, { ...request, dryRun: true })
  return summary?.counts?.objects
}

test('a caller that goes away stops the migration, and the next one reads only what is missing', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await using pachd = await TestPachd.start()
  const stop = new AbortController()
  const calling = (async () => {
    const { etcd, storage } = cluster
    const options = { signal: stop.signal }
    for await (const { event } of pachd.migrations.migrate(
      { etcd, storage, ...request },
      options,
    )) {
      if (event.case === 'progress' && objectsIn(event.value) > 20n) stop.abort()
    }
  })()
  await expect(calling).rejects.toThrow(/cancel|abort/i)
  expect((await pachd.pfs.listRepo({})).repoInfo).toEqual([])
  // The server hears of it a little later, and runs one migration at a time.
  let first: bigint | undefined
  let objects: bigint | undefined
  const again = async (): Promise<bigint | undefined> => {
    const { summary } = await migrate(pachd, cluster, request, ({ event }) => {
      if (event.case === 'progress') first ??= objectsIn(event.value)
    })
    objects = summary?.counts?.objects
    return objects
  }
  await expect.poll(async () => again().catch(() => undefined)).toBeDefined()
  expect(first).toBeGreaterThan(0n)
  // Counted once each, as where nothing stopped.
  expect(objects).toBe(await objectsOfWhole(cluster))
  expect((await pachd.pfs.listRepo({})).repoInfo.length).toBe(25)
})

test('what was brought and not completed is forgotten when it is given up', async () => {
  await using cluster = await UnpackedCluster.unpack('1.4.8')
  await using pachd = await TestPachd.start()
  await expect(migrate(pachd, cluster, request)).rejects.toThrow(/--skip-damaged/)
  await expect(pachd.migrations.abandonMigration({})).resolves.toMatchObject({ found: true })
  await expect(pachd.migrations.abandonMigration({})).resolves.toMatchObject({ found: false })
  for await (const { message } of pachd.admin.collectGarbage({})) {
    if (message.case !== 'report') continue
    expect(message.value.bytesAfter).toBeLessThan(10_000n)
  }
})
