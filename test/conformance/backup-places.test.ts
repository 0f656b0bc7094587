import { execFile, spawnSync } from 'node:child_process'
import {
  link as linkFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { SystemRandom } from '../../src/base/random.ts'
import { requireBackupSettings } from '../../src/server/backing-up/backup-settings.ts'
import { parseBucketPlace } from '../../src/server/bucket-place.ts'
import { noClouds } from '../../src/server/ports.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { failed } from '../harness/expectations.ts'
import { collect, commitFiles } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { mountSmallDisk } from '../harness/small-disk.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { leaveOut } from '../../src/testing/left-out.ts'

const run = promisify(execFile)

let directory: TemporaryDirectory
beforeEach(async () => {
  directory = await TemporaryDirectory.create()
})
afterEach(async () => {
  await directory[Symbol.asyncDispose]()
})

async function fill(server: TestPachd): Promise<void> {
  await server.pfs.createRepo({ repo: { name: 'images' } })
  const text = Buffer.from(seededBytes(1, 3_000_000)).toString('base64')
  await commitFiles(server, { repo: 'images', branch: 'master' }, { file: text })
}

/** What pachctl says; its code with it. */
async function extract(server: TestPachd, ...flags: readonly string[]) {
  const here = { port: server.port, home: directory.path }
  const { code, out, err } = await pachctlHere(['extract', ...flags], here)
  return { code, text: `${out}${err}` }
}

test('a backup goes through a named pipe, which stays one', async () => {
  await using server = await TestPachd.start()
  await fill(server)
  const [pipe, copy] = [directory.join('pipe'), directory.join('copy.tar')]
  spawnSync('mkfifo', [pipe])
  const copying = run('sh', ['-c', `cat '${pipe}' > '${copy}'`])
  expect(await extract(server, '--file', pipe)).toMatchObject({ code: 0 })
  await copying
  expect((await stat(pipe)).isFIFO()).toBe(true)
  const here = { port: server.port, home: directory.path }
  const verified = await pachctlHere(['verify-backup', '--file', copy], here)
  expect(verified).toMatchObject({ code: 0, err: '' })
  expect(await readdir(directory.path)).toEqual(['copy.tar', 'pipe'])
})

test('a backup is read from a named pipe, whole or said to be cut short there', async () => {
  await using server = await TestPachd.start()
  await fill(server)
  const [pipe, copy] = [directory.join('pipe'), directory.join('copy.tar')]
  spawnSync('mkfifo', [pipe])
  await extract(server, '--file', copy)
  const read = async (from: string, to: TestPachd, ...args: readonly string[]) => {
    const writing = run('sh', ['-c', `${from} > '${pipe}'`])
    const here = { port: to.port, home: directory.path }
    const { code, out, err } = await pachctlHere([...args, '--file', pipe], here)
    await writing
    return { code, text: `${out}${err}` }
  }
  expect(await read(`cat '${copy}'`, server, 'verify-backup')).toEqual({
    code: 0,
    text: expect.stringContaining('1 snapshot is whole'),
  })
  expect(await read(`head -c 9000 '${copy}'`, server, 'verify-backup')).toEqual({
    code: 1,
    text: expect.stringContaining(`${pipe} is cut short`),
  })
  await using other = await TestPachd.start()
  await other.pfs.createRepo({ repo: { name: 'own' } })
  expect(await read(`cat '${copy}'`, other, 'restore', '--repo', 'images')).toEqual({
    code: 0,
    text: expect.stringContaining('images: 1 commit restored'),
  })
})

test.each(['gzip', 'xz', 'bzip2'])(
  'an archive that %s has packed is told to be that',
  async (program) => {
    const archive = directory.join('archive.tar')
    await writeFile(archive, seededBytes(1, 2000))
    await run('sh', ['-c', `${program} '${archive}' && mv '${archive}'.* '${archive}'`])
    const here = { port: 1, home: directory.path }
    const { code, err } = await pachctlHere(['verify-backup', '--file', archive], here)
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringContaining(`as in ${program} -dc ARCHIVE | pachctl restore`),
    })
  },
)

test('a backup and what opens it do not both come through the standard input', async () => {
  const here = { port: 1, home: directory.path, input: Buffer.from('not read') }
  for (const [flag, path] of [
    ['--key-file', '/dev/stdin'],
    ['--passphrase-file', '/dev/fd/0'],
  ] as const) {
    for (const args of [
      ['restore'],
      ['restore', '--repo', 'one'],
      ['verify-backup', '--file', '-'],
    ]) {
      const { code, err } = await pachctlHere([...args, flag, path], here)
      expect({ code, err }).toEqual({
        code: 1,
        err: `the backup comes through the standard input, and so would what ${flag} names: give one of the two as a file, as in --file ARCHIVE or ${flag} FILE\n`,
      })
    }
  }
})

