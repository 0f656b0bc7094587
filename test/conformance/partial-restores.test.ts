import { cp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor, runPachd } from '../harness/child-pachd.ts'
import { collect, commitFiles, fileOf, getText } from '../harness/files.ts'
import {
  allNumbers,
  commitNumbered,
  expectWhole,
  findings,
  readable,
  textOf,
} from '../harness/numbered-files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { atomOf, flush, freshPipeline, jobsOf } from '../harness/pipelines.ts'
import { flip, largePacks, packsIn } from '../harness/stored-packs.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const copying = 'cp ${PFS:-/pfs}/data/* ${PFS:-/pfs}/out/'

let directory: TemporaryDirectory
let source: TestPachd
beforeEach(async () => {
  directory = await TemporaryDirectory.create()
  source = await TestPachd.start()
  await commitNumbered(source)
})
afterEach(async () => {
  await source[Symbol.asyncDispose]()
  await directory[Symbol.asyncDispose]()
})

async function pachctl(port: number, ...args: readonly string[]) {
  return await pachctlHere(args, { port, home: directory.path })
}

async function extract(...args: readonly string[]): Promise<void> {
  expect(await pachctl(source.port, 'extract', ...args)).toMatchObject({ code: 0, err: '' })
}

async function keyFile(name: string, byte: string): Promise<string> {
  const path = directory.join(name)
  await writeFile(path, `${byte.repeat(32)}\n`)
  return path
}

test('metadata alone and data alone make a new server together, encrypted with one key or in the clear', async () => {
  const key = await keyFile('key', 'ab')
  const [bm, bd, sealed] = [directory.join('bm'), directory.join('bd'), directory.join('sealed')]
  await extract('--metadata-only', '--directory', bm)
  await extract('--data-only', '--directory', bd)
  await extract('--data-only', '--directory', sealed, '--key-file', key)
  const root = directory.join('new')
  const plain = await runPachd('--root', root, '--restore', bm, '--restore-packs', bd)
  expect(plain.code).toBe(0)
  await expectWhole(root)
  const other = directory.join('other')
  const both = ['--restore', bm, '--restore-packs', sealed, '--backup-key-file', key]
  expect((await runPachd('--root', other, ...both)).code).toBe(0)
  await expectWhole(other)
})

test('what a collection has moved between metadata and data is found in the packs that it was moved to', async () => {
  const [kept, dropped] = [textOf(100).slice(0, 100_000), textOf(101)]
  await source.pfs.createRepo({ repo: { name: 'gone' } })
  await commitFiles(source, { repo: 'gone', branch: 'master' }, { dropped, kept })
  await source.pfs.createRepo({ repo: { name: 'other' } })
  await commitFiles(source, { repo: 'other', branch: 'master' }, { kept })
  await source.pfs.deleteRepo({ repo: { name: 'gone' } })
  const [bm, bd, root] = [directory.join('bm'), directory.join('bd'), directory.join('new')]
  await extract('--metadata-only', '--directory', bm)
  await collect(source.admin.collectGarbage({}))
  await extract('--data-only', '--directory', bd)
  const args = ['--root', root, '--restore', bm, '--restore-packs', bd] as const
  expect((await runPachd(...args)).err).toContain('neither here nor in')
  const run = await runPachd(...args, '--skip-damaged')
  expect(run.code).toBe(1)
  expect(run.out).toContain('other packs, into which it may have been moved since')
  {
    await using restored = await TestPachd.start({ root })
    expect(await readable(restored)).toEqual(allNumbers)
    expect((await getText(restored, fileOf('other', 'master', 'kept'))) === kept).toBe(true)
  }
  expect((await runPachd('--root', root, '--fsck', '--fix')).code).toBe(0)
  await expectWhole(root)
})

test('data that have another key than the metadata come after them', async () => {
  const [one, two] = [await keyFile('one', 'ab'), await keyFile('two', 'cd')]
  const [bm, bd] = [directory.join('bm'), directory.join('bd')]
  await extract('--metadata-only', '--directory', bm, '--key-file', one)
  await extract('--data-only', '--directory', bd, '--key-file', two)
  const root = directory.join('new')
  const first = await runPachd(
    '--root',
    root,
    '--restore',
    bm,
    '--skip-damaged',
    '--backup-key-file',
    one,
  )
  expect(first.code).toBe(1)
  expect(first.out).toContain('data@')
  const then = await runPachd('--root', root, '--restore-packs', bd, '--backup-key-file', two)
  expect(then).toMatchObject({ code: 0, err: '' })
  await expectWhole(root)
})

test('metadata alone and data alone of one place are restored as one, by pachd and by pachctl', async () => {
  const key = await keyFile('key', 'ab')
  for (const flags of [[], ['--key-file', key]]) {
    const backup = directory.join(`both${flags.length}`)
    await extract('--metadata-only', '--directory', backup, ...flags)
    await extract('--data-only', '--directory', backup, ...flags)
    const root = directory.join(`new${flags.length}`)
    const secret = flags.length === 0 ? [] : ['--backup-key-file', key]
    const restored = await runPachd('--root', root, '--restore', backup, ...secret)
    expect(restored.code).toBe(0)
    await expectWhole(root)
    await using child = new ChildPachd(oneDoor(directory.join(`served${flags.length}`)))
    const port = await child.ready
    const run = await pachctl(port, 'restore', '--directory', backup, ...flags)
    expect(run).toMatchObject({ code: 0, err: '' })
    child.signal('SIGTERM')
    await child.exit
    await expectWhole(directory.join(`served${flags.length}`))
  }
})

test('metadata whose packs are nowhere, and packs without metadata, are refused with the way to go', async () => {
  const [bm, bd, root] = [directory.join('bm'), directory.join('bd'), directory.join('new')]
  await extract('--metadata-only', '--directory', bm)
  await extract('--data-only', '--directory', bd)
  const alone = await runPachd('--root', root, '--restore', bm)
  expect(alone.code).toBe(1)
  expect(alone.err).toMatch(/of metadata alone, and \d+ of the \d+ packs .* neither here nor in/)
  expect(alone.err).toContain('--restore METADATA --restore-packs DATA')
  const data = await runPachd('--root', root, '--restore', bd)
  expect(data).toMatchObject({ code: 1 })
  expect(data.err).toContain('--restore METADATA --restore-packs DATA')
  const archive = directory.join('archive.tar')
  await writeFile(archive, 'x')
  const file = await runPachd('--root', root, '--restore', archive)
  expect(file.code).toBe(1)
  expect(file.err).toContain('make a directory of it with tar -xf')
  expect(file.err).toContain('pachctl restore --file')
  const mistyped = directory.join('mistyped')
  const packs = await runPachd('--root', mistyped, '--restore-packs', bd)
  expect(packs.code).toBe(1)
  expect(packs.err).toContain(`--root ${mistyped} --restore METADATA --restore-packs ${bd}`)
  await expect(stat(mistyped)).rejects.toThrow('ENOENT')
  // What was refused is no obstacle for what is right.
  const right = await runPachd('--root', root, '--restore', bm, '--restore-packs', bd)
  expect(right.code).toBe(0)
  await expectWhole(root)
  await using empty = await TestPachd.start()
  const run = await pachctl(empty.port, 'restore', '--directory', bm)
  expect(run.code).toBe(1)
  expect(run.err).toContain('--restore METADATA --restore-packs DATA')
})

test('a restore of two backups that is killed shows nothing, and goes on', async () => {
  const [bm, bd, root] = [directory.join('bm'), directory.join('bd'), directory.join('new')]
  await extract('--metadata-only', '--directory', bm)
  await extract('--data-only', '--directory', bd)
  const args = ['--root', root, '--restore', bm, '--restore-packs', bd] as const
  for (const count of [1, 3]) {
    await using child = new ChildPachd(args)
    let isOver = false
    void child.exit.then(() => (isOver = true))
    const isTime = async () => isOver || (await packsIn(join(root, 'objects'))).length >= count
    await expect.poll(isTime, { interval: 1, timeout: 60_000 }).toBe(true)
    child.signal('SIGKILL')
    await child.exit
    // It may have come to its end before it was killed: either all shows, or nothing does.
    const isDone = await stat(join(root, 'metadata.db')).then(
      () => true,
      () => false,
    )
    if (isDone) break
    expect((await runPachd('--root', root)).err).toContain('metadata.db is missing')
  }
  const { out, err } = await runPachd(...args)
  expect(`${out}${err}`).toMatch(/restored .* in|has repos already/)
  await expectWhole(root)
})

/** Damages three packs of a backup in three ways; returns which files that concerns. */
async function damage(backup: string, store: string): Promise<readonly number[]> {
  const concerned: number[] = []
  const ways = [flip, (path: string) => truncate(path, 1000), (path: string) => rm(path)]
  const [first = '', second = '', third = ''] = await largePacks(backup)
  for (const [number, path] of [first, second, third].entries()) {
    const name = path.slice(-64)
    const probe = directory.join(`probe-${name}`)
    await cp(store, probe, { recursive: true })
    await rm(join(probe, 'objects/packs', name.slice(0, 2), name))
    await using pachdWithout = await TestPachd.start({ root: probe })
    const left = await readable(pachdWithout)
    concerned.push(...allNumbers.filter((each) => !left.includes(each)))
    await ways[number]?.(path)
  }
  return concerned.toSorted((left, right) => left - right)
}

