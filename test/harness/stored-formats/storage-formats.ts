import { createHash } from 'node:crypto'
import { hexBytes, hexText, utf8 } from '../../../src/base/bytes.ts'
import { parseFilePath } from '../../../src/base/paths.ts'
import { chunkIdOf } from '../../../src/storage/chunk-id.ts'
import { encodeNode, decodeNode } from '../../../src/storage/chunk-lists/node.ts'
import type { ChunkId } from '../../../src/storage/chunks.ts'
import { contentHash } from '../../../src/storage/content-hash.ts'
import { type DirectoryEntry, FileTrees } from '../../../src/storage/file-trees.ts'
import { MemoryChunkStore } from '../../../src/storage/memory-chunks.ts'
import { PackBuilder } from '../../../src/storage/pack-bytes.ts'
import {
  decodeTrailer,
  encodeFooter,
  headerBytes,
  packHeader,
  packKey,
  packVersion,
} from '../../../src/storage/packs/format.ts'
import { Node, nodeVersion } from '../../../src/storage/prolly/node.ts'
import { ProllyMaps } from '../../../src/storage/prolly-map.ts'
import { CutFinder } from '../../../src/storage/splitter/cut-finder.ts'
import { Splitter } from '../../../src/storage/splitter/splitter.ts'
import {
  decodeTreeEntry,
  encodeTreeEntry,
  type TreeEntry,
} from '../../../src/storage/tree-entries.ts'
import {
  fileCodec,
  piecesCodec,
  recordsOfChunk,
  writeRun,
} from '../../../src/versioning/staging/runs.ts'
import { decodeContent, encodeContent } from '../../../src/versioning/staging/staged-bytes.ts'
import {
  decodeStaged,
  encodeStaged,
  type StagedWrite,
} from '../../../src/versioning/staging/staged-rows.ts'
import { noise } from '../../../src/testing/reference-splitter.ts'
import type { FormatSample, StoredFormat } from './stored-format.ts'

const chunk = chunkIdOf(utf8('x'))
const path = parseFilePath('/a/b')
const directory: DirectoryEntry = {
  kind: 'directory',
  root: chunk,
  sizeBytes: 300,
  fileCount: 2,
}

