import { execFile, spawnSync } from 'node:child_process'
import { cp, mkdir, open, rm, stat, statfs, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { JobState } from '../../src/gen/pps_pb.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { type ChildExit, ChildPachd, pachdProgram } from '../harness/child-pachd.ts'
import { refused } from '../harness/expectations.ts'
import { commitFiles, commitOf, fileOf, getText, putFile } from '../harness/files.ts'
import { pachdHere } from '../harness/pachd-here.ts'
import { mountSmallDisk } from '../harness/small-disk.ts'
import { TestClient } from '../harness/test-pachd.ts'
import { leaveOut } from '../../src/testing/left-out.ts'

const run = promisify(execFile)

let directory: TemporaryDirectory
/** What a server that was started and stopped has left. */
let leftData: string
beforeAll(async () => {
  directory = await TemporaryDirectory.create()
  leftData = directory.join('left')
  await using child = new ChildPachd(argsFor(leftData))
  await child.ready
  child.signal('SIGTERM')
  const { code } = await child.exit
  if (code !== 0) throw new Error(`the server ended with exit code ${code}`)
})
afterAll(async () => {
  await directory[Symbol.asyncDispose]()
})

function argsFor(root: string, port = 0): readonly string[] {
  return ['--root', root, '--address', `127.0.0.1:${port}`]
}

/** Starts a server that is expected to give up. */
async function failToStart(args: readonly string[]): Promise<ChildExit> {
  await using child = new ChildPachd(args)
  return await child.exit
}

describe('start and stop', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s ends it with 0', async (signal) => {
    const root = directory.join(signal)
    await using child = new ChildPachd(argsFor(root))
    const port = await child.ready
    child.signal(signal)
    const { code, out, err } = await child.exit
    expect(code).toBe(0)
    expect(out).toBe(`pachd is ready on 127.0.0.1:${port}, data in ${root}\n`)
    expect(err).toContain('stopped')
  })

  test('SIGTERM ends it, whatever is still open then', async () => {
    // As of a library, or a fault.
    const environment = { NODE_OPTIONS: '--import data:text/javascript,setInterval(()=>{},1e9)' }
    await using child = new ChildPachd(argsFor(directory.join('kept')), { environment })
    await child.ready
    child.signal('SIGTERM')
    const { code, err } = await child.exit
    expect(code).toBe(0)
    expect(err).toContain('pachd: ended, though something was still open: ')
  })

  test('what its parent has left open is closed, for code of pipelines would inherit it', async () => {
    await using file = await open(directory.join('held'), 'w')
    // The first ones Node closes itself.
    const inherited = [...Array.from({ length: 60 }, () => 'ignore' as const), file.fd]
    await using child = new ChildPachd(argsFor(directory.join('inheriting')), { inherited })
    await child.ready
    expect(await child.openFiles()).not.toContain(directory.join('held'))
  })

  test('it says where files are served by HTTP, after it says that it is ready', async () => {
    const root = directory.join('with-http')
    await using child = new ChildPachd([...argsFor(root), '--http-address', '127.0.0.1:0'])
    await child.ready
    child.signal('SIGTERM')
    const { out } = await child.exit
    expect(out).toMatch(/^pachd is ready on .*\nfiles by HTTP: http:\/\/127\.0\.0\.1:\d+\/\n$/)
  })

  test('flags may come from the environment', async () => {
    const root = directory.join('environment')
    const environment = { PACH_ROOT: root, PACHD_ADDRESS: '127.0.0.1:0' }
    await using child = new ChildPachd([], { environment })
    await child.ready
    child.signal('SIGTERM')
    expect((await child.exit).out).toContain(`data in ${root}\n`)
  })

  test('what was acknowledged survives a kill in the middle of everything', async () => {
    const root = directory.join('killed')
    let id: string
    let acknowledged = 0
    {
      await using child = new ChildPachd(argsFor(root))
      await using client = new TestClient(await child.ready)
      await client.pfs.createRepo({ repo: { name: 'r' } })
      await commitFiles(client, { repo: 'r', branch: 'master' }, { finished: 'yes' })
      id = (await client.pfs.startCommit({ parent: commitOf('r', ''), branch: 'master' })).id
      const puts = Array.from({ length: 200 }, async (_, index) => {
        await putFile(client, fileOf('r', id, `f${index}`), 'x'.repeat(index * 700))
        acknowledged += 1
        if (acknowledged === 50) child.signal('SIGKILL')
        return index
      })
      const settled = await Promise.allSettled(puts)
      const done = settled.flatMap((put) => (put.status === 'fulfilled' ? [put.value] : []))
      expect(await child.exit).toMatchObject({ signal: 'SIGKILL' })
      await using again = new ChildPachd(argsFor(root))
      await using reader = new TestClient(await again.ready)
      expect(done.length).toBeGreaterThanOrEqual(50)
      for (const index of done) {
        expect(await getText(reader, fileOf('r', id, `f${index}`))).toBe('x'.repeat(index * 700))
      }
      expect(await getText(reader, fileOf('r', id, 'finished'))).toBe('yes')
      await reader.pfs.finishCommit({ commit: commitOf('r', id) })
    }
  })
})

