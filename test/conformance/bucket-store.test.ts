import { cp, readdir, readFile, rm, stat } from 'node:fs/promises'
import {
  DeleteObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concatBytes, equalBytes } from '../../src/base/bytes.ts'
import { parseBucketPlace } from '../../src/server/bucket-place.ts'
import type { BucketConfig } from '../../src/server/pack-places-ports.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { type ChildExit, ChildPachd } from '../harness/child-pachd.ts'
import { peersRequired } from '../../src/testing/left-out.ts'
import { freshName, freshRepo } from '../harness/expectations.ts'
import {
  collect,
  commitFiles,
  commitOf,
  fileOf,
  getPieces,
  getText,
  putFile,
} from '../harness/files.ts'
import { atomOf, flush, freshPipeline } from '../harness/pipelines.ts'
import { Radosgw } from '../harness/radosgw.ts'
import { TappedPort } from '../harness/tapped-port.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'

/** Of an object store, on a busy machine. */
const startMsMax = 600_000
const testMsMax = 600_000
const Bucket = 'bucket'

describe.skipIf(!peersRequired && !Radosgw.isInstalled)('a server whose packs are in S3', () => {
  let gateway: Radosgw
  let client: S3Client
  beforeAll(async () => {
    gateway = await Radosgw.start()
    client = gateway.client()
  }, startMsMax)
  afterAll(async () => {
    client.destroy()
    await gateway[Symbol.asyncDispose]()
  })

  async function keysIn(url: string): Promise<readonly string[]> {
    const Prefix = `${url.slice(`s3://${Bucket}/`.length)}/`
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket, Prefix }))
    return Contents.map(({ Key = '' }) => Key.slice(Prefix.length))
  }

  async function snapshotsIn(url: string): Promise<readonly string[]> {
    return (await keysIn(url)).filter((key) => key.startsWith('snapshots/'))
  }

  async function start(
    root: string,
    url: string | undefined,
    more: Omit<BucketConfig, 'bucket'> = {},
    variables: Readonly<Record<string, string>> = gateway.variables,
  ): Promise<TestPachd> {
    const packs = { ...more, ...(url !== undefined && { bucket: parseBucketPlace(url) }) }
    return await TestPachd.start({
      root,
      packs,
      clouds: { variables, secretsDirectory: '/nonexistent' },
    })
  }

  function child(root: string, ...args: readonly string[]): ChildPachd {
    return new ChildPachd(['--root', root, ...args], { environment: gateway.variables })
  }

  test(
    'commits, jobs, checks and collections work, over a restart, and from the bucket alone',
    async () => {
      await using directory = await TemporaryDirectory.create()
      const root = directory.join('data')
      const url = freshUrl()
      const big = seededBytes(1, 3_000_000)
      let [repo, gone, pipeline] = ['', '', '']
      {
        await using pachd = await start(root, url)
        repo = await freshRepo(pachd)
        gone = await freshRepo(pachd)
        const copy = 'cp -r ${PFS:-/pfs}/in/. ${PFS:-/pfs}/out/'
        pipeline = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
        const { id } = await pachd.pfs.startCommit({
          parent: commitOf(repo, ''),
          branch: 'master',
        })
        await putFile(pachd, fileOf(repo, id, 'big'), [big])
        await putFile(pachd, fileOf(repo, id, 'small'), 'small')
        await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
        await flush(pachd, repo, id)
        const text = Buffer.from(seededBytes(2, 300_000)).toString('base64')
        await commitFiles(pachd, { repo: gone, branch: 'master' }, { x: text })
        await uploaded(root)
      }
      expect((await keysIn(url)).filter((key) => key.startsWith('packs/')).length).toBeGreaterThan(
        0,
      )
      await rm(`${root}/cache`, { recursive: true })
      // Where they are, the directory knows.
      await using pachd = await start(root, undefined)
      const back = concatBytes(await getPieces(pachd, fileOf(pipeline, 'master', 'big')))
      expect(equalBytes(back, big)).toBe(true)
      expect(await getText(pachd, fileOf(pipeline, 'master', 'small'))).toBe('small')
      await noDamage(pachd)
      await pachd.pfs.deleteRepo({ repo: { name: gone } })
      const messages = await collect(pachd.admin.collectGarbage({ dryRun: false }))
      const report = messages.at(-1)?.message
      expect(
        report?.case === 'report' && report.value.bytesBefore - report.value.bytesAfter,
      ).toBeGreaterThan(300_000n)
      await uploaded(root)
      await noDamage(pachd)
      expect(
        equalBytes(back, concatBytes(await getPieces(pachd, fileOf(repo, 'master', 'big')))),
      ).toBe(true)
    },
    testMsMax,
  )

  test(
    'a directory that has its packs moves to a bucket while it is used, and back',
    async () => {
      await using directory = await TemporaryDirectory.create()
      const root = directory.join('data')
      const url = freshUrl()
      const text = Buffer.from(seededBytes(3, 200_000)).toString('base64')
      const master = { repo: freshName('repo'), branch: 'master' }
      const { repo } = master
      {
        await using pachd = await start(root, undefined)
        await pachd.pfs.createRepo({ repo: { name: repo } })
        await commitFiles(pachd, master, { before: text })
      }
      expect((await packsIn(root)).length).toBeGreaterThan(0)
      {
        await using pachd = await start(root, url)
        await commitFiles(pachd, master, { during: `${text}.` })
        await uploaded(root)
        await noDamage(pachd)
      }
      expect(await readFile(`${root}/version`, 'utf8')).toMatch(/^pachyderm-ts data directory 2\n/)
      await using checking = child(root, '--fsck', '--full')
      expect(await checking.exit).toMatchObject({ code: 0, err: '' })
      await using leaving = child(root, '--leave-bucket')
      const left = await leaving.exit
      expect(left).toMatchObject({ code: 0, err: '' })
      expect(left.out).toMatch(/brought \d+ packs of \d+ bytes/)
      expect(left.out).toContain(`delete what is in ${url}: as long as .owner is there`)
      expect(await readFile(`${root}/version`, 'utf8')).toMatch(/^pachyderm-ts data directory 1\n/)
      for (const key of await keysIn(url)) {
        const Key = `${url.slice(`s3://${Bucket}/`.length)}/${key}`
        await client.send(new DeleteObjectCommand({ Bucket, Key }))
      }
      await using pachd = await TestPachd.start({ root })
      for (const path of ['before', 'during']) {
        const size = concatBytes(await getPieces(pachd, fileOf(repo, 'master', path))).length
        expect(size).toBeGreaterThanOrEqual(text.length)
      }
      await noDamage(pachd)
    },
    testMsMax,
  )

  test(
    'a bucket that is another store’s, or holds something else, is refused and stays as it is',
    async () => {
      await using directory = await TemporaryDirectory.create()
      const url = freshUrl()
      {
        await using pachd = await start(directory.join('first'), url)
        const repo = await freshRepo(pachd)
        await commitFiles(pachd, { repo, branch: 'master' }, { x: 'x'.repeat(100_000) })
        await uploaded(directory.join('first'))
      }
      const before = await keysIn(url)
      await expect(start(directory.join('second'), url)).rejects.toThrow(
        /belongs to another data directory .*each data directory needs its own/,
      )
      expect(await keysIn(url)).toEqual(before)
      const foreign = freshUrl()
      const Key = `${foreign.slice(`s3://${Bucket}/`.length)}/theirs`
      await client.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }))
      await expect(start(directory.join('third'), foreign)).rejects.toThrow(
        /holds "theirs" .*empty bucket/,
      )
      expect(await keysIn(foreign)).toEqual(['theirs'])
      await expect(start(directory.join('first'), freshUrl())).rejects.toThrow(
        /--leave-bucket first/,
      )
    },
    testMsMax,
  )

  test(
    'a directory whose disk is lost is made again of its bucket, by whoever says that nothing else uses it',
    async () => {
      await using directory = await TemporaryDirectory.create()
      const [lost, root] = [directory.join('lost'), directory.join('new')]
      const url = freshUrl()
      const master = { repo: freshName('repo'), branch: 'master' }
      {
        await using pachd = await TestPachd.start({
          root: lost,
          packs: { bucket: parseBucketPlace(url) },
          clouds: { variables: gateway.variables, secretsDirectory: '/nonexistent' },
          metadataCopyMinutes: 0.001,
        })
        await pachd.pfs.createRepo({ repo: { name: master.repo } })
        await commitFiles(pachd, master, { kept: 'k'.repeat(100_000) })
        const before = await snapshotsIn(url)
        await commitFiles(pachd, master, { last: 'last' })
        await expect
          .poll(async () => (await snapshotsIn(url)).some((key) => !before.includes(key)))
          .toBe(true)
      }
      await rm(lost, { recursive: true })
      const recover = async (from: string, ...more: readonly string[]): Promise<ChildExit> => {
        await using pachd = child(root, '--store', from, '--recover-metadata', ...more)
        return await pachd.exit
      }
      const refused = await recover(url)
      expect(refused).toMatchObject({ code: 1 })
      expect(refused.err).toContain('recover with --take-bucket')
      const nowhere = await recover(freshUrl(), '--take-bucket')
      expect(nowhere).toMatchObject({ code: 1 })
      expect(nowhere.err).toContain('does not say whose packs it has')
      const stopped = await recover(url, '--take-bucket', '--snapshot', '1999')
      expect(stopped).toMatchObject({ code: 1, out: '' })
      expect(stopped.err).toContain('holds no snapshot 1999')
      // Nothing has been made, nor taken.
      await expect(readdir(root)).rejects.toThrow('ENOENT')
      const made = await recover(url, '--take-bucket')
      expect(made).toMatchObject({ code: 0 })
      expect(made.out).toContain('those that had not been uploaded are lost with the old one')
      expect(made.out).toContain('what was changed since then is lost')
      await using pachd = await start(root, undefined)
      expect(await getText(pachd, fileOf(master.repo, 'master', 'kept'))).toBe('k'.repeat(100_000))
      await noDamage(pachd)
    },
    testMsMax,
  )

  test(
    'of two servers on copies of a directory, the one that was left behind changes nothing',
    async () => {
      await using directory = await TemporaryDirectory.create()
      const [first, second] = [directory.join('first'), directory.join('second')]
      const url = freshUrl()
      const repo = freshName('repo')
      const master = { repo, branch: 'master' }
      {
        await using left = await start(first, url)
        await left.pfs.createRepo({ repo: { name: repo } })
        await commitFiles(left, master, { x: 'x'.repeat(100_000) })
        await uploaded(first)
        await cp(first, second, { recursive: true })
        await using taking = await start(second, undefined)
        await commitFiles(taking, master, {
          y: Buffer.from(seededBytes(4, 100_000)).toString('base64'),
        })
        await uploaded(second)
        const before = await keysIn(url)
        await left.pfs.deleteRepo({ repo: { name: repo } })
        await expect(collect(left.admin.collectGarbage({ dryRun: false }))).rejects.toThrow(
          /is used by another pachd now/,
        )
        expect(await keysIn(url)).toEqual(before)
        await noDamage(taking)
      }
      await expect(start(first, undefined)).rejects.toThrow(
        /has been used by another pachd since .*--take-bucket/,
      )
      await using again = await start(second, undefined)
      await noDamage(again)
      await again[Symbol.asyncDispose]()
      await using taken = await start(first, undefined, { takesBucket: true })
      expect(taken.log.join('')).toContain('listening')
    },
    testMsMax,
  )

  test(
    'while the bucket cannot be reached, commits go on; then all is uploaded',
    async () => {
      await using directory = await TemporaryDirectory.create()
      const root = directory.join('data')
      const url = freshUrl()
      await using tap = await TappedPort.open(Number(new URL(gateway.endpoint).port))
      const variables = { ...gateway.variables, AWS_ENDPOINT_URL: `http://127.0.0.1:${tap.port}` }
      await using pachd = await start(root, url, {}, variables)
      const repo = await freshRepo(pachd)
      const bytes = seededBytes(5, 2_000_000)
      tap.cutAfterBytes = 0
      tap.cut()
      const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
      await putFile(pachd, fileOf(repo, id, 'x'), [bytes])
      await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
      const back = concatBytes(await getPieces(pachd, fileOf(repo, 'master', 'x')))
      expect(equalBytes(back, bytes)).toBe(true)
      await expect
        .poll(() => pachd.log.join(''))
        .toMatch(/packs cannot be uploaded, and wait on the disk bucket=.*cannot (read|write) s3:/)
      expect(pachd.log.join('')).not.toContain(gateway.variables['AWS_SECRET_ACCESS_KEY'])
      tap.cutAfterBytes = Infinity
      await uploaded(root)
      expect(pachd.log.join('')).toContain('packs are uploaded again')
      await noDamage(pachd)
    },
    testMsMax,
  )

  test(
    'a server killed in the middle of an upload loses nothing that it has acknowledged',
    async () => {
      await using directory = await TemporaryDirectory.create()
      const root = directory.join('data')
      const url = freshUrl()
      await using tap = await TappedPort.open(Number(new URL(gateway.endpoint).port))
      const place = `${url}?endpoint=http://127.0.0.1:${tap.port}`
      const repo = freshName('repo')
      const acknowledged: string[] = []
      for (const round of [1, 2, 3]) {
        await using server = child(root, '--address', '127.0.0.1:0', '--store', place)
        await using calls = new TestClient(await server.ready)
        if (round === 1) await calls.pfs.createRepo({ repo: { name: repo } })
        const upBytes = tap.upBytes + round * 3_000_000
        const watch = async (): Promise<void> => {
          await expect
            .poll(() => tap.upBytes, { interval: 1, timeout: 60_000 })
            .toBeGreaterThan(upBytes)
          server.signal('SIGKILL')
        }
        const killed = watch()
        const puts = Array.from({ length: 8 }, async (_, at) => {
          const branch = `b-${round}-${at}`
          const { id } = await calls.pfs.startCommit({ parent: commitOf(repo, ''), branch })
          await putFile(calls, fileOf(repo, id, 'x'), [seededBytes(round * 100 + at, 4_000_000)])
          await calls.pfs.finishCommit({ commit: commitOf(repo, id) })
          acknowledged.push(branch)
        })
        await Promise.allSettled(puts)
        await killed
        expect((await server.exit).signal).toBe('SIGKILL')
      }
      expect(acknowledged.length).toBeGreaterThan(0)
      await rm(`${root}/cache`, { recursive: true })
      await using pachd = await start(root, undefined)
      await uploaded(root)
      await noDamage(pachd)
      for (const branch of acknowledged) {
        const [, round, at] = branch.split('-').map(Number)
        const wanted = seededBytes((round ?? 0) * 100 + (at ?? 0), 4_000_000)
        const back = concatBytes(await getPieces(pachd, fileOf(repo, branch, 'x')))
        expect(equalBytes(back, wanted)).toBe(true)
      }
    },
    testMsMax,
  )

  test(
    'the cache takes no more room than it may, and reading what does not fit works',
    async () => {
      await using directory = await TemporaryDirectory.create()
      const root = directory.join('data')
      const cacheBytes = 12 * 1024 * 1024
      await using pachd = await start(root, freshUrl(), { cacheBytes })
      const repo = await freshRepo(pachd)
      const files = Array.from({ length: 6 }, (_, at) => seededBytes(10 + at, 5_000_000))
      for (const [at, bytes] of files.entries()) {
        const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
        await putFile(pachd, fileOf(repo, id, `${at}`), [bytes])
        await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
      }
      await uploaded(root)
      for (const round of [1, 2]) {
        for (const [at, bytes] of files.entries()) {
          const back = concatBytes(await getPieces(pachd, fileOf(repo, 'master', `${at}`)))
          expect([round, at, equalBytes(back, bytes)]).toEqual([round, at, true])
        }
      }
      await expect.poll(() => diskBytes(`${root}/cache`)).toBeLessThan(cacheBytes + 1024 * 1024)
      expect(await diskBytes(`${root}/cache`)).toBeGreaterThan(0)
    },
    testMsMax,
  )
})

/** Two names of one file take its room once. */
async function diskBytes(directory: string): Promise<number> {
  const sizes = new Map<number, number>()
  for (const name of await readdir(directory)) {
    const found = await stat(`${directory}/${name}`).catch(() => undefined)
    if (found !== undefined) sizes.set(found.ino, found.blocks * 512)
  }
  return [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0)
}

async function noDamage(server: TestPachd): Promise<void> {
  const kinds: string[] = []
  for await (const { event } of server.admin.check({ full: true })) {
    if (event.case === 'finding') kinds.push(event.value.kind)
  }
  expect(kinds).toEqual([])
}

async function packsIn(root: string): Promise<readonly string[]> {
  const entries = await readdir(`${root}/objects`, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
}

async function uploaded(root: string): Promise<void> {
  await expect.poll(() => packsIn(root)).toEqual([])
}

function freshUrl(): string {
  return `s3://${Bucket}/${crypto.randomUUID()}`
}
