import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { putFiles } from '../../src/client/file-transfers.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { launching, type PachctlRun } from '../golden/pachctl-run.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { commitOf } from '../harness/files.ts'
import { TappedPort } from '../harness/tapped-port.ts'
import { mountSmallDisk } from '../harness/small-disk.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { leaveOut } from '../../src/testing/left-out.ts'

const program = fileURLToPath(new URL('../../bin/pachctl', import.meta.url))
const run = promisify(execFile)
const mib = 1024 * 1024

/** Small files, empty ones, some of a few chunks, and a large one that comes last. */
const sizes: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    Array.from({ length: 1500 }, (_, index) => [`d${index % 7}/s${index}`, (index * 37) % 3000]),
  ),
  'm/1': 300_000,
  'm/2': 3 * mib,
  'm/Ünïcödé 🙂 with blanks': 10,
  [`m/${'long'.repeat(50)}`]: 10,
  z: 12 * mib,
}

function contentOf(path: string): Uint8Array {
  const size = sizes[path] ?? 0
  return seededBytes(size + path.length, size)
}

let pachd: TestPachd
let home: TemporaryDirectory
beforeAll(async () => {
  pachd = await TestPachd.start()
  home = await TemporaryDirectory.create()
  await pachd.pfs.createRepo({ repo: { name: 'r' } })
  const commit = await pachd.pfs.startCommit({ parent: commitOf('r', ''), branch: 'master' })
  const puts = Object.keys(sizes).map((path) => ({ path, bytes: contentOf(path) }))
  await putFiles(pachd.transport, { repo: 'r', id: commit.id }, puts)
  await pachd.pfs.finishCommit({ commit })
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
  await home[Symbol.asyncDispose]()
})

async function pachctl(...args: readonly string[]): Promise<PachctlRun> {
  return pachctlAt(pachd.port, ...args)
}

async function pachctlAt(port: number, ...args: readonly string[]): Promise<PachctlRun> {
  return pachctlHere(args, { port, home: home.path })
}