describe('what it refuses to start on', () => {
  test('a port that another server has', async () => {
    await using child = new ChildPachd(argsFor(directory.join('first')))
    const port = await child.ready
    const { code, out, err } = await failToStart(argsFor(directory.join('second'), port))
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(/^pachd: cannot listen on 127.0.0.1, port \d+: another program does/)
    // Nothing is left at what may be a mistyped path.
    await expect(stat(directory.join('second'))).rejects.toThrow('ENOENT')
  })

  test('a port for HTTP that another program has', async () => {
    await using child = new ChildPachd(argsFor(directory.join('has-port')))
    const port = await child.ready
    const args = [...argsFor(directory.join('wants-port')), '--http-address', `127.0.0.1:${port}`]
    const { code, out, err } = await failToStart(args)
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(/^pachd: --http-address: cannot listen on .*, or off to do without$/m)
    await expect(stat(directory.join('wants-port'))).rejects.toThrow('ENOENT')
  })

  test('a directory that another server has', async () => {
    const root = directory.join('shared')
    await using child = new ChildPachd(argsFor(root))
    const port = await child.ready
    for (const args of [argsFor(root), argsFor(root, port)]) {
      const { code, out, err } = await failToStart(args)
      expect([code, out]).toEqual([1, ''])
      expect(err).toContain('another server is running on')
    }
    await using client = new TestClient(port)
    await expect(client.health.health({})).resolves.toBeDefined()
  })

  test('a directory with something else in it, which it leaves alone', async () => {
    const root = directory.join('home')
    await mkdir(root)
    await writeFile(join(root, 'thesis.tex'), 'precious')
    const { code, err } = await pachdHere(argsFor(root))
    expect(code).toBe(1)
    expect(err).toContain('holds "thesis.tex"')
    expect((await run('ls', ['-A', root])).stdout).toBe('thesis.tex\n')
  })

  test('a root below a link that leads nowhere', async () => {
    const link = directory.join('link')
    await symlink(directory.join('nowhere'), link)
    const { code, err } = await pachdHere(argsFor(join(link, 'data')))
    expect(code).toBe(1)
    expect(err).toContain('a link above leads nowhere')
  })

  test('a root that is a file', async () => {
    const root = directory.join('file')
    await writeFile(root, '')
    const { code, err } = await pachdHere(argsFor(root))
    expect(code).toBe(1)
    expect(err).toContain('there is a file in its way')
  })

  test('a root in a file system that takes no directories', async () => {
    const { code, err } = await pachdHere(argsFor('/proc/pachyderm'))
    expect(code).toBe(1)
    expect(err).toBe(
      'pachd: /proc/pachyderm: no directory can be made in /proc; choose a place on a disk\n',
    )
  })

  test('a root on a disk that is mounted read-only', async (context) => {
    const disk = directory.join('read-only')
    await mkdir(disk)
    // A mount of its own, where this machine lets us have one.
    const inMount = (script: string): readonly string[] => [
      '--map-root-user',
      '--mount',
      'sh',
      '-c',
      `mount -t tmpfs -o ro none "$0" && ${script}`,
      disk,
    ]
    if (spawnSync('unshare', inMount('true')).status !== 0) {
      leaveOut(context, 'this machine lets us mount nothing')
    }
    const root = join(disk, 'a', 'b')
    const start = run('unshare', [...inMount('exec "$@"'), pachdProgram, ...argsFor(root)])
    await expect(start).rejects.toThrow(
      `pachd: data directory ${root}: its disk is mounted read-only\n`,
    )
  })

  // The version file of docs/formats/data-directory.md.
  test('a directory of a newer release', async () => {
    const root = directory.join('newer')
    await cp(leftData, root, { recursive: true })
    await writeFile(join(root, 'version'), 'pachyderm-ts data directory 3\n')
    const { code, err } = await pachdHere(argsFor(root))
    expect(code).toBe(1)
    expect(err).toContain('was written by a newer release (layout 3)')
  })

  test('a version file that makes no sense', async () => {
    const root = directory.join('senseless')
    await cp(leftData, root, { recursive: true })
    await writeFile(join(root, 'version'), 'yes\n')
    const { code, err } = await pachdHere(argsFor(root))
    expect(code).toBe(1)
    expect(err).toContain('is damaged')
  })

  test('metadata of a newer release', async () => {
    const root = directory.join('newer-metadata')
    await cp(leftData, root, { recursive: true })
    const database = new DatabaseSync(join(root, 'metadata.db'))
    database.exec(
      "UPDATE database_layers SET version = 99, release = '9.9' WHERE layer = 'storage'",
    )
    database.close()
    const { code, err } = await pachdHere(argsFor(root))
    expect(code).toBe(1)
    expect(err).toContain('was written by release 9.9 (storage version 99)')
  })

  test.each([
    ['overwritten', async (path: string) => writeFile(path, 'not a database '.repeat(1000))],
    ['cut short', async (path: string) => truncate(path, 5000)],
  ])('metadata that was %s', async (what, damage) => {
    const root = directory.join(`damaged-${what.replace(' ', '-')}`)
    await cp(leftData, root, { recursive: true })
    await damage(join(root, 'metadata.db'))
    const { code, out, err } = await pachdHere(argsFor(root))
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(/^pachd: .*metadata\.db is damaged/)
  })
})

