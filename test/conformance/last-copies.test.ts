import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SystemClock } from '../../src/base/clock.ts'
import { SystemRandom } from '../../src/base/random.ts'
import { parseBucketPlace } from '../../src/server/bucket-place.ts'
import { Log } from '../../src/server/log.ts'
import { openServer } from '../../src/server/server.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor, runPachd } from '../harness/child-pachd.ts'
import { commitFiles, fileOf, getText } from '../harness/files.ts'
import { GcsServer } from '../harness/gcs-server.ts'
import { TestClient } from '../harness/test-pachd.ts'
import { UnsteadyPort } from '../harness/unsteady-port.ts'

const testMsMax = 120_000
/** What a busy machine may add. */
const busyMs = 5000
const master = { repo: 'data', branch: 'master' }

async function put(port: number, text: string): Promise<void> {
  await using client = new TestClient(port)
  const { repoInfo } = await client.pfs.listRepo({})
  if (repoInfo.length === 0) await client.pfs.createRepo({ repo: { name: master.repo } })
  await commitFiles(client, master, { [text]: text })
}

async function textOf(port: number, name: string): Promise<string> {
  await using client = new TestClient(port)
  return await getText(client, fileOf(master.repo, master.branch, name))
}

async function snapshotsIn(root: string): Promise<readonly string[]> {
  return await readdir(join(root, 'objects', 'snapshots')).catch(() => [])
}

test(
  'what was changed before a clean stop is in a copy of the metadata, and nothing is copied twice',
  async () => {
    await using directory = await TemporaryDirectory.create()
    const root = directory.join('data')
    {
      await using pachd = new ChildPachd(oneDoor(root))
      await put(await pachd.ready, 'last')
      pachd.signal('SIGTERM')
      const { code, err } = await pachd.exit
      expect(code).toBe(0)
      expect(err).toContain('copied the metadata')
    }
    const copies = await snapshotsIn(root)
    expect(copies).toHaveLength(1)
    {
      await using pachd = new ChildPachd(oneDoor(root))
      await pachd.ready
      pachd.signal('SIGINT')
      expect((await pachd.exit).err).not.toContain('the metadata')
      expect(await snapshotsIn(root)).toEqual(copies)
    }
    await rm(join(root, 'metadata.db'))
    const recover = ['--root', root, '--recover-metadata', '--snapshot'] as const
    const [taken = ''] = copies[0]?.split('-') ?? []
    expect(await runPachd(...recover, '1999')).toMatchObject({
      code: 1,
      err: expect.stringContaining(`holds no snapshot 1999, but ${taken}`) as string,
    })
    expect(await runPachd(...recover, taken)).toMatchObject({ code: 0 })
    await using pachd = new ChildPachd(oneDoor(root))
    expect(await textOf(await pachd.ready, 'last')).toBe('last')
  },
  testMsMax,
)

test(
  'a server that is killed in the midst of its last copy starts again, whole, and so do its copies',
  async () => {
    await using directory = await TemporaryDirectory.create()
    const root = directory.join('data')
    const [clock, random] = [new SystemClock(), new SystemRandom()]
    const names: string[] = []
    for (let round = 0; round < 8; round += 1) {
      await using pachd = new ChildPachd(oneDoor(root))
      const name = `round-${round}`
      await put(await pachd.ready, name)
      names.push(name)
      pachd.signal('SIGTERM')
      // About as long as such a stop takes.
      if (round > 0) await clock.sleep(random.fraction() * 150)
      if (round > 0) pachd.signal('SIGKILL')
      await pachd.exit
    }
    const checked = await runPachd('--root', root, '--fsck', '--full')
    expect(checked).toMatchObject({ code: 0 })
    expect(checked.out).not.toContain('ERROR')
    {
      await using pachd = new ChildPachd(oneDoor(root))
      const port = await pachd.ready
      for (const name of names) expect(await textOf(port, name)).toBe(name)
      pachd.signal('SIGKILL')
      await pachd.exit
    }
    await rm(join(root, 'metadata.db'))
    expect(await runPachd('--root', root, '--recover-metadata')).toMatchObject({ code: 0 })
    await using pachd = new ChildPachd(oneDoor(root))
    expect(await textOf(await pachd.ready, 'round-0')).toBe('round-0')
  },
  testMsMax,
)

