// The collector alone: commits of one file each on one tree, each with a pack of its own, collected from
// scratch. Run by itself: tools/node bench/collection.ts DIRECTORY [COMMITS]

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { SystemClock } from '../src/base/clock.ts'
import { parseFilePath } from '../src/base/paths.ts'
import { openSqlite } from '../src/database/sqlite.ts'
import { ChunkedContents } from '../src/storage/chunked-contents.ts'
import { openChunkStore, type PackStore } from '../src/storage/chunk-store.ts'
import { type CollectionReport, Collector } from '../src/storage/collector.ts'
import { FileTrees, type TreeRoot } from '../src/storage/file-trees.ts'
import { LocalObjectStore } from '../src/storage/local-objects.ts'
import { storageMigrations } from '../src/storage/tables.ts'
import { seededBytes } from '../src/testing/seeded-random.ts'
import { peakMemoryMib, timed } from './processes.ts'

const directoryCount = 100
const fileBytes = 2000
const graceMs = 200

async function makeCommits(store: PackStore, count: number): Promise<readonly TreeRoot[]> {
  const contents = new ChunkedContents(store)
  const trees = new FileTrees(store)
  const roots: TreeRoot[] = []
  let tree = await trees.emptyRoot()
  for (let index = 0; index < count; index += 1) {
    const content = await contents.writeBytes(seededBytes(index, fileBytes))
    const path = parseFilePath(`/${index % directoryCount}/${index}`)
    tree = await trees.edit(tree, [{ path, entry: { kind: 'file', content } }], { emptied: 'keep' })
    await store.flush()
    roots.push(tree.root)
  }
  return roots
}

export interface MeasuredCollection {
  readonly makeMs: number
  readonly collectMs: number
  readonly report: CollectionReport
}

/** Measures in `directory`, which must be empty or new. The server has been started anew before it collects. */
export async function measureCollection(
  directory: string,
  commitCount: number,
): Promise<MeasuredCollection> {
  await mkdir(directory, { recursive: true })
  let roots: readonly TreeRoot[] = []
  const makeMs = await timed(async () => {
    await using made = await openStore(directory)
    roots = await makeCommits(made.store, commitCount)
  })
  await using opened = await openStore(directory)
  const source = {
    async *collectionRoots(): AsyncGenerator<{ readonly kind: 'tree'; readonly root: TreeRoot }> {
      // In no order that is one of the packs, as commits are by their ids.
      for (const root of roots.toSorted()) yield { kind: 'tree', root }
    },
  }
  const { store, clock } = opened
  const collector = new Collector({ store, sources: [source], clock, graceMs })
  const { signal } = new AbortController()
  let report: CollectionReport | undefined
  const collectMs = await timed(async () => {
    report = await collector.collect({ signal })
  })
  if (report === undefined || report.chunksMissing > 0) throw new Error('chunks are missing')
  return { makeMs, collectMs, report }
}

interface Opened extends AsyncDisposable {
  readonly store: PackStore
  readonly clock: SystemClock
}

async function openStore(directory: string): Promise<Opened> {
  await using opened = new AsyncDisposableStack()
  const clock = new SystemClock()
  const database = opened.use(
    await openSqlite({ path: directory, migrations: [storageMigrations], clock }),
  )
  const objects = opened.use(await LocalObjectStore.open(join(directory, 'objects')))
  const scratchDirectory = join(directory, 'scratch')
  const store = opened.use(await openChunkStore({ objects, database, scratchDirectory }))
  const held = opened.move()
  return { store, clock, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

const [directory, count] = process.argv.slice(2)
if (import.meta.main && directory !== undefined) {
  const { makeMs, collectMs, report } = await measureCollection(directory, Number(count ?? 10_000))
  console.log(report)
  console.log('made in, ms:', Math.round(makeMs), 'collected in, ms:', Math.round(collectMs))
  console.log('peak memory, MiB:', Math.round(peakMemoryMib(process.pid) ?? 0))
}