/** Bytes that pack into no less room. */
function noise(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes)
  for (let at = 0; at < sizeBytes; at += 4) bytes.writeUInt32LE(Math.random() * 2 ** 32, at)
  return bytes
}

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}

/** Takes all the room that is left. */
async function fill(path: string): Promise<void> {
  await run('sh', ['-c', 'dd if=/dev/zero of="$0" bs=4k || true', path])
}

// Where nothing can be mounted, the same is held with injected faults: src/versioning/full-disk.test.ts,
// src/storage/packs/packed-chunks.test.ts and src/database/sqlite-reserve.test.ts.
test('a full disk leaves ways out', async (context) => {
  const disk = directory.join('no-way-out')
  await using mounted = await mountSmallDisk(disk, 12)
  if (mounted === undefined) return leaveOut(context, 'this machine lets us mount nothing')
  const root = join(disk, 'root')
  const filler = join(disk, 'filler')
  const master = { repo: 'r', branch: 'master' }
  const slow = { name: 'slow' }
  {
    await using child = new ChildPachd(argsFor(root))
    await using client = new TestClient(await child.ready)
    await client.pfs.createRepo({ repo: { name: 'r' } })
    await commitFiles(client, master, { kept: 'here' })
    await client.pps.createPipeline({
      pipeline: slow,
      transform: { cmd: ['sleep', '1000'] },
      input: { atom: { repo: 'r', glob: '/kept' } },
    })
    const { id } = await client.pfs.startCommit({ parent: commitOf('r', ''), branch: 'master' })
    const before = await freeBytes(disk)
    const large = putFile(
      client,
      fileOf('r', id, 'large'),
      Array.from({ length: 20 }, () => noise(1_000_000)),
    )
    await expect(large).rejects.toEqual(refused('resource-exhausted', 'is full'))
    // What the put took is free again, but for a few rows.
    await expect.poll(() => freeBytes(disk)).toBeGreaterThan(before - 300_000)
    await putFile(client, fileOf('r', id, 'smaller'), [noise(1_000_000)])
    await client.pfs.finishCommit({ commit: commitOf('r', id) })
    await client.pfs.startCommit({ parent: commitOf('r', ''), branch: 'master' })
    await fill(filler)
    const put = async (index: number): Promise<unknown> =>
      putFile(client, fileOf('r', 'master', `f${index}`), [noise(60_000)])
    let error: unknown
    for (let index = 0; error === undefined && index < 500; index += 1) {
      error = await put(index).then(
        () => undefined,
        (failure: unknown) => failure,
      )
    }
    expect(error).toEqual(refused('resource-exhausted', 'is full'))
    const { jobInfo: running } = await client.pps.listJob({ pipeline: slow })
    for (const { job } of running) await client.pps.stopJob({ job })
    await client.pps.stopPipeline({ pipeline: slow })
    const { jobInfo: stopped } = await client.pps.listJob({ pipeline: slow })
    expect(stopped.map(({ state }) => state)).toEqual([JobState.JOB_KILLED, JobState.JOB_KILLED])
    await client.pps.deletePipeline({ pipeline: slow })
    await client.pfs.deleteCommit({ commit: commitOf('r', 'master') })
    child.signal('SIGKILL')
    const { out, err: log } = await child.exit
    // Once, however often it was met.
    expect((out + log).match(/^.* warning the disk is full, .*$/gm)).toEqual([
      expect.stringMatching(/garbage-collect.* directory=\S*no-way-out\S* refused=1/),
    ])
  }
  await fill(filler)
  await using child = new ChildPachd(argsFor(root))
  await using client = new TestClient(await child.ready)
  expect(await getText(client, fileOf('r', 'master', 'kept'))).toBe('here')
  await client.pfs.deleteRepo({ repo: slow })
  await client.pfs.deleteRepo({ repo: { name: 'r' } })
  await rm(filler)
  await client.pfs.createRepo({ repo: { name: 'again' } })
  await commitFiles(client, { repo: 'again', branch: 'master' }, { more: 'room' })
})

