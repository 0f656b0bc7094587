import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareBytes, hexText, utf8 } from '../../base/bytes.ts'
import { assert, DataLossError } from '../../base/errors.ts'
import type { ChunkId } from '../../storage/chunks.ts'
import type { Content } from '../../storage/contents.ts'
import { MemoryChunkStore } from '../../storage/memory-chunks.ts'
import {
  decodeRuns,
  encodeRuns,
  fileCodec,
  mergeRuns,
  piecesCodec,
  type RunRecord,
  writeRun,
} from './runs.ts'
import { decodeStaged, encodeStaged, type StagedWrite } from './staged-rows.ts'
import { parseFilePath } from '../../base/paths.ts'

const id = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => hexText(bytes) as ChunkId)
const sizeBytes = fc.nat(Number.MAX_SAFE_INTEGER)
const content: fc.Arbitrary<Content> = fc.oneof(
  fc.record({ kind: fc.constant('inline' as const), bytes: fc.uint8Array({ maxLength: 64 }) }),
  fc.record({ kind: fc.constant('chunk' as const), chunk: id, sizeBytes }),
  fc.record({ kind: fc.constant('list' as const), root: id, sizeBytes }),
)
const record: fc.Arbitrary<RunRecord> = fc.record({
  key: fc.constantFrom('a', 'b', 'b\0a', 'b!', 'c').map(utf8),
  overwrite: fc.boolean(),
  content,
})
const path = fc
  .array(fc.constantFrom('a', 'é', '€'), { maxLength: 4 })
  .map((names) => parseFilePath(names.join('/')))
const write: fc.Arbitrary<StagedWrite> = fc.oneof(
  fc.record({ kind: fc.constant('delete' as const), path }),
  fc.record({
    kind: fc.constant('put' as const),
    path,
    overwrite: fc.boolean(),
    value: fc.oneof(
      fc.record({ kind: fc.constant('bytes' as const), bytes: fc.uint8Array() }),
      fc.record({ kind: fc.constant('content' as const), content }),
    ),
  }),
  fc.record({ kind: fc.constantFrom('bulk', 'splits'), runs: fc.array(fc.array(id)) }),
  fc.record({ kind: fc.constant('move' as const), path, overwrite: fc.boolean(), from: path }),
  fc.record({
    kind: fc.constant('graft' as const),
    path,
    overwrite: fc.boolean(),
    entry: fc.oneof(
      fc.record({ kind: fc.constant('file' as const), content }),
      fc.record({
        kind: fc.constant('directory' as const),
        root: id,
        sizeBytes,
        fileCount: sizeBytes,
      }),
    ),
  }),
)

test('a staged write comes back from its columns as it was', () => {
  fc.assert(
    fc.property(write, (staged) => {
      expect(decodeStaged(encodeStaged(staged))).toEqual(staged)
    }),
  )
})

test('merged runs are all records by key, equal keys in the order in which they were put', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(record)), async (batches) => {
      const chunks = new MemoryChunkStore()
      const runs = []
      for (const batch of batches) {
        runs.push(await writeRun(chunks, fileCodec, batch.toSorted(byKey)))
      }
      const read = mergeRuns(chunks, fileCodec, decodeRuns(encodeRuns(runs)))
      const merged = await Array.fromAsync(read)
      expect(merged).toEqual(batches.flat().toSorted(byKey))
    }),
  )
})

test('a run of more than one chunk comes back whole', async () => {
  const chunks = new MemoryChunkStore()
  const records: RunRecord[] = Array.from({ length: 20_000 }, (_, index) => ({
    key: utf8(`file-${String(index).padStart(9, '0')}`),
    overwrite: index % 2 === 0,
    content: { kind: 'inline', bytes: utf8(String(index)) },
  }))
  const run = await writeRun(chunks, fileCodec, records)
  expect(run.length).toBeGreaterThan(1)
  expect(await Array.fromAsync(mergeRuns(chunks, fileCodec, [run]))).toEqual(records)
})

