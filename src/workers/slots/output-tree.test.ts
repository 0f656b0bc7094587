import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import type { ByteStream } from '../../base/bytes.ts'
import { SystemClock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'
import { parseFilePath, rootPath } from '../../base/paths.ts'
import type { WorkMember } from '../../pipelines/datum-worker.ts'
import type { Slot } from '../../pipelines/executor.ts'
import { ChunkedContents } from '../../storage/chunked-contents.ts'
import type { Content } from '../../storage/contents.ts'
import { type DirectoryEntry, FileTrees } from '../../storage/file-trees.ts'
import { MemoryChunkStore } from '../../storage/memory-chunks.ts'
import { openPackedStore } from '../../testing/packed-store.ts'
import { seededBytes } from '../../testing/seeded-random.ts'
import { type Files, filesOfTree, placeFiles, treeOfFiles } from '../../testing/slot-trees.ts'
import { DatumFilesError } from './datum-errors.ts'
import { writeInputs } from './input-files.ts'
import { type OutputPorts, type OutputTree, storeOutput } from './output-tree.ts'
import { Pacer } from './pacer.ts'

const clock = new SystemClock()
const chunks = new MemoryChunkStore()
const contents = new ChunkedContents(chunks)
const trees = new FileTrees(chunks)
const ports = { trees, contents, pacer: new Pacer(clock, new AbortController().signal) }

/** Later than any change: every input counts as untouched. */
const late = BigInt(Number.MAX_SAFE_INTEGER) * 1_000_000n

let host = ''
let pfs = ''

beforeEach(() => {
  host = mkdtempSync(join(tmpdir(), 'pachyderm-output-'))
  pfs = join(host, 'slot')
  mkdirSync(join(pfs, 'out'), { recursive: true })
  writeFileSync(join(host, 'secret'), 'secret')
})

afterEach(() => {
  rmSync(host, { recursive: true, force: true })
})

const put = (files: Files): void => placeFiles(pfs, files)
const treeOf = (files: Files): Promise<DirectoryEntry> => treeOfFiles(ports, files)
const filesOf = (root: DirectoryEntry): Promise<Files> => filesOfTree(ports, root)

function store(
  members: readonly WorkMember[] = [],
  writtenAt = late,
  otherPorts: Partial<OutputPorts> = {},
): Promise<OutputTree> {
  return storeOutput(
    { ...ports, ...otherPorts },
    { pfsDirectory: pfs, pfsPath: '/pfs', isInputReadOnly: false, members, writtenAt },
  )
}

/** As where each look takes long. */
class SlowClock extends SystemClock {
  restCount = 0
  #ms = 0

  override monotonicMs(): number {
    this.#ms += 1000
    return this.#ms
  }

  override async sleep(): Promise<void> {
    this.restCount += 1
  }
}

async function memberOf(files: Files, path = ''): Promise<WorkMember> {
  const entry = await trees.get(await treeOf(files), parseFilePath(path))
  expect(entry).toBeDefined()
  return { input: 'in', path: parseFilePath(path), entry: entry ?? (await trees.emptyRoot()) }
}

/** A file that is all hole. */
function putHole(name: string, bytes: number): void {
  writeFileSync(join(pfs, name), '')
  truncateSync(join(pfs, name), bytes)
}

const mebibyte = 1024 ** 2

test('a long hole can be given up while it is read', async () => {
  putHole('out/z', 1024 ** 4)
  const abort = new AbortController()
  const written: number[] = []
  class WatchedContents extends ChunkedContents {
    override async write(pieces: ByteStream): Promise<Content> {
      for await (const piece of pieces) {
        written.push(piece.length)
        if (written.length === 3) abort.abort()
      }
      throw new Error('it was read to its end')
    }
  }
  const watched = new WatchedContents(chunks)
  const held = { ...ports, contents: watched, pacer: new Pacer(clock, abort.signal) }
  await expect(store([], late, { ...held, outputBytesMax: 2 ** 50 })).rejects.toThrow(
    CancelledError,
  )
})

test('files that are longer together than their bound, or than the whole disk, are refused unread', async () => {
  putHole('out/a', 33 * mebibyte)
  putHole('out/b', 32 * mebibyte)
  await expect(store([], late, { outputBytesMax: 64 * mebibyte })).rejects.toThrow(
    new DatumFilesError(
      'the output is too long to be stored: with /pfs/out/b its files are 65MiB long, holes in them included, and its bound is 64MiB',
    ),
  )
  const { root } = await store([], late, { outputBytesMax: 65 * mebibyte })
  expect(await trees.get(root, parseFilePath('/b'))).toBeDefined()
  const { blocks, bsize } = statfsSync(pfs)
  putHole('out/c', blocks * bsize + 1)
  await expect(store()).rejects.toThrow(/out\/c its files are .* and its disk has /)
})

interface Links {
  readonly [name: string]: string
}

const goodCases: Readonly<
  Record<string, { readonly files?: Files; readonly links?: Links; readonly output: Files }>
> = {
  nothing: { output: {} },
  'files, also empty ones, in directories': {
    files: { 'out/b': 'B', 'out/a/c/d': 'D', 'out/empty': '' },
    output: { '/a/': '', '/a/c/': '', '/a/c/d': 'D', '/b': 'B', '/empty': '' },
  },
  'empty directories': {
    files: { 'out/a/b/': '', 'out/c/': '' },
    output: { '/a/': '', '/a/b/': '', '/c/': '' },
  },
  'names that sort around a slash': {
    files: { 'out/a/b': '1', 'out/a-b': '2', 'out/a.b': '3', 'out/ab': '4', 'out/a b': '5' },
    output: { '/a/': '', '/a/b': '1', '/a b': '5', '/a-b': '2', '/a.b': '3', '/ab': '4' },
  },
  'names in any script, and characters special to shells': {
    files: { 'out/ä €😀\u{fffd}': 'x', 'out/\n\t\\"\'*$': 'y', 'out/-rf': 'z' },
    output: { '/ä €😀\u{fffd}': 'x', '/\n\t\\"\'*$': 'y', '/-rf': 'z' },
  },
  'a link to an output file, relative and absolute': {
    files: { 'out/d/f': 'F' },
    links: { 'out/l': 'd/f', 'out/d/m': './f', 'out/n': '/pfs/out/d/f' },
    output: { '/d/': '', '/d/f': 'F', '/d/m': 'F', '/l': 'F', '/n': 'F' },
  },
  'a link to a directory: what is in it, once more': {
    files: { 'out/d/f': 'F', 'out/d/e/': '' },
    links: { 'out/l': 'd' },
    output: { '/d/': '', '/d/e/': '', '/d/f': 'F', '/l/': '', '/l/e/': '', '/l/f': 'F' },
  },
  'a chain of links, through a directory that is a link': {
    files: { 'in/d/f': 'F' },
    links: { 'in/k': 'd', 'out/a': 'b', 'out/b': '/pfs/in/k/f' },
    output: { '/a': 'F', '/b': 'F' },
  },
  'a link that leaves /pfs only to come back, as ln -sr makes them': {
    files: { 'in/f': 'F' },
    links: { 'out/l': '../in/f', 'out/m': '../../pfs/in/./f', 'out/n': '/../pfs//in/f' },
    output: { '/l': 'F', '/m': 'F', '/n': 'F' },
  },
  'a link to a file that no input has': {
    files: { 'in/new': 'N', 'scratch/f': 'S' },
    links: { 'out/a': '/pfs/in/new', 'out/b': '/pfs/scratch/f' },
    output: { '/a': 'N', '/b': 'S' },
  },
}

test.each(Object.entries(goodCases))('%s', async (_name, { files, links, output }) => {
  put(files ?? {})
  for (const [name, text] of Object.entries(links ?? {})) symlinkSync(text, join(pfs, name))
  const stored = await store()
  expect(await filesOf(stored.root)).toEqual(output)
  expect(stored.root.root).toBe((await treeOf(output)).root)
})

const badLinks: readonly (readonly [string, string, RegExp])[] = [
  ['to nothing', 'nowhere', /\/pfs\/out\/l leads to nothing/],
  ['below a file', 'f/x', /leads to nothing/],
  ['to a file with a slash', 'f/', /leads to nothing/],
  ['to itself', 'l', /in circles/],
  ['to a directory that it is in', '.', /leads back to \/pfs\/out/],
  ['to /pfs, which it is in', '/pfs', /leads back to \/pfs\/out/],
  ['to the host', '/etc/passwd', /leads out of \/pfs \(to \/etc\/passwd\)/],
  ['to a neighbour of /pfs', '/pfsx/f', /leads out of \/pfs/],
  ['up to the host', '../../etc/passwd', /leads out of \/pfs/],
  ['to the root', '/', /leads out of \/pfs/],
  ['up to the root', '../..', /leads out of \/pfs/],
  ['to what is beside the slot on the host', '../../secret', /leads out of \/pfs/],
]

test.each(badLinks)('a link %s (%j) makes the datum fail', async (_name, text, reason) => {
  put({ 'out/f': 'F' })
  symlinkSync(text, join(pfs, 'out/l'))
  await expect(store()).rejects.toThrow(reason)
  await expect(store()).rejects.toThrow(DatumFilesError)
})

test('a directory of more entries than memory bears is refused, as soon as that is seen', async () => {
  for (const [directory, count] of [
    ['', 2],
    ['many', 5],
    ['many/below', 3],
  ] as const) {
    mkdirSync(join(pfs, 'out', directory), { recursive: true })
    for (let index = 0; index < count; index += 1) {
      writeFileSync(join(pfs, 'out', directory, `f${index}`), '')
    }
  }
  // Two and a directory, five and a directory, three.
  const { root } = await store([], late, { heldEntriesMax: 12 })
  expect(root.fileCount).toBe(10)
  await expect(store([], late, { heldEntriesMax: 11 })).rejects.toThrow(
    /^\/pfs\/out\/many\/below has, with the directories that it is in, more than 11 entries/,
  )
  await expect(store([], late, { heldEntriesMax: 2 })).rejects.toThrow(
    /^\/pfs\/out has, .* write to more directories/,
  )
})

test('a link may lead through very many names, but not any number, and others run meanwhile', async () => {
  put({ 'out/f': 'F' })
  const far = './'.repeat(2000)
  symlinkSync(`${far}f`, join(pfs, 'out/b'))
  symlinkSync(`${far}b`, join(pfs, 'out/a'))
  const slow = new SlowClock()
  const pacer = new Pacer(slow, new AbortController().signal)
  const { root } = await store([], late, { pacer })
  expect(await filesOf(root)).toEqual({ '/a': 'F', '/b': 'F', '/f': 'F' })
  expect(slow.restCount).toBeGreaterThan(6000)
  symlinkSync(`${far}a`, join(pfs, 'out/z'))
  await expect(store()).rejects.toThrow(
    'symbolic link /pfs/out/z leads through more than 4096 names',
  )
  await expect(store()).rejects.toThrow(DatumFilesError)
})

test('the host is not reached by its own paths, nor through a link in an input', async () => {
  symlinkSync(join(host, 'secret'), join(pfs, 'out/l'))
  await expect(store()).rejects.toThrow(/leads out of \/pfs/)
  rmSync(join(pfs, 'out/l'))
  put({ 'in/': '' })
  symlinkSync(host, join(pfs, 'in/d'))
  symlinkSync('/pfs/in/d/secret', join(pfs, 'out/l'))
  await expect(store()).rejects.toThrow(/leads out of \/pfs/)
})

test.each([
  ['a named pipe', (path: string) => execFileSync('mkfifo', [path])],
  ['a socket', (path: string) => createServer().listen(path)],
])('%s makes the datum fail', async (kind, make) => {
  const made = make(join(pfs, 'out/x'))
  try {
    if (!Buffer.isBuffer(made)) await new Promise((done) => made.once('listening', done))
    await expect(store()).rejects.toThrow(`/pfs/out/x is a special file (${kind})`)
  } finally {
    if (!Buffer.isBuffer(made)) made.close()
  }
})

test('others run while a directory of very many files is listed and put in order', async () => {
  const names = Array.from({ length: 4500 }, (_, index) => `${index}`.padStart(200))
  for (const name of names) writeFileSync(join(pfs, 'out', name), '.')
  const slow = new SlowClock()
  const restsBefore: number[] = []
  class WatchedContents extends ChunkedContents {
    override async writeBytes(bytes: Uint8Array): Promise<Content> {
      restsBefore.push(slow.restCount)
      return await super.writeBytes(bytes)
    }
  }
  const { root } = await store([], late, {
    contents: new WatchedContents(chunks),
    pacer: new Pacer(slow, new AbortController().signal),
  })
  expect(restsBefore[0]).toBe(5 + 1)
  expect(Object.keys(await filesOf(root))).toEqual(names.map((name) => `/${name}`).toSorted())
})

function moduleUrl(name: string): string {
  return JSON.stringify(import.meta.resolve(name))
}

test('directories are stored as deep as paths go, though nothing rests on the way', () => {
  const half = Array.from({ length: 1000 }, () => 'd').join('/')
  // One path for all of it would be longer than this host takes.
  const make =
    'cd "$0" && mkdir -p "$1" && cd "$1" && mkdir -p "$1" && cd "$1" && echo >f && ln -s f g'
  execFileSync('sh', ['-c', make, join(pfs, 'out'), half])
  // A process, for which calls go less deep than they do for what runs tests.
  const script = `import { ChunkedContents } from ${moduleUrl('../../storage/chunked-contents.ts')}
    import { FileTrees } from ${moduleUrl('../../storage/file-trees.ts')}
    import { MemoryChunkStore } from ${moduleUrl('../../storage/memory-chunks.ts')}
    import { HeldClock } from ${moduleUrl('../../testing/held-clock.ts')}
    import { storeOutput } from ${moduleUrl('./output-tree.ts')}
    import { Pacer } from ${moduleUrl('./pacer.ts')}
    const chunks = new MemoryChunkStore()
    const pacer = new Pacer(new HeldClock(), new AbortController().signal)
    const ports = { trees: new FileTrees(chunks), contents: new ChunkedContents(chunks), pacer }
    const source = { pfsDirectory: process.argv[1], pfsPath: '/pfs', isInputReadOnly: true, members: [] }
    console.log((await storeOutput(ports, source)).root.fileCount)`
  const run = ['--input-type=module', '-e', script, pfs]
  expect(execFileSync(process.execPath, run, { encoding: 'utf8' })).toBe('2\n')
})

test('names and link texts that are not UTF-8 make the datum fail', async () => {
  const bytes = Buffer.from([0x61, 0xff])
  const name = Buffer.concat([Buffer.from(`${pfs}/out/`), bytes])
  writeFileSync(name, '')
  await expect(store()).rejects.toThrow('a name in /pfs/out is not UTF-8')
  rmSync(join(pfs, 'out'), { recursive: true })
  mkdirSync(join(pfs, 'out'))
  symlinkSync(bytes, join(pfs, 'out/l'))
  await expect(store()).rejects.toThrow('/pfs/out/l leads to a name that is not UTF-8')
})

test.each([
  ['is gone', (): void => {}],
  ['is a file', (out: string): void => writeFileSync(out, '')],
  ['is a link', (out: string): void => symlinkSync('/', out)],
])('an out that %s makes the datum fail', async (_name, make) => {
  rmSync(join(pfs, 'out'), { recursive: true })
  make(join(pfs, 'out'))
  await expect(store()).rejects.toThrow('/pfs/out is no directory any more')
})

test('a large file is stored in pieces, whole', async () => {
  const text = 'line of text\n'.repeat(300_000)
  put({ 'out/large': text })
  const { root, uploadBytes } = await store()
  expect(uploadBytes).toBe(text.length)
  expect(root.root).toBe((await treeOf({ '/large': text })).root)
})

test('a copy of an input is read once, and stores no byte of it again', async () => {
  const directory = join(host, 'store')
  mkdirSync(directory)
  await using parts = await openPackedStore({ directory })
  const packed = new ChunkedContents(parts.store)
  const stored = { ...ports, trees: new FileTrees(parts.store), contents: packed }
  const content = await packed.writeBytes(seededBytes(1, 8_000_000))
  const entry = { kind: 'file', content } as const
  const members: readonly WorkMember[] = [{ input: 'in', path: parseFilePath('/f'), entry }]
  rmSync(join(pfs, 'out'), { recursive: true })
  const { writtenAt } = await writeInputs(stored, bareSlot(), members)
  await parts.store.flush()
  const before = bytesIn(directory)
  for (const name of ['copy', 'other']) {
    copyFileSync(join(pfs, 'in/f'), join(pfs, 'out', name))
  }
  const place = { pfsDirectory: pfs, pfsPath: '/pfs', isInputReadOnly: true }
  const { root, uploadBytes } = await storeOutput(stored, { ...place, members, writtenAt })
  await parts.store.flush()
  expect(uploadBytes).toBe(2 * 8_000_000)
  expect(await stored.trees.get(root, parseFilePath('/copy'))).toEqual(entry)
  expect(bytesIn(directory) - before).toBeLessThan(20_000)
})

function bytesIn(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((bytes, { parentPath, name }) => bytes + lstatSync(join(parentPath, name)).size, 0)
}

function bareSlot(
  directories: readonly string[] = [],
): Pick<Slot, 'pfsDirectory' | 'directories' | 'isInputReadOnly'> {
  return { pfsDirectory: pfs, directories: new Set(directories), isInputReadOnly: false }
}

async function writeAndLink(member: WorkMember): Promise<bigint | undefined> {
  rmSync(join(pfs, 'out'), { recursive: true })
  const { writtenAt, downloadBytes } = await writeInputs(ports, bareSlot(), [member])
  expect(downloadBytes).toBe(102)
  symlinkSync('/pfs/in', join(pfs, 'out/all'))
  symlinkSync('/pfs/in/d/e/f', join(pfs, 'out/one'))
  symlinkSync('../in/d', join(pfs, 'out/some'))
  return writtenAt
}

describe('a link to an input', () => {
  const files = { '/d/e/f': 'F'.repeat(100), '/d/g': 'G', '/h': 'H' }
  const linked = {
    '/all/': '',
    '/all/d/': '',
    '/all/d/e/': '',
    '/all/d/e/f': files['/d/e/f'],
    '/all/d/g': 'G',
    '/all/h': 'H',
    '/one': files['/d/e/f'],
    '/some/': '',
    '/some/e/': '',
    '/some/e/f': files['/d/e/f'],
    '/some/g': 'G',
  }

  test('takes the entry of an untouched input without reading it', async () => {
    const member = await memberOf(files)
    await writeAndLink(member)
    const { root, uploadBytes } = await store([member])
    expect(uploadBytes).toBe(0)
    expect(await filesOf(root)).toEqual(linked)
    expect(root.root).toBe((await treeOf(linked)).root)
  })

  test('reads an input that was changed, even at once after it was written', async () => {
    const member = await memberOf(files)
    const writtenAt = await writeAndLink(member)
    appendFileSync(join(pfs, 'in/d/g'), '!')
    rmSync(join(pfs, 'in/h'))
    const { root } = await store([member], writtenAt)
    const { '/all/h': _h, ...rest } = linked
    expect(await filesOf(root)).toEqual({ ...rest, '/all/d/g': 'G!', '/some/g': 'G!' })
  })

  test('works for a datum that is one file, and from above it', async () => {
    const member = await memberOf(files, '/d/e/f')
    rmSync(join(pfs, 'out'), { recursive: true })
    await writeInputs(ports, bareSlot(), [member])
    expect(lstatSync(join(pfs, 'in/d/e/f')).size).toBe(100)
    symlinkSync('/pfs/in/d/e/f', join(pfs, 'out/one'))
    symlinkSync('/pfs/in', join(pfs, 'out/all'))
    const { root, uploadBytes } = await store([member])
    expect(uploadBytes).toBe(0)
    expect(await filesOf(root)).toEqual({
      '/all/': '',
      '/all/d/': '',
      '/all/d/e/': '',
      '/all/d/e/f': files['/d/e/f'],
      '/one': files['/d/e/f'],
    })
  })
})

test('of the directories of an earlier datum only those stay that this one has, too', async () => {
  put({ 'in/d/e/': '', 'in/other/': '', 'in/h/': '', 'old/d/': '', 'out/x/': '' })
  const left = ['/in', '/in/d', '/in/d/e', '/in/other', '/in/h', '/old', '/old/d', '/out', '/out/x']
  const member = await memberOf({ '/d/e/f': 'F', '/h': 'H' }, '/d/e/f')
  await writeInputs(ports, bareSlot(left), [member])
  const entries = readdirSync(pfs, { recursive: true, encoding: 'utf8' })
  expect(entries.toSorted()).toEqual(['in', 'in/d', 'in/d/e', 'in/d/e/f', 'out'])
})

test('what is written out and read back is the same tree, whatever it holds', async () => {
  const name = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
    .filter((text) => text.isWellFormed() && !/[/\0]/.test(text) && text !== '.' && text !== '..')
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`)
  const paths = fc.uniqueArray(fc.tuple(path, fc.boolean(), fc.string({ maxLength: 100 })), {
    selector: ([text]) => text,
    maxLength: 12,
  })
  await fc.assert(
    fc.asyncProperty(paths, async (wanted) => {
      // A path below another makes that one a directory.
      const files = Object.fromEntries(
        wanted
          .filter(([text]) => !wanted.some(([other]) => other.startsWith(`${text}/`)))
          .map(([text, isFile, bytes]) => (isFile ? [text, bytes] : [`${text}/`, ''])),
      )
      const tree = await treeOf(files)
      rmSync(pfs, { recursive: true })
      mkdirSync(pfs)
      await writeInputs(ports, bareSlot(), [{ input: 'in', path: rootPath, entry: tree }])
      rmSync(join(pfs, 'out'), { recursive: true })
      renameSync(join(pfs, 'in'), join(pfs, 'out'))
      expect((await store()).root.root).toBe(tree.root)
    }),
    { numRuns: 60 },
  )
})