/** Kills pachctl when `bytes` have come to it and `isReady` says that they have been stored. */
async function killAfter(
  bytes: number,
  args: readonly string[],
  isReady: () => boolean,
): Promise<void> {
  await using tapped = await TappedPort.open(pachd.port, { stallAfterBytes: bytes })
  const child = spawn(program, args, {
    cwd: home.path,
    stdio: 'ignore',
    env: { ...launching(), HOME: home.path, ADDRESS: `127.0.0.1:${tapped.port}` },
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  await vi.waitFor(() => expect(isReady()).toBe(true), { interval: 10, timeout: 60_000 })
  child.kill('SIGKILL')
  await ended
}

/** Paths of the files below a directory, without those that are unfinished. */
function filesIn(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => !path.startsWith('.pachctl-part'))
    .filter((path) => lstatSync(join(directory, path)).isFile())
}

function expectWhole(directory: string, paths: readonly string[]): void {
  const broken = paths.filter(
    (path) => Buffer.compare(readFileSync(join(directory, path)), contentOf(path)) !== 0,
  )
  expect(broken).toEqual([])
}

describe('a tree', () => {
  test('comes as it was put, to the last byte', async () => {
    const directory = home.join('whole')
    expect(await pachctl('get-file', 'r', 'master', '/', '-r', '-o', directory)).toEqual({
      code: 0,
      out: '',
      err: '',
    })
    const paths = filesIn(directory)
    expect(paths.toSorted()).toEqual(Object.keys(sizes).toSorted())
    expectWhole(directory, paths)
    expect(await readdir(directory)).not.toContain('.pachctl-part')
  })

  test('that was killed on its way has no half files, and is gone on with', async () => {
    const directory = home.join('killed')
    const args = ['get-file', 'r', 'master', '/', '-r', '-o', directory]
    await mkdir(directory)
    await killAfter(1_300_000, args, () => filesIn(directory).length > 100)
    expectWhole(directory, filesIn(directory))
    const countBefore = filesIn(directory).length
    await killAfter(1_500_000, [...args, '--resume'], () => filesIn(directory).length > countBefore)
    expectWhole(directory, filesIn(directory))
    const before = filesIn(directory)
    const inodes = new Map(before.map((path) => [path, lstatSync(join(directory, path)).ino]))
    const { code, out } = await pachctl(...args, '--resume', '--verify')
    expect(code).toBe(0)
    const total = Object.keys(sizes).length
    expect(out).toBe(
      `${before.length} files there already, ${total - before.length} stored\n` +
        `${total} files verified: what is on the disk is what the commit has\n`,
    )
    const paths = filesIn(directory)
    expect(paths).toHaveLength(total)
    expectWhole(directory, paths)
    // Not written again.
    for (const [path, ino] of inodes) expect(lstatSync(join(directory, path)).ino).toBe(ino)
    expect(await readdir(directory)).not.toContain('.pachctl-part')
  })

  test('of which something was changed or removed gets just that again', async () => {
    const directory = home.join('changed')
    const args = ['get-file', 'r', 'master', '/m', '-r', '-o', directory]
    await pachctl(...args)
    await writeFile(join(directory, '1'), seededBytes(5, 300_000))
    await rm(join(directory, '2'))
    const { out } = await pachctl(...args, '--resume')
    expect(out).toBe('2 files there already, 2 stored\n')
    expectWholeBelow('m', directory)
  })

  test('on a disk that changed it is found out by --verify', async () => {
    const directory = home.join('rotten')
    const args = ['get-file', 'r', 'master', '/m', '-r', '-o', directory]
    await pachctl(...args)
    // A directory in its place stays, so that nothing is stored there.
    await rm(join(directory, '1'))
    await mkdir(join(directory, '1'))
    const { code, out, err } = await pachctl(...args, '--verify')
    expect([code, out]).toEqual([1, ''])
    expect(err).toContain('not stored: 1: a directory is in its place')
    expect(err).toContain(`${join(directory, '1')} is no file`)
    expect(err).toContain('1 of 4 files')
  })
})

function expectWholeBelow(prefix: string, directory: string): void {
  const paths = filesIn(directory)
  const broken = paths.filter(
    (path) =>
      Buffer.compare(readFileSync(join(directory, path)), contentOf(`${prefix}/${path}`)) !== 0,
  )
  expect(broken).toEqual([])
}

async function hashHex(path: string): Promise<string> {
  const file = { commit: commitOf('r', 'master'), path }
  return Buffer.from((await pachd.pfs.inspectFile({ file })).hash).toString('hex')
}

describe('a large file', () => {
  test('that was killed on its way goes on where it was, but for what is not right', async () => {
    const target = home.join('z')
    const args = ['get-file', 'r', 'master', 'z', '-o', target]
    const staging = home.join('.pachctl-part')
    const hash = await hashHex('z')
    const partial = (): string => {
      const names = existsSync(staging) ? readdirSync(staging) : []
      return names.find((name) => name.endsWith(`.${hash}`)) ?? ''
    }
    await killAfter(10 * mib, args, () => {
      const name = partial()
      return name !== '' && lstatSync(join(staging, name)).size > 9 * mib
    })
    await expect(stat(target)).rejects.toThrow('ENOENT')
    {
      await using file = await open(join(staging, partial()), 'r+')
      await file.write(Buffer.from('wrong'), 0, 5, 7 * mib)
    }
    await using tapped = await TappedPort.open(pachd.port)
    const { code, out } = await pachctlAt(tapped.port, ...args, '--resume', '--verify')
    expect([code, out]).toEqual([
      0,
      'stored\n1 file verified: what is on the disk is what the commit has\n',
    ])
    expect(Buffer.compare(await readFile(target), contentOf('z'))).toBe(0)
    await expect(stat(staging)).rejects.toThrow('ENOENT')
    // From the chunk that is not right on, of 4 MiB at most.
    expect(tapped.downBytes).toBeGreaterThan(5 * mib)
    expect(tapped.downBytes).toBeLessThan(10 * mib)
  })

  test('in a tree goes on where it was, too', async () => {
    const directory = home.join('large-tree')
    // Named as docs/formats/unfinished-files.md says.
    await mkdir(join(directory, '.pachctl-part'), { recursive: true })
    // Of a process that cannot be: systems have no such numbers.
    const left = join(directory, '.pachctl-part', `${2 ** 30}.01234567.${await hashHex('z')}`)
    await writeFile(left, contentOf('z').subarray(0, 10 * mib))
    await using tapped = await TappedPort.open(pachd.port)
    const args = ['get-file', 'r', 'master', '/', '-r', '-o', directory, '--resume']
    const { code, out } = await pachctlAt(tapped.port, ...args)
    const total = Object.keys(sizes).length
    expect([code, out]).toEqual([0, `0 files there already, ${total} stored\n`])
    const paths = filesIn(directory)
    expect(paths).toHaveLength(total)
    expectWhole(directory, paths)
    expect(await readdir(directory)).not.toContain('.pachctl-part')
    // Some 6 MiB of other files, and the end of this one.
    expect(tapped.downBytes).toBeLessThan(13 * mib)
  })
})

describe('an archive', () => {
  test('is the tree, for another program', async () => {
    const directory = home.join('unpacked')
    await mkdir(directory)
    const script = '"$0" get-file r master / --tar | tar x -C "$1"'
    await run('bash', ['-o', 'pipefail', '-c', script, program, directory], {
      env: {
        ...launching(),
        HOME: home.path,
        ADDRESS: `127.0.0.1:${pachd.port}`,
        LC_ALL: 'C.UTF-8',
      },
    })
    const paths = filesIn(directory)
    expect(paths).toHaveLength(Object.keys(sizes).length)
    expectWhole(directory, paths)
    const { finished } = await pachd.pfs.inspectCommit({ commit: commitOf('r', 'master') })
    expect(BigInt(lstatSync(join(directory, 'z')).mtimeMs) / 1000n).toBe(finished?.seconds)
  })

  test('of a file or a pattern has names from where it begins, and is the same each time', async () => {
    expect(await namesAndHash('m/1')).toMatch(/^1\n/)
    const some = await namesAndHash('/d[12]/s1')
    expect(some).toMatch(/^d1\/s1\n/)
    expect(await namesAndHash('/d[12]/s1')).toBe(some)
  })

  test('is not for a terminal, nor for what nobody has', async () => {
    const { code, err } = await pachctl('get-file', 'r', 'master', '/none', '--tar')
    expect([code, err]).toEqual([1, expect.stringContaining('file /none not found')])
  })
})

/** Of the archive of a path: what is in it, and its SHA-256. */
async function namesAndHash(path: string): Promise<string> {
  const script = '"$0" get-file r master "$1" --tar | tee "$2" | tar t'
  const archive = home.join('archive.tar')
  const args = ['-o', 'pipefail', '-c', script, program, path, archive]
  const { stdout } = await run('bash', args, {
    env: { ...launching(), HOME: home.path, ADDRESS: `127.0.0.1:${pachd.port}` },
  })
  const hash = createHash('sha256').update(await readFile(archive))
  return stdout + hash.digest('hex')
}

test('a disk that gets full is told with what to do, and gone on with when there is room', async (context) => {
  const disk = home.join('disk')
  await using mounted = await mountSmallDisk(disk, 24)
  if (mounted === undefined) return leaveOut(context, 'this machine lets us mount nothing')
  await writeFile(join(disk, 'filler'), new Uint8Array(20 * mib))
  const directory = join(disk, 'm')
  const args = ['get-file', 'r', 'master', '/', '-r', '-o', directory]
  const { code, err } = await pachctl(...args)
  expect(code).toBe(1)
  expect(err).toContain(`no room is left on the disk of ${directory}`)
  expect(err).toContain('--resume')
  const stored = filesIn(directory)
  expectWhole(directory, stored)
  expect(stored.length).toBeGreaterThan(100)
  await rm(join(disk, 'filler'))
  const rest = await pachctl('get-file', 'r', 'master', '/[dm]*', '-r', '-o', directory, '--resume')
  expect(rest).toMatchObject({ code: 0, err: '' })
  expect(rest.out).toContain(`${stored.length} files there already`)
  expectWhole(directory, filesIn(directory))
})