function bytesSample(write: () => Uint8Array, read: (bytes: Uint8Array) => unknown): FormatSample {
  return { write: () => hexText(write()), read: (written) => read(hexBytes(written)) }
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

const chunks: StoredFormat = {
  page: 'chunks',
  // Other cuts are other names for everything: the rule can never change.
  version: '1',
  samples: {
    'where 2 MiB of noise are cut': {
      write: () => {
        const splitter = new Splitter(new CutFinder())
        const sizes: number[] = []
        for (let rest = noise(2 * 1024 * 1024); rest.length > 0;) {
          rest = rest.subarray(splitter.push(rest))
          if (splitter.isWhole) sizes.push(splitter.take().length)
        }
        return JSON.stringify(sizes)
      },
    },
    'the name of a chunk': { write: () => chunkIdOf(utf8('x')) },
  },
}

const contents: StoredFormat = {
  page: 'contents',
  version: '1',
  samples: {
    'a node of a list': bytesSample(
      () => encodeNode({ level: 0, entries: [{ id: chunk, sizeBytes: 300 }] }),
      (bytes) => decodeNode(chunkIdOf(bytes), bytes),
    ),
    hashes: {
      write: () =>
        [
          contentHash({ kind: 'inline', bytes: utf8('hi') }),
          contentHash({ kind: 'chunk', chunk, sizeBytes: 300 }),
          contentHash({ kind: 'list', root: chunk, sizeBytes: 2 ** 40 }),
        ]
          .map(hexText)
          .join(' '),
    },
  },
}

function* numbered(count: number): Generator<{ key: Uint8Array; value: Uint8Array }> {
  for (let number = 0; number < count; number += 1) {
    const key = utf8(`key-${String(number).padStart(8, '0')}`)
    yield { key, value: utf8(`value ${number * number}`) }
  }
}

const prollyTrees: StoredFormat = {
  page: 'prolly-trees',
  version: String(nodeVersion),
  samples: {
    'a leaf': {
      write: async () => {
        const store = new MemoryChunkStore()
        return hexText(await store.get(await new ProllyMaps(store).build(numbered(3))))
      },
      read: (written) => {
        const { level, count, entryCount, keys } = new Node(hexBytes(written))
        return { level, count, entryCount, keys: hexText(keys) }
      },
    },
    'the root of 3,000 entries': {
      write: async () => {
        const store = new MemoryChunkStore()
        return hexText(await store.get(await new ProllyMaps(store).build(numbered(3000))))
      },
      read: (written) => {
        const { level, count, entryCount } = new Node(hexBytes(written))
        return { level, count, entryCount }
      },
    },
  },
}

const entries: Readonly<Record<string, TreeEntry>> = {
  'a small file': { kind: 'file', content: { kind: 'inline', bytes: utf8('hi') } },
  'a file of one chunk': { kind: 'file', content: { kind: 'chunk', chunk, sizeBytes: 300 } },
  'a file of several chunks': {
    kind: 'file',
    content: { kind: 'list', root: chunk, sizeBytes: 2 ** 40 },
  },
  'a directory': directory,
  'a small directory': {
    kind: 'directory',
    root: chunkIdOf(Uint8Array.of(1, 0, 0, 0)),
    inlineNode: Uint8Array.of(1, 0, 0, 0),
    sizeBytes: 0,
    fileCount: 0,
  },
}

const fileTrees: StoredFormat = {
  page: 'file-trees',
  // Equal trees have equal roots: kinds may be added, and none changed.
  version: '1',
  samples: {
    ...Object.fromEntries(
      Object.entries(entries).map(([name, entry]) => [
        name,
        bytesSample(() => encodeTreeEntry(entry), decodeTreeEntry),
      ]),
    ),
    'the root of a tree': {
      write: async () => {
        const trees = new FileTrees(new MemoryChunkStore())
        const edits = Object.values(entries)
          .filter(({ kind }) => kind === 'file')
          .map((entry, index) => ({ path: parseFilePath(`/d/${index}`), entry }))
        return (await trees.edit(await trees.emptyRoot(), edits, { emptied: 'keep' })).root
      },
    },
  },
}

function rawPack(): Uint8Array {
  const builder = new PackBuilder()
  for (const text of ['a', 'b']) builder.add(utf8(text))
  return builder.finish().bytes
}

const packs: StoredFormat = {
  page: 'packs',
  version: String(packVersion),
  samples: {
    'a pack of two chunks': bytesSample(rawPack, (bytes) => {
      const { name, chunkCount } = decodeTrailer(bytes, bytes.length, 'the sample')
      return { name, chunkCount }
    }),
    header: { write: () => hexText(packHeader()) },
    'an index with a chunk that is compressed': {
      write: () => {
        const [offset, storedBytes, rawBytes] = [headerBytes, 20, 5000]
        const entry = { id: chunk, offset, storedBytes, rawBytes, encoding: 'zstd' } as const
        const { name, bytes, fingerprints } = encodeFooter([entry], headerBytes + storedBytes)
        return [name, hexText(bytes), hexText(fingerprints)].join(' ')
      },
    },
    'the key of a pack': { write: () => packKey(hashOf(utf8('a pack'))) },
  },
}

const stagedWrites: Readonly<Record<string, StagedWrite>> = {
  append: {
    kind: 'put',
    path,
    overwrite: false,
    value: { kind: 'content', content: { kind: 'chunk', chunk, sizeBytes: 300 } },
  },
  overwrite: { kind: 'put', path, overwrite: true, value: { kind: 'bytes', bytes: utf8('hi') } },
  delete: { kind: 'delete', path },
  bulk: { kind: 'bulk', runs: [[chunk], []] },
  splits: { kind: 'splits', runs: [[chunk]] },
  graft: { kind: 'graft', path, overwrite: true, entry: directory },
  move: { kind: 'move', path, overwrite: false, from: parseFilePath('/c/d') },
}

const staged: StoredFormat = {
  page: 'staged-writes',
  version: '1',
  samples: {
    ...Object.fromEntries(
      Object.entries(stagedWrites).map(([name, write]): [string, FormatSample] => [
        name,
        {
          write: () => {
            const { kind, path_key: key, payload } = encodeStaged(write)
            return [kind, hexText(key), hexText(payload)].join(' ')
          },
          read: (written) => {
            const [kind, key = '', payload = ''] = written.split(' ')
            return decodeStaged({
              kind: Number(kind),
              path_key: hexBytes(key),
              payload: hexBytes(payload),
            })
          },
        },
      ]),
    ),
    'a content as a column': bytesSample(
      () => encodeContent({ kind: 'list', root: chunk, sizeBytes: 2 ** 40 }),
      decodeContent,
    ),
    'a run of files': {
      write: async () => {
        const content = { kind: 'inline', bytes: utf8('hi') } as const
        const store = new MemoryChunkStore()
        const records = [{ key: utf8('a\0b'), overwrite: true, content }]
        return await textOf(store, await writeRun(store, fileCodec, records))
      },
      read: (written) => recordsOfChunk(fileCodec, hexBytes(written)),
    },
    'a run of pieces': {
      write: async () => {
        const store = new MemoryChunkStore()
        const records = [{ key: utf8('a\0b'), overwrite: false, content: directory }]
        return await textOf(store, await writeRun(store, piecesCodec, records))
      },
      read: (written) => recordsOfChunk(piecesCodec, hexBytes(written)),
    },
  },
}

async function textOf(store: MemoryChunkStore, [first]: readonly ChunkId[]): Promise<string> {
  return hexText(await store.get(first as ChunkId))
}

export const storageFormats: readonly StoredFormat[] = [
  chunks,
  contents,
  prollyTrees,
  fileTrees,
  packs,
  staged,
]