test('a check puts the metadata together where no other one does, and leaves nothing there', async () => {
  await using server = await TestPachd.start()
  await fill(server)
  const [backup, temporary, other] = ['backup', 'temporary', 'other'].map((name) => {
    return directory.join(name)
  }) as [string, string, string]
  await extract(server, '--directory', backup)
  await mkdir(temporary)
  await writeFile(other, 'of another check')
  for (let number = 1; number <= 200; number += 1) {
    await symlink(other, join(temporary, `verify-${number}.db`))
  }
  vi.stubEnv('TMPDIR', temporary)
  const here = { port: server.port, home: directory.path }
  const verified = await pachctlHere(['verify-backup', '--directory', backup], here)
  vi.unstubAllEnvs()
  expect(verified).toMatchObject({ code: 0, err: '' })
  expect(await readFile(other, 'utf8')).toBe('of another check')
  expect((await readdir(temporary)).length).toBe(200)
})

test('the names of the standard streams mean these', async () => {
  await using server = await TestPachd.start()
  await fill(server)
  const here = { port: server.port, home: directory.path }
  const archive = directory.join('archive.tar')
  await extract(server, '--file', archive)
  const input = await readFile(archive)
  const verified = await pachctlHere(['verify-backup', '--file', '/dev/stdin'], { ...here, input })
  expect(verified).toMatchObject({ code: 0 })
  const { code, out, err } = await pachctlHere(['extract', '--file', '/dev/stdout'], here)
  expect({ code, out: out.slice(0, 7), err }).toEqual({
    code: 0,
    out: 'backup\0',
    err: expect.stringMatching(/^snapshot .*\n$/),
  })
})

test('an archive takes the place of a backup, and of nothing else unless that is forced', async () => {
  await using server = await TestPachd.start()
  await fill(server)
  const [key, archive] = [directory.join('backup.key'), directory.join('archive.tar')]
  await writeFile(key, 'ab'.repeat(32))
  expect(await extract(server, '--file', key)).toEqual({
    code: 1,
    text: `${key} is no backup, and what it holds would be lost: name another file, or give --force\n`,
  })
  expect(await readFile(key, 'utf8')).toBe('ab'.repeat(32))
  expect(await extract(server, '--file', directory.path)).toMatchObject({
    code: 1,
    text: expect.stringContaining('is a directory: name the file to be made'),
  })
  expect(await extract(server, '--file', archive, '--key-file', key)).toMatchObject({ code: 0 })
  expect(await extract(server, '--file', archive)).toMatchObject({ code: 0 })
  expect(await extract(server, '--file', key, '--force')).toMatchObject({ code: 0 })
  expect((await stat(key)).size).toBeGreaterThan(3_000_000)
})

test('an archive takes the place of no key that opens it, whatever names the key has', async () => {
  await using server = await TestPachd.start()
  await fill(server)
  const [secret, hard, soft] = [
    directory.join('key'),
    directory.join('hard'),
    directory.join('soft'),
  ]
  await writeFile(secret, 'ab'.repeat(32))
  await linkFile(secret, hard)
  await symlink(secret, soft)
  for (const file of [secret, hard, soft]) {
    for (const flag of ['key-file', 'passphrase-file']) {
      expect(await extract(server, '--file', file, `--${flag}`, secret, '--force')).toEqual({
        code: 1,
        text: `${file} is the file of --${flag}: the backup would take the place of what opens it; name another file\n`,
      })
    }
  }
  expect(await readFile(secret, 'utf8')).toBe('ab'.repeat(32))
})

test('a damaged backup is mended by --repair, and an archive has nothing to repair', async () => {
  await using server = await TestPachd.start()
  await fill(server)
  const backup = directory.join('backup')
  await extract(server, '--directory', backup)
  const packs = await readdir(join(backup, 'packs'), { recursive: true })
  const pack = join(backup, 'packs', packs.find((name) => /[0-9a-f]{64}$/.test(name)) ?? '')
  {
    await using file = await open(pack, 'r+')
    await file.write(Buffer.from('damage'), 0, 6, 1000)
  }
  const verify = async (): Promise<number | null> =>
    (
      await pachctlHere(['verify-backup', '--directory', backup], {
        port: server.port,
        home: directory.path,
      })
    ).code
  expect(await verify()).toBe(1)
  expect(await extract(server, '--directory', backup, '--repair')).toMatchObject({ code: 0 })
  expect(await verify()).toBe(0)
  expect(await extract(server, '--file', directory.join('f'), '--repair')).toMatchObject({
    code: 1,
    text: expect.stringContaining('--repair goes with --directory or --url'),
  })
})