test.each([
  ['in the clear', false],
  ['that is encrypted', true],
])('a damaged backup %s is restored but for what is lost, which is named', async (_, isSealed) => {
  const key = await keyFile('key', 'ab')
  const [backup, whole] = [directory.join('backup'), directory.join('whole')]
  const flags = isSealed ? ['--key-file', key] : []
  const secret = isSealed ? ['--backup-key-file', key] : []
  await extract('--directory', backup, ...flags)
  await cp(backup, whole, { recursive: true })
  const store = directory.join('store')
  expect((await runPachd('--root', store, '--restore', whole, ...secret)).code).toBe(0)
  const lost = await damage(backup, store)
  expect(lost.length).toBeGreaterThanOrEqual(3)

  const root = directory.join('new')
  const refused = await runPachd('--root', root, '--restore', backup, ...secret)
  expect(refused.code).toBe(1)
  expect(refused.err).toContain('--skip-damaged')
  const verified = await pachctl(source.port, 'verify-backup', '--directory', backup, ...flags)
  expect(verified.code).toBe(1)
  expect(verified.err).toContain('--skip-damaged')
  const run = await runPachd('--root', root, '--restore', backup, '--skip-damaged', ...secret)
  expect(run.code).toBe(1)
  expect(run.out.match(/^lost in the backup: packs\//gm)).toHaveLength(3)
  for (const number of lost)
    expect(run.out).toMatch(new RegExp(`^ +data@\\w{32}:/f${number}$`, 'm'))
  expect(run.err).toContain('3 packs are missing or damaged in the backup')
  {
    await using restored = await TestPachd.start({ root })
    expect(await readable(restored)).toEqual(allNumbers.filter((each) => !lost.includes(each)))
    const told = await findings(restored, false)
    expect(told.length).toBeGreaterThanOrEqual(3)
    // What is put again is whole again, whatever is known of the damage.
    const [again = 0] = lost
    await restored.pfs.createRepo({ repo: { name: 'again' } })
    await commitFiles(restored, { repo: 'again', branch: 'master' }, { same: textOf(again) })
    expect((await readable(restored)).includes(again)).toBe(true)
  }
  const mended = await runPachd('--root', root, '--restore-packs', whole, ...secret)
  expect(mended).toMatchObject({ code: 0, err: '' })
  await expectWhole(root)
})

test.each([
  ['in the clear', false],
  ['that is encrypted', true],
])('of a damaged pack %s comes what is whole of it', async (_, isSealed) => {
  const key = await keyFile('key', 'ab')
  const backup = directory.join('backup')
  const flags = isSealed ? ['--key-file', key] : []
  const secret = isSealed ? ['--backup-key-file', key] : []
  await extract('--directory', backup, ...flags)
  const before = await packsIn(backup)
  await source.pfs.createRepo({ repo: { name: 'pair' } })
  const long = Buffer.from(seededBytes(200, 3_000_000)).toString('base64')
  // Of its second half, nearly all is in the same chunks.
  const pair = { long, half: long.slice(long.length >>> 1) }
  await commitFiles(source, { repo: 'pair', branch: 'master' }, pair)
  await extract('--directory', backup, ...flags)
  const fresh = (await packsIn(backup)).filter((path) => !before.includes(path))
  const sizes = await Promise.all(fresh.map(async (path) => (await stat(path)).size))
  const path = fresh[sizes.indexOf(Math.max(...sizes))] ?? ''
  const bytes = await readFile(path)
  bytes.fill(0x55, 1000, 1100)
  await writeFile(path, bytes)
  const root = directory.join('new')
  const run = await runPachd('--root', root, '--restore', backup, '--skip-damaged', ...secret)
  expect(run.code).toBe(1)
  expect(run.out).toMatch(/^ +pair@\w{32}:\/long$/m)
  expect(run.out).not.toContain(':/half')
  await using restored = await TestPachd.start({ root })
  await expect(getText(restored, fileOf('pair', 'master', 'long'))).rejects.toThrow('is damaged')
  expect((await getText(restored, fileOf('pair', 'master', 'half'))) === pair.half).toBe(true)
})

test('pachctl restores a damaged backup but for what is lost, and says which files these are', async () => {
  const backup = directory.join('backup')
  await extract('--directory', backup)
  const store = directory.join('store')
  await runPachd('--root', store, '--restore', backup)
  const lost = await damage(backup, store)
  const flags = ['--directory', backup] as const
  const root = directory.join('new')
  await using child = new ChildPachd(oneDoor(root))
  const port = await child.ready
  const refused = await pachctl(port, 'restore', ...flags)
  expect(refused.code).toBe(1)
  expect(refused.err).toContain('--skip-damaged')
  const run = await pachctl(port, 'restore', ...flags, '--skip-damaged')
  expect(run.code).toBe(1)
  for (const number of lost)
    expect(run.out).toMatch(new RegExp(`^ +data@\\w{32}:/f${number}$`, 'm'))
  expect(run.err).toContain('damage was found')
  child.signal('SIGTERM')
  await child.exit
  {
    await using restored = await TestPachd.start({ root })
    expect(await readable(restored)).toEqual(allNumbers.filter((each) => !lost.includes(each)))
  }
  // The same by the server itself, which reads the place that it was started with.
  await using other = await TestPachd.start({ backup: { to: backup, keepCount: 1 } })
  const place = { url: backup }
  const told = await collect(other.backups.restore({ place, skipDamaged: true }))
  expect(told.flatMap((counts) => counts.lost).length).toBe(3)
})

test('what is left of damaged packs gives way to whole ones, whenever the restore was killed', async () => {
  const [backup, whole, root] = [
    directory.join('backup'),
    directory.join('whole'),
    directory.join('new'),
  ]
  await extract('--directory', backup)
  await cp(backup, whole, { recursive: true })
  for (const path of (await largePacks(backup)).slice(0, 4)) await flip(path)
  const args = ['--root', root, '--restore', backup, '--skip-damaged'] as const
  await using child = new ChildPachd(args)
  let isOver = false
  void child.exit.then(() => (isOver = true))
  const staged = join(root, 'restore')
  const isTime = async () => isOver || (await packsIn(staged)).length >= 2
  await expect.poll(isTime, { interval: 1, timeout: 60_000 }).toBe(true)
  child.signal('SIGKILL')
  const isKilled = (await child.exit).signal === 'SIGKILL'
  // It may have come to its end before it was killed.
  const { code } = await runPachd('--root', root, isKilled ? '--restore' : '--restore-packs', whole)
  expect(code).toBe(0)
  await expectWhole(root)
})

test('a server of a backup has a pipeline that was deleted, and processes only what was put since', async () => {
  const pipeline = await freshPipeline(source, copying, atomOf('data', '/*'))
  await flush(source, 'data', 'master')
  const [backup, root] = [directory.join('backup'), directory.join('then')]
  await extract('--directory', backup)
  await source.pps.deletePipeline({ pipeline: { name: pipeline } })
  await commitFiles(source, { repo: 'data', branch: 'master' }, { later: 'l' })
  expect((await runPachd('--root', root, '--restore', backup)).code).toBe(0)
  await using restored = await TestPachd.start({ root })
  const before = await jobsOf(restored, pipeline)
  const pull = ['pull', `127.0.0.1:${source.port}`, 'data'] as const
  expect((await pachctl(restored.port, ...pull)).out).toContain('data: 1 commit pulled')
  await flush(restored, 'data', 'master')
  const jobs = await jobsOf(restored, pipeline)
  expect(jobs.length).toBe(before.length + 1)
  expect(jobs[0]).toMatchObject({ dataProcessed: 1n, dataSkipped: BigInt(allNumbers.length) })
  expect(await getText(restored, fileOf(pipeline, 'master', 'later'))).toBe('l')
})
