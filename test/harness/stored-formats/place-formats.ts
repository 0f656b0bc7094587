import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { createHash } from 'node:crypto'
import { decodeDescription, encodeDescription } from '../../../src/backups/backup.ts'
import {
  backupVersion,
  decodePieces,
  decodeSnapshot,
  encodePieces,
  encodeSnapshot,
  type Snapshot,
  type SnapshotName,
} from '../../../src/backups/format.ts'
import { makeKey, parseKey, seal, unseal } from '../../../src/backups/sealing.ts'
import { hexBytes, hexText, utf8, utf8Text } from '../../../src/base/bytes.ts'
import type { Random } from '../../../src/base/random.ts'
import { Staging } from '../../../src/cli/downloading/staging.ts'
import { readBucketNote, writeBucketNote } from '../../../src/server/bucket/bucket-note.ts'
import { parseBucketPlace } from '../../../src/server/bucket-place.ts'
import { layouts, readStoreId, writeVersion } from '../../../src/server/data-directory.ts'
import { SecretKeyFile } from '../../../src/server/secret-key-file.ts'
import { ownerText, parseOwner } from '../../../src/storage/bucket-owner.ts'
import { TemporaryDirectory } from '../../../src/testing/temporary-directory.ts'
import { sealedSecret } from './pipeline-formats.ts'
import type { StoredFormat } from './stored-format.ts'

const id = 'a'.repeat(32)
const session = 'b'.repeat(32)
/** The same each time. */
const noChance: Random = { fraction: () => 0, bytes: (count) => new Uint8Array(count).fill(5) }
const hash = 'c'.repeat(64)
const secret = parseKey('d'.repeat(64))

/** What `write` makes in a directory. */
async function fileOf(name: string, write: (root: string) => Promise<void>): Promise<string> {
  await using directory = await TemporaryDirectory.create()
  await write(directory.path)
  return await readFile(directory.join(name), 'utf8')
}

/** What `read` makes of a directory with such a file. */
async function readOf(
  text: string,
  name: string,
  read: (root: string) => Promise<unknown>,
): Promise<unknown> {
  await using directory = await TemporaryDirectory.create()
  await writeFile(directory.join(name), text, { mode: 0o600 })
  return await read(directory.path)
}

const dataDirectory: StoredFormat = {
  page: 'data-directory',
  version: String(Object.values(layouts).at(-1)),
  samples: {
    version: {
      write: () => fileOf('version', (root) => writeVersion(root, id, layouts.directory)),
      read: (text) => readOf(text, 'version', readStoreId),
    },
    'version where packs are in a bucket': {
      write: () => fileOf('version', (root) => writeVersion(root, id, layouts.bucket)),
      read: (text) => readOf(text, 'version', readStoreId),
    },
    'the note of a bucket': {
      write: () => {
        const place = parseBucketPlace('s3://bucket/prefix?endpoint=https://storage.example.com')
        return fileOf('bucket', (root) => writeBucketNote(root, { place, session, next: id }))
      },
      read: (text) => readOf(text, 'bucket', readBucketNote),
    },
  },
}

const buckets: StoredFormat = {
  page: 'buckets',
  version: '1',
  samples: {
    'whose bucket it is': {
      write: () => ownerText({ store: id, session, host: 'ada' }),
      read: (text) => parseOwner(text, 'sample'),
    },
  },
}

const secrets: StoredFormat = {
  page: 'secrets',
  version: '1',
  samples: {
    'values, sealed': sealedSecret,
    'the file of keys': {
      write: () =>
        fileOf('secrets.key', async (root) => {
          await keysIn(root, { isMade: true }).current({ mayMake: true })
        }),
      read: (text) =>
        readOf(text, 'secrets.key', async (root) =>
          keysIn(root, { isMade: false }).current({ mayMake: false }),
        ),
    },
  },
}

function keysIn(root: string, { isMade }: { readonly isMade: boolean }): SecretKeyFile {
  return new SecretKeyFile(join(root, 'secrets.key'), { isMade, random: noChance })
}

const pack = { name: hash, sizeBytes: 3, chunkCount: 1 }
const snapshot = {
  scope: 'whole',
  takenAt: 1_700_000_000_123_456,
  release: '0',
  store: id,
  layers: { storage: 3 },
  metadata: { sizeBytes: 1, hash, packs: [pack], pieces: [{ id: hash, pack: 0 }] },
  packs: [pack],
  damaged: [hash],
} as const

function writtenSnapshot(of: Snapshot): string {
  return utf8Text(zstdDecompressSync(encodeSnapshot(of).bytes))
}

function snapshotOf(text: string): Snapshot {
  const bytes = zstdCompressSync(utf8(text))
  const sum = createHash('sha256').update(bytes).digest('hex')
  return decodeSnapshot(`20261126T103000.123456Z-${sum}` as SnapshotName, bytes)
}

const backups: StoredFormat = {
  page: 'backups',
  version: String(backupVersion),
  samples: {
    'what is not encrypted': {
      write: () => utf8Text(encodeDescription({ id, encryption: undefined })),
      read: (text) => decodeDescription('sample', utf8(text)),
    },
    'how a key is kept': {
      write: async () => {
        const { wrapped } = await makeKey(secret, id, noChance)
        return utf8Text(encodeDescription({ id, encryption: wrapped }))
      },
      read: (text) => decodeDescription('sample', utf8(text)),
    },
    'a snapshot, before compression': {
      write: () => writtenSnapshot(snapshot),
      read: snapshotOf,
    },
    'a snapshot that counts what the store has': {
      write: () => writtenSnapshot({ ...snapshot, counts: { repos: 2, commits: 7 } }),
      read: snapshotOf,
    },
    'when a snapshot was taken, in its name': {
      write: () => encodeSnapshot(snapshot).name.replace(/-.*/, ''),
    },
    pieces: {
      write: () => hexText(encodePieces(snapshot.metadata.pieces)),
      read: (text) => decodePieces(hexBytes(text)),
    },
    'an object, sealed': {
      write: () => hexText(seal({ bytes: hexBytes(hash) }, 'packs/x', utf8('hi'), noChance)),
      read: (text) => utf8Text(unseal({ bytes: hexBytes(hash) }, 'packs/x', hexBytes(text))),
    },
  },
}

const unfinishedFiles: StoredFormat = {
  page: 'unfinished-files',
  version: '1',
  samples: {
    'the path of one': {
      write: async () => {
        await using directory = await TemporaryDirectory.create()
        const path = new Staging(directory.path).pathOf(hash)
        return path
          .slice(directory.path.length)
          .replace(/\/\d+\./, '/PID.')
          .replace(/\.[0-9a-f]{8}\./, '.MARK.')
      },
    },
  },
}

export const placeFormats: readonly StoredFormat[] = [
  dataDirectory,
  buckets,
  secrets,
  backups,
  unfinishedFiles,
]