test('a full disk is said in words; what is there stays readable, and room helps', async (context) => {
  const disk = directory.join('disk')
  await using mounted = await mountSmallDisk(disk, 12)
  if (mounted === undefined) return leaveOut(context, 'this machine lets us mount nothing')
  await writeFile(join(disk, 'lost+found'), Buffer.alloc(3_000_000))
  await using child = new ChildPachd(argsFor(disk))
  await using client = new TestClient(await child.ready)
  await client.pfs.createRepo({ repo: { name: 'r' } })
  await commitFiles(client, { repo: 'r', branch: 'master' }, { kept: 'here' })
  const { id } = await client.pfs.startCommit({ parent: commitOf('r', ''), branch: 'master' })
  const random = Buffer.alloc(2_000_000)
  let error: unknown
  for (let index = 0; error === undefined && index < 20; index += 1) {
    for (let at = 0; at < random.length; at += 4) random.writeUInt32LE(Math.random() * 2 ** 32, at)
    const put = putFile(client, fileOf('r', id, `f${index}`), [random])
    error = await put.then(
      () => undefined,
      (failure: unknown) => failure,
    )
  }
  expect(error).toEqual(refused('resource-exhausted', /disk.*full/))
  expect(await getText(client, fileOf('r', 'master', 'kept'))).toBe('here')
  await truncate(join(disk, 'lost+found'), 0)
  await putFile(client, fileOf('r', id, 'after'), [random.subarray(0, 1_000_000)])
  await client.pfs.finishCommit({ commit: commitOf('r', id) })
  const info = await client.pfs.inspectFile({ file: fileOf('r', id, 'after') })
  expect(info.sizeBytes).toBe(1_000_000n)
})