// The layouts of docs/formats/staged-writes.md.
test('the layout of staged writes is the documented one', () => {
  const chunk = '11'.repeat(32) as ChunkId
  const value = { kind: 'content', content: { kind: 'chunk', chunk, sizeBytes: 300 } } as const
  const file = parseFilePath('/a/b')
  expect(hexColumns({ kind: 'put', path: file, overwrite: false, value })).toEqual({
    kind: 1,
    path_key: '610062',
    payload: `0101${chunk}ac02`,
  })
  const bytes = { kind: 'bytes', bytes: utf8('hi') } as const
  expect(hexColumns({ kind: 'put', path: file, overwrite: true, value: bytes })).toEqual({
    kind: 2,
    path_key: '610062',
    payload: '006869',
  })
  expect(hexColumns({ kind: 'delete', path: file })).toEqual({
    kind: 3,
    path_key: '610062',
    payload: '',
  })
  expect(hexColumns({ kind: 'bulk', runs: [[chunk], []] })).toEqual({
    kind: 4,
    path_key: '',
    payload: `010201${chunk}00`,
  })
  expect(hexColumns({ kind: 'splits', runs: [[chunk]] })).toEqual({
    kind: 7,
    path_key: '',
    payload: `010101${chunk}`,
  })
  const directory = { kind: 'directory', root: chunk, sizeBytes: 300, fileCount: 2 } as const
  expect(hexColumns({ kind: 'graft', path: file, overwrite: true, entry: directory })).toEqual({
    kind: 5,
    path_key: '610062',
    payload: `010110ac0202${chunk}`,
  })
  const from = parseFilePath('/c/d')
  expect(hexColumns({ kind: 'move', path: file, overwrite: false, from })).toEqual({
    kind: 6,
    path_key: '610062',
    payload: '0100630064',
  })
})

test('the layout of a run is the documented one', async () => {
  const chunks = new MemoryChunkStore()
  const inline = { kind: 'inline', bytes: utf8('hi') } as const
  const records = [{ key: utf8('a\0b'), overwrite: true, content: inline }]
  const [chunk] = await writeRun(chunks, fileCodec, records)
  assert(chunk !== undefined, 'the record is in a chunk')
  expect(hexText(await chunks.get(chunk))).toBe('01036100620100026869')
  const root = '11'.repeat(32) as ChunkId
  const pieces = { kind: 'directory', root, sizeBytes: 300, fileCount: 2 } as const
  const splits = [{ key: utf8('a\0b'), overwrite: false, content: pieces }]
  const [split] = await writeRun(chunks, piecesCodec, splits)
  assert(split !== undefined, 'the record is in a chunk')
  expect(hexText(await chunks.get(split))).toBe(`01036100620003${root}ac0202`)
  expect(await Array.fromAsync(mergeRuns(chunks, piecesCodec, [[split]]))).toEqual(splits)
  await expect(Array.fromAsync(mergeRuns(chunks, fileCodec, [[split]]))).rejects.toThrow('tag 3')
})

test('staged bytes that are cut short or unknown are data loss', () => {
  const empty = new Uint8Array(0)
  expect(() => decodeStaged({ kind: 9, path_key: empty, payload: empty })).toThrow(DataLossError)
  expect(() => decodeStaged({ kind: 1, path_key: empty, payload: empty })).toThrow(DataLossError)
  const later = { kind: 6, path_key: empty, payload: Uint8Array.of(2, 0) }
  expect(() => decodeStaged(later)).toThrow('placement version 2 is unknown')
  const odd = { kind: 5, path_key: empty, payload: Uint8Array.of(1, 2) }
  expect(() => decodeStaged(odd)).toThrow('overwrite flag 2 is unknown')
  expect(() => decodeRuns(Uint8Array.of(1, 1, 1, 0))).toThrow(DataLossError)
  expect(() => decodeRuns(Uint8Array.of(2, 0))).toThrow('version 2 is unknown')
  expect(() => decodeRuns(Uint8Array.of(1, 0, 0))).toThrow('left over')
  const tooLarge = Uint8Array.of(1, ...Array.from({ length: 9 }, () => 0xff))
  expect(() => decodeRuns(tooLarge)).toThrow('a number is too large')
})

function byKey(left: RunRecord, right: RunRecord): number {
  return compareBytes(left.key, right.key)
}

function hexColumns(staged: StagedWrite): unknown {
  const { kind, path_key, payload } = encodeStaged(staged)
  return { kind, path_key: hexText(path_key), payload: hexText(payload) }
}
