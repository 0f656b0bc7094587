import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { type ByteStream, utf8 } from '../../base/bytes.ts'
import { SystemClock } from '../../base/clock.ts'
import { ChunkedContents } from '../../storage/chunked-contents.ts'
import type { Content, Contents } from '../../storage/contents.ts'
import { type DirectoryEntry, FileTrees } from '../../storage/file-trees.ts'
import { MemoryChunkStore } from '../../storage/memory-chunks.ts'
import { type Files, filesOfTree, placeFiles, treeOfFiles } from '../../testing/slot-trees.ts'
import { DatumFilesError } from './datum-errors.ts'
import { writeInputs } from './input-files.ts'
import { storeOutput } from './output-tree.ts'
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
})

afterEach(() => {
  rmSync(host, { recursive: true, force: true })
})

const mebibyte = 1024 ** 2

const put = (files: Files): void => placeFiles(pfs, files)
const treeOf = (files: Files): Promise<DirectoryEntry> => treeOfFiles(ports, files)
const filesOf = (root: DirectoryEntry): Promise<Files> => filesOfTree(ports, root)

/** Has `change` come between a first large file and what comes after it, in the order of names. */
function changing(change: () => void): Contents {
  class ChangingContents extends ChunkedContents {
    override async write(pieces: ByteStream): Promise<Content> {
      const content = await super.write(pieces)
      change()
      return content
    }
  }
  put({ 'out/d/0': 'x'.repeat(2 * mebibyte), 'out/d/secret': 'own', 'out/e/secret': 'own' })
  mkdirSync(join(host, 'other'))
  for (const name of ['other/secret', 'other/f']) writeFileSync(join(host, name), 'foreign')
  return new ChangingContents(chunks)
}

async function storeChanging(change: () => void): Promise<Files> {
  const { root } = await storeOutput(
    { ...ports, contents: changing(change) },
    { pfsDirectory: pfs, pfsPath: '/pfs', isInputReadOnly: true, members: [], writtenAt: late },
  )
  return await filesOf(root)
}

/** Puts a link that leads to another directory of the host in its place. */
function swap(name: string): void {
  renameSync(join(pfs, 'out', name), join(pfs, 'out/moved'))
  symlinkSync(join(host, 'other'), join(pfs, 'out', name))
}

describe('of a tree that is changed while it is read', () => {
  test.runIf(process.platform === 'linux')(
    'a directory is read to its end, wherever it is',
    async () => {
      const files = await storeChanging(() => swap('d'))
      expect(files['/d/secret']).toBe('own')
      expect(JSON.stringify(files)).not.toContain('foreign')
    },
  )

  test.each<readonly [string, string, () => void]>([
    ['a directory that has become a link', 'e', () => swap('e')],
    ['a directory that has gone', 'e', () => rmSync(join(pfs, 'out/e'), { recursive: true })],
    [
      'a file that has become a link',
      'd/secret',
      () => {
        rmSync(join(pfs, 'out/d/secret'))
        symlinkSync(join(host, 'other/secret'), join(pfs, 'out/d/secret'))
      },
    ],
    [
      'a file that has become a named pipe',
      'd/secret',
      () => {
        rmSync(join(pfs, 'out/d/secret'))
        execFileSync('mkfifo', [join(pfs, 'out/d/secret')])
      },
    ],
    [
      'a file that has become a directory',
      'd/secret',
      () => {
        rmSync(join(pfs, 'out/d/secret'))
        mkdirSync(join(pfs, 'out/d/secret'))
      },
    ],
    ['a file that has grown', 'd/0', () => appendFileSync(join(pfs, 'out/d/0'), 'y')],
    ['a file that was cut', 'd/0', () => truncateSync(join(pfs, 'out/d/0'), 1)],
  ])('%s fails the datum, with a reason', async (_name, path, change) => {
    await expect(storeChanging(change)).rejects.toThrow(
      new DatumFilesError(
        `/pfs/out/${path} has changed after the command has ended, while it was read or written: ` +
          'user code must not hand its /pfs/out to another datum, nor go on writing to it',
      ),
    )
  })

  test('of a file that goes on growing, no more is read than it had', async () => {
    let readBytes = 0
    class GrowingContents extends ChunkedContents {
      override async write(pieces: ByteStream): Promise<Content> {
        for await (const piece of pieces) {
          readBytes += piece.length
          appendFileSync(join(pfs, 'out/f'), piece)
        }
        return await this.writeBytes(utf8(''))
      }
    }
    put({ 'out/f': 'x'.repeat(3 * mebibyte) })
    const source = { pfsDirectory: pfs, pfsPath: '/pfs', isInputReadOnly: true, members: [] }
    await expect(
      storeOutput(
        { ...ports, contents: new GrowingContents(chunks) },
        { ...source, writtenAt: late },
      ),
    ).rejects.toThrow('/pfs/out/f has changed')
    expect(readBytes).toBe(3 * mebibyte)
  })
})

async function writeChanging(change: () => void): Promise<unknown> {
  class ChangingContents extends ChunkedContents {
    override async *read(...args: Parameters<ChunkedContents['read']>): AsyncGenerator<Uint8Array> {
      change()
      yield* super.read(...args)
    }
  }
  mkdirSync(join(host, 'other'))
  rmSync(join(pfs, 'out'), { recursive: true })
  const former = await treeOf({ '/a/0': 'x'.repeat(100), '/a/b/f': 'y', '/c/f': 'z' })
  const held = { ...ports, contents: new ChangingContents(chunks) }
  return await writeInputs(
    held,
    { pfsDirectory: pfs, directories: new Set(), isInputReadOnly: false },
    [],
    former,
  )
}

describe('what an output held before', () => {
  test.runIf(process.platform === 'linux')(
    'is written where it was begun, wherever that is',
    async () => {
      await writeChanging(() => swap('a'))
      expect(readdirSync(join(host, 'other'))).toEqual([])
      expect(readdirSync(join(pfs, 'out/moved/b'))).toEqual(['f'])
    },
  )

  test('is not written through a link that came before it', async () => {
    const written = writeChanging(() => symlinkSync(join(host, 'other'), join(pfs, 'out/c')))
    await expect(written).rejects.toThrow('/pfs/out has changed after the command has ended')
    expect(readdirSync(join(host, 'other'))).toEqual([])
  })
})
