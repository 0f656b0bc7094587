import { expect, test } from 'vitest'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import type { ChunkId } from '../storage/chunks.ts'
import { utf8 } from '../base/bytes.ts'
import { parseFilePath } from '../base/paths.ts'
import { byLine } from '../testing/versioning-pair.ts'
import { openTestVersioning } from '../testing/test-versioning.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { sweepStagedWrites } from './writes.ts'

test('staged contents, runs, pieces, finished trees and remembered ones are all roots', async () => {
  await using world = await openTestVersioning()
  const { commits, files, repos, writes } = world.versioning
  await repos.create({ name: 'r' })
  await commits.start({ repo: 'r', branch: 'master' })
  const file = { repo: 'r', commit: 'master' }
  await writes.put({ ...file, path: 'inherited' }, seededBytes(1, 100))
  const finished = await commits.finish('r', 'master')
  await commits.start({ repo: 'r', branch: 'master' })
  await writes.put({ ...file, path: 'large' }, seededBytes(2, 100_000))
  await writes.put({ ...file, path: 'small' }, seededBytes(3, 1000))
  await using bulk = await writes.bulk('r', 'master')
  await bulk.put('bulk', seededBytes(4, 5000))
  await bulk.put('another', seededBytes(5, 10))
  await bulk.commit()
  await using splits = await writes.bulk('r', 'master', { split: byLine })
  await splits.put('split', utf8(`${'x'.repeat(100)}\ny`))
  await splits.commit()
  const { tree } = await files.tree('r', 'master')

  const contents = new ChunkedContents(world.ports.chunks)
  const large = await contents.writeBytes(seededBytes(2, 100_000))
  const inBulk = await contents.writeBytes(seededBytes(4, 5000))
  const roots = await Array.fromAsync(world.versioning.collectionRoots())
  expect(roots).toContainEqual({ kind: 'content', content: large })
  expect(roots).toContainEqual({ kind: 'content', content: inBulk })
  expect(roots).toContainEqual({ kind: 'tree', root: tree.root })
  const { state } = finished
  const finishedRoot = state.kind === 'finished' ? state.tree.root : 'none'
  expect(roots).toContainEqual({ kind: 'tree', root: finishedRoot })
  const chunks: ChunkId[] = []
  for (const root of roots) if (root.kind === 'chunk') chunks.push(root.chunk)
  expect(chunks).toHaveLength(2)
  const pieces = await world.ports.trees.get({ ...tree, kind: 'directory' }, parseFilePath('split'))
  const { root } = pieces?.kind === 'directory' ? pieces : { root: 'none' }
  expect(roots).toContainEqual({ kind: 'tree', root })
})

test('staged writes of commits that are no longer open are swept, others stay', async () => {
  await using world = await openTestVersioning()
  const { commits, repos, writes } = world.versioning
  await repos.create({ name: 'r' })
  const open = await commits.start({ repo: 'r', branch: 'open' })
  await writes.put({ repo: 'r', commit: open.id, path: 'f' }, seededBytes(1, 10))
  const done = await commits.start({ repo: 'r', branch: 'done' })
  await commits.finish('r', done.id)
  await world.database.transact(async (tx) => {
    // What a crash leaves between a finish and the last of its sweeps.
    for (let sequence = 1; sequence <= 4500; sequence += 1) {
      await tx.run(
        'INSERT INTO staged_writes (id, sequence, kind, path_key, payload) VALUES (?, ?, 3, ?, ?)',
        done.id,
        sequence,
        new Uint8Array(0),
        new Uint8Array(0),
      )
    }
  })
  await sweepStagedWrites(world.database, new AbortController().signal)
  const left = await world.database.read((tx) => tx.all('SELECT id, sequence FROM staged_writes'))
  expect(left).toEqual([{ id: open.id, sequence: 1 }])
})

test('a commit with more staged writes than one batch finishes whole and leaves no rows', async () => {
  await using world = await openTestVersioning()
  const { commits, files, repos, writes } = world.versioning
  await repos.create({ name: 'r' })
  await commits.start({ repo: 'r', branch: 'master' })
  const count = 24_000
  const file = { repo: 'r', commit: 'master' }
  const bytes = seededBytes(1, 10)
  for (let start = 0; start < count; start += 1000) {
    const puts = Array.from({ length: 1000 }, (_, index) =>
      writes.put({ ...file, path: `d${index % 10}/${start + index}` }, bytes),
    )
    await Promise.all(puts)
  }
  await writes.delete({ ...file, path: 'd0' })
  await commits.finish('r', 'master')
  const { tree } = await files.tree('r', 'master')
  expect(tree).toMatchObject({ fileCount: (count / 10) * 9, sizeBytes: count * 9 })
  expect(await world.database.read((tx) => tx.all('SELECT id FROM staged_writes'))).toEqual([])
})