test('a last copy is in the bucket before the server ends', async () => {
  await using directory = await TemporaryDirectory.create()
  await using gcs = await GcsServer.start()
  const root = directory.join('data')
  const environment = { STORAGE_EMULATOR_HOST: gcs.url }
  const args = ['--store', 'gs://bucket/packs', '--take-bucket']
  {
    await using pachd = new ChildPachd([...oneDoor(root), ...args], { environment })
    await put(await pachd.ready, 'last')
    pachd.signal('SIGTERM')
    expect(await pachd.exit).toMatchObject({ code: 0 })
  }
  await rm(root, { recursive: true })
  await using recovering = new ChildPachd(['--root', root, ...args, '--recover-metadata'], {
    environment,
  })
  expect(await recovering.exit).toMatchObject({ code: 0 })
  await using pachd = new ChildPachd(oneDoor(root), { environment })
  expect(await textOf(await pachd.ready, 'last')).toBe('last')
})

/** A bucket that stops answering as soon as `hold` is called; `asked` resolves when a copy begins then. */
async function openHeldBucket(opened: AsyncDisposableStack) {
  const gcs = opened.use(await GcsServer.start())
  const port = opened.use(await UnsteadyPort.open(gcs.url))
  let isHeld = false
  const asked = Promise.withResolvers<undefined>()
  port.trouble = ({ url }) => {
    if (!isHeld) return undefined
    if (url?.includes('%2Fbackup') === true) asked.resolve(undefined)
    return 'no answer'
  }
  const hold = (): void => void (isHeld = true)
  return { url: port.url, hold, asked: asked.promise }
}

test('a bucket that does not answer holds up a stop for as long as a last copy may take', async () => {
  await using opened = new AsyncDisposableStack()
  const bucket = await openHeldBucket(opened)
  const directory = opened.use(await TemporaryDirectory.create())
  const clock = new SystemClock()
  const lines: string[] = []
  const server = opened.use(
    await openServer(
      {
        root: directory.join('data'),
        host: '127.0.0.1',
        port: 0,
        packs: { bucket: parseBucketPlace('gs://bucket/packs') },
      },
      {
        clock,
        random: new SystemRandom(),
        log: new Log(clock, (line) => lines.push(line)),
        release: 'test',
        clouds: { variables: { STORAGE_EMULATOR_HOST: bucket.url }, secretsDirectory: '/nowhere' },
      },
    ),
  )
  await put(server.address.port, 'last')
  bucket.hold()
  const startedMs = clock.monotonicMs()
  await server.close(0, { lastCopyMs: 2000 })
  expect(clock.monotonicMs() - startedMs).toBeLessThan(2000 + busyMs)
  await expect.poll(() => lines.join('')).toContain('the last copy of the metadata is not complete')
  // Packs that waited are where they were, and so is what has changed.
  expect(await readFile(directory.join('data', 'bucket'), 'utf8')).toContain('gs://bucket/packs')
})

test('a second signal ends a server at once that is copying', async () => {
  await using opened = new AsyncDisposableStack()
  const bucket = await openHeldBucket(opened)
  const directory = opened.use(await TemporaryDirectory.create())
  const root = directory.join('data')
  const environment = { STORAGE_EMULATOR_HOST: bucket.url }
  const clock = new SystemClock()
  {
    const args = [...oneDoor(root), '--store', 'gs://bucket/packs']
    await using pachd = new ChildPachd(args, { environment })
    await put(await pachd.ready, 'last')
    bucket.hold()
    pachd.signal('SIGTERM')
    await bucket.asked
    const startedMs = clock.monotonicMs()
    pachd.signal('SIGINT')
    const { signal, err } = await pachd.exit
    expect(signal).toBe('SIGINT')
    expect(err).toContain('copying the metadata before the end')
    expect(clock.monotonicMs() - startedMs).toBeLessThan(busyMs)
  }
})