test('no backup is written into a data directory, by whatever way it is named, nor among files', async () => {
  await using server = await TestPachd.start()
  await fill(server)
  const { root } = server
  const link = directory.join('link')
  await symlink(join(root, 'objects'), link)
  await mkdir(join(root, 'objects', '.incoming', 'draft'))
  for (const place of [root, join(root, 'objects'), join(root, 'new', 'backup'), link]) {
    expect(await extract(server, '--directory', place)).toMatchObject({
      code: 1,
      text: expect.stringContaining('a data directory of pachd'),
    })
    for (const force of [[], ['--force']]) {
      expect(await extract(server, '--file', join(place, 'metadata.db'), ...force)).toMatchObject({
        code: 1,
        text: expect.stringMatching(/a data directory of pachd|is no directory: make it first/),
      })
    }
  }
  expect((await readFile(join(root, 'metadata.db'))).toString('latin1', 0, 6)).toBe('SQLite')
  // What a server is about to store is as it was.
  expect(await readdir(join(root, 'objects', '.incoming'))).toEqual(['draft'])
  const theirs = directory.join('theirs')
  await mkdir(join(theirs, '.incoming'), { recursive: true })
  await writeFile(join(theirs, '.incoming', 'mail'), 'not ours')
  await writeFile(join(theirs, '.profile'), 'not ours')
  expect(await extract(server, '--directory', theirs)).toMatchObject({
    code: 1,
    text: expect.stringContaining('is no backup, but holds ".profile"'),
  })
  expect(await readFile(join(theirs, '.incoming', 'mail'), 'utf8')).toBe('not ours')
})

test('no archive is written among the objects of a backup, whatever is forced', async () => {
  await using server = await TestPachd.start()
  await fill(server)
  const place = directory.join('objects')
  expect((await extract(server, '--directory', place)).code).toBe(0)
  const description = await readFile(join(place, 'backup'), 'utf8')
  const link = directory.join('packs')
  await symlink(join(place, 'packs'), link)
  for (const path of [join(place, 'x.tar'), join(place, 'backup'), join(link, 'x.tar')]) {
    expect(await extract(server, '--file', path, '--force')).toMatchObject({
      code: 1,
      text: expect.stringContaining(`is in ${place}, a directory of backups`),
    })
  }
  expect(await readFile(join(place, 'backup'), 'utf8')).toBe(description)
  expect(await readdir(join(place, 'packs'))).not.toContain('x.tar')
})

/** What is said of settings. */
async function refusal(
  backup: Parameters<typeof requireBackupSettings>[0]['backup'],
  more: Partial<Parameters<typeof requireBackupSettings>[0]> = {},
): Promise<string> {
  const root = directory.join('data')
  const ports = { clouds: noClouds, random: new SystemRandom() }
  return await requireBackupSettings({ root, ...more, backup }, ports).then(
    () => 'fine',
    (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : ''),
  )
}

test('settings of backups are looked at before a server starts, and refused by their names', async () => {
  await using server = await TestPachd.start({ root: directory.join('data') })
  await fill(server)
  const [sealed, key, file] = [
    directory.join('sealed'),
    directory.join('key'),
    directory.join('file'),
  ]
  await writeFile(key, 'cd'.repeat(32))
  await writeFile(file, 'x')
  await extract(server, '--directory', sealed, '--key-file', key)
  const secretFile = { kind: 'key', path: key } as const
  const keepCount = 1
  expect(await refusal({ to: sealed, keepCount, secretFile, every: '@daily' })).toBe('fine')
  expect(await refusal({ to: directory.join('new'), keepCount })).toBe('fine')
  expect(await readdir(directory.path)).not.toContain('new')
  expect(await refusal({ to: sealed, keepCount })).toBe('fine')
  expect(await refusal({ to: sealed, keepCount, every: '@daily' })).toMatch(
    /^UsageError: --backup-to: .* is an encrypted backup: give the key that it was made with, in a file/,
  )
  expect(await refusal({ to: sealed, keepCount, every: 'nonsense' })).toMatch(
    /^UsageError: --backup-every "nonsense": /,
  )
  expect(await refusal({ to: file, keepCount })).toMatch(/--backup-to: .*file is no directory/)
  const below = await refusal({ to: join(file, 'sub'), keepCount })
  expect(below).toMatch(/--backup-to: .*sub cannot be a directory, for a file is in the place/)
  const missing = { kind: 'passphrase', path: directory.join('none') } as const
  expect(await refusal({ to: sealed, keepCount, secretFile: missing })).toMatch(
    /--backup-passphrase-file: .*none/,
  )
  const { root } = server
  for (const place of [root, join(root, 'objects'), join(root, 'x')]) {
    expect(await refusal({ to: place, keepCount })).toContain('a data directory of pachd')
  }
  expect(await refusal({ to: directory.path, keepCount })).toContain(
    'holds the data directory'.replace('the data', `${root}, the data`),
  )
  // So does the server itself.
  const own = { to: join(root, 'objects'), keepCount }
  await expect(TestPachd.start({ root: directory.join('other'), backup: own })).rejects.toThrow(
    /--backup-to: .* a data directory of pachd/,
  )
  expect(await readdir(directory.path)).not.toContain('other')
})

test.each([
  ['s3://bucket/packs', 's3://bucket/packs', false],
  ['s3://bucket/packs', 's3://bucket/packs/backup', false],
  ['s3://bucket/packs', 's3://bucket', false],
  ['s3://bucket', 's3://bucket/backups', false],
  ['s3://bucket/packs', 's3://bucket/packs2', true],
  ['s3://bucket/packs', 's3://other/packs', true],
  ['s3://bucket/packs', 'gs://bucket/packs', true],
  ['s3://bucket/packs?endpoint=http://elsewhere', 's3://bucket/packs', true],
  [
    's3://bucket/packs?endpoint=http://localhost:9000',
    's3://bucket/packs/b?endpoint=HTTP://127.0.0.1:9000/',
    false,
  ],
  [
    's3://bucket/packs?endpoint=http://localhost:9000',
    's3://bucket/packs?endpoint=http://localhost:9001',
    true,
  ],
  [
    'as://one.blob.core.windows.net/packs/packs',
    'as://two.blob.core.windows.net/packs/packs',
    true,
  ],
  [
    'as://one.blob.core.windows.net/packs/packs',
    'as://one.blob.core.windows.net/packs/packs',
    false,
  ],
])('with packs in %s, backups may go to %s: %s', async (store, to, isFine) => {
  const text = await refusal({ to, keepCount: 1 }, { packs: { bucket: parseBucketPlace(store) } })
  expect(text).toMatch(isFine ? /^fine$/ : /among the packs of this server/)
})

test('packs that were moved to another disk are no place for backups: they are known by their files', async () => {
  const [root, moved] = [directory.join('data'), directory.join('moved')]
  await using server = await TestPachd.start({ root, metadataCopyMinutes: 0.001 })
  await fill(server)
  await rename(join(root, 'objects'), moved)
  await symlink(moved, join(root, 'objects'))
  const copies = async (): Promise<number> =>
    (await readdir(join(moved, 'snapshots')).catch(() => [])).length
  await expect.poll(copies).toBeGreaterThan(0)
  expect(await extract(server, '--directory', moved)).toMatchObject({
    code: 1,
    text: expect.stringContaining('among the packs of this server'),
  })
})

test('a server writes no backup into its own places, whoever asks', async () => {
  const [root, backup] = [directory.join('data'), directory.join('backup')]
  await using server = await TestPachd.start({ root, backup: { to: backup, keepCount: 1 } })
  await fill(server)
  // A link that came after the start.
  await symlink(join(root, 'objects'), backup)
  await expect(collect(server.backups.extract({ place: { url: backup } }))).rejects.toEqual(
    failed(Code.failedPrecondition, 'failed-precondition', 'a data directory of pachd'),
  )
})

test("a disk that is full is said to be the backup's", async ({ skip }) => {
  const small = directory.join('small')
  await using disk = await mountSmallDisk(small, 2)
  if (disk === undefined) leaveOut({ skip }, 'this machine lets us mount nothing')
  await using server = await TestPachd.start()
  await fill(server)
  const into = join(small, 'backup')
  const { code, text } = await extract(server, '--directory', into)
  expect(code).toBe(1)
  expect(text).toContain(`no room is left on the disk of the backup ${into}: make some`)
  expect(text).not.toContain('data directory')
  const archive = join(small, 'archive.tar')
  expect(await extract(server, '--file', archive)).toEqual({
    code: 1,
    text: `no room is left for ${archive}: make some on its disk, or name a file on another one\n`,
  })
  expect(await readdir(small)).toEqual(['backup'])
  const [whole, pipe] = [directory.join('whole.tar'), process.env['TMPDIR']]
  expect(await extract(server, '--file', whole)).toMatchObject({ code: 0 })
  const here = { port: server.port, home: directory.path, input: await readFile(whole) }
  process.env['TMPDIR'] = small
  try {
    const { err } = await pachctlHere(['verify-backup'], here)
    expect(err).toContain(`no room is left in ${small} for the backup that comes through the pipe`)
  } finally {
    if (pipe === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = pipe
  }
})
