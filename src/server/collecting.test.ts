import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { CancelledError, UnavailableError } from '../base/errors.ts'
import { openSqlite } from '../database/sqlite.ts'
import { migrationMigrations } from '../migration/tables.ts'
import { pipelinesMigrations } from '../pipelines/tables.ts'
import { PipelineCollection } from '../pipelines/collection-source.ts'
import { markJobsDeleted, purgeDeletedJobs } from '../pipelines/deleted-jobs.ts'
import { getPipeline, removePipeline } from '../pipelines/pipeline-records.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import type { ChunkId } from '../storage/chunks.ts'
import type { Collector } from '../storage/collector.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { decodeIndex, indexOffset, entryBytes, packKey } from '../storage/packs/format.ts'
import { storageMigrations } from '../storage/tables.ts'
import {
  type BusyWorld,
  Dice,
  keepBusy,
  objectStep,
  pipelineStep,
  readerStep,
  writerStep,
} from '../testing/busy-world.ts'
import { MemoryBucket } from '../testing/memory-bucket.ts'
import { type OpenedPackedStore, openPackedStore } from '../testing/packed-store.ts'
import { countRows, walkRoots } from '../testing/reachable-chunks.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { atom, openTestProcessing } from '../testing/test-processing.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { ObjectCollection } from '../versioning/object-collection.ts'
import { objectMigrations } from '../versioning/object-tables.ts'
import { Objects } from '../versioning/objects.ts'
import { versioningMigrations } from '../versioning/tables.ts'
import { openCollector, startCollecting } from './collecting.ts'
import { Log } from './log.ts'

interface World extends BusyWorld, AsyncDisposable {
  readonly parts: OpenedPackedStore
  readonly collector: Collector
  /** Walks from all roots to their bytes; returns the chunks on the way. */
  walk(): Promise<ReadonlySet<ChunkId>>
}

const migrations = [
  storageMigrations,
  versioningMigrations,
  objectMigrations,
  pipelinesMigrations,
  migrationMigrations,
]
const { signal } = new AbortController()

async function openWorld(bucket = new MemoryBucket()): Promise<World> {
  await using opened = new AsyncDisposableStack()
  const directory = opened.use(await TemporaryDirectory.create()).path
  const clock = new SystemClock()
  const database = opened.use(await openSqlite({ path: directory, migrations, clock }))
  // Nothing is read from memory.
  const parts = opened.use(await openPackedStore({ directory, database, cacheBytes: 0 }))
  const { store } = parts
  const processing = opened.use(await openTestProcessing(parts, { bucket }))
  const { versioning } = processing
  const contents = new ChunkedContents(store)
  const objects = new Objects({
    database,
    chunks: store,
    contents,
    trees: new FileTrees(store),
    leases: store.leases,
    clock,
  })
  const collector = openCollector({ store, database, versioning, clock })
  const objectRoots = new ObjectCollection({ database, clock, tagPrefixes: async () => [] })
  const sources = [versioning, new PipelineCollection(database), objectRoots]
  const held = opened.move()
  return {
    parts,
    processing,
    objects,
    collector,
    walk: () => walkRoots(store, sources),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** Every chunk that a listed pack holds, and the bytes of each. */
async function storedChunks({ parts }: World): Promise<ReadonlyMap<ChunkId, number>> {
  const packs = await parts.database.read((tx) =>
    tx.all<{ name: string; size_bytes: number; chunk_count: number }>('SELECT * FROM packs'),
  )
  const stored = new Map<ChunkId, number>()
  for (const { name, size_bytes: sizeBytes, chunk_count: count } of packs) {
    const end = indexOffset(sizeBytes, count)
    const index = await parts.objects.get(packKey(name), end, count * entryBytes)
    for (const { id, storedBytes } of decodeIndex(index, end, name)) stored.set(id, storedBytes)
  }
  return stored
}

/** Everything that is needed is stored, and of the rest not more than sparse packs may hold. */
async function expectExact(world: World): Promise<void> {
  const reachable = await world.walk()
  const stored = await storedChunks(world)
  let [needed, needless] = [0, 0]
  for (const [id, bytes] of stored) {
    if (reachable.has(id)) needed += bytes
    else needless += bytes
  }
  for (const id of reachable) expect(stored.has(id)).toBe(true)
  expect(needless).toBeLessThanOrEqual(needed + stored.size * entryBytes + 1000)
  expect(await countRows(world.parts.database, 'retired_packs')).toBe(0)
}

test('an output that is still exported is kept, and is there when its job succeeds', async () => {
  const bucket = new MemoryBucket()
  await using world = await openWorld(bucket)
  const { processing } = world
  const { versioning } = processing
  await versioning.repos.create({ name: 'in' })
  // Trees of more than one node, that no datum has.
  const names = Array.from({ length: 2000 }, (_, index) => `/f${index}`)
  processing.code('p', async ([...files]) => {
    // So long that each result gets a pack of its own, and what is merged another, which no row refers to.
    await new SystemClock().sleep(300)
    const [path = '', text = ''] = files[0] ?? []
    return Object.fromEntries(names.map((name) => [path.slice(3) + name, text + name]))
  })
  bucket.onCall = () => {
    throw new UnavailableError('away')
  }
  const one = { parallelism: { constant: 1, coefficient: 0 } }
  await processing.pipeline('p', atom('in', '/*'), { egressUrl: 's3://memory', ...one })
  const commit = await processing.commit('in', { a: '1', b: '2' })
  const reason = async (): Promise<string | undefined> =>
    (await processing.processing.jobs.list('p'))[0]?.reason
  await expect.poll(reason).toContain('away (retrying)')
  for (let cycle = 0; cycle < 2; cycle += 1) await world.collector.collect({ signal })
  bucket.onCall = () => undefined
  await processing.flush('in', commit)
  expect(bucket.objects.size).toBe(2 * names.length)
  expect(Object.keys(await processing.files('p', 'master'))).toHaveLength(2 * names.length)
  await world.collector.collect({ signal })
  await expectExact(world)
})

test('whatever everybody does, what is referred to is there after each of many collections', async () => {
  await using world = await openWorld()
  world.processing.code('copy', (files) => {
    const output: Record<string, string> = {}
    for (const [name, text] of files) output[`/${name.length % 2}/${name}`] = text.slice(1)
    return output
  })
  await world.processing.versioning.repos.create({ name: 'in' })
  const stop = new AbortController()
  const busy = [
    ...[1, 2, 3].map((seed) => {
      const dice = new Dice(seed)
      return keepBusy(stop.signal, () => writerStep(world, `w${seed}`, dice))
    }),
    ...[4, 5].map((seed) => {
      const dice = new Dice(seed)
      return keepBusy(stop.signal, () => readerStep(world, dice))
    }),
    keepBusy(
      stop.signal,
      (
        (dice) => () =>
          objectStep(world, dice)
      )(new Dice(6)),
    ),
    keepBusy(
      stop.signal,
      (
        (dice) => () =>
          pipelineStep(world, dice)
      )(new Dice(7)),
    ),
  ]
  let packsGone = 0
  let remembered = 0
  for (let cycle = 0; cycle < 16; cycle += 1) {
    const report = await world.collector.collect({ signal, isIncremental: cycle % 4 > 0 })
    remembered += report.chunksRemembered
    packsGone += report.packsDeleted + report.packsRepacked
    expect(report.chunksMissing).toBe(0)
    await world.walk()
  }
  stop.abort()
  const counts = await Promise.all(busy)
  expect(Math.min(...counts)).toBeGreaterThan(5)
  expect(packsGone).toBeGreaterThan(50)
  expect(remembered).toBeGreaterThan(0)
  await quiesce(world)
  await world.collector.collect({ signal })
  await expectExact(world)
})

/** Waits until no job runs. */
async function quiesce({ processing }: World): Promise<void> {
  const { database } = processing
  const clock = new SystemClock()
  for (;;) {
    const row = await database.read((tx) =>
      tx.get(`SELECT 1 FROM jobs WHERE state IN ('starting', 'running') LIMIT 1`),
    )
    if (row === undefined) return
    await clock.sleep(20)
  }
}

test('when everything is deleted, not one chunk is left, nor a result', async () => {
  await using world = await openWorld()
  const { processing, objects, collector } = world
  const { versioning } = processing
  processing.code('copy', (files) => Object.fromEntries([...files].map(([n, t]) => [`/${n}`, t])))
  await versioning.repos.create({ name: 'in' })
  const dice = new Dice(1)
  await pipelineStep(world, { roll: () => 0, pick: () => undefined } as unknown as Dice)
  for (let count = 0; count < 5; count += 1) {
    const commit = await processing.commit('in', { [`f${count}`]: 'x'.repeat(5000 + count) })
    await processing.flush('in', commit)
  }
  for (let count = 0; count < 20; count += 1) await objectStep(world, dice).catch(() => undefined)
  await collector.collect({ signal })
  await expectExact(world)
  expect(await countRows(world.parts.database, 'datum_results')).toBe(5)

  await processing.processing.pipelines.delete('copy', { deleteJobs: false, deleteRepo: true })
  expect(await collector.collect({ signal })).toMatchObject({ removed: { results: 5 } })
  // Their logs, and what they took, stay with the jobs.
  expect(await countRows(world.parts.database, 'datum_results')).toBe(5)
  expect(await countRows(world.parts.database, "datum_results WHERE output_root <> ''")).toBe(0)
  expect(await collector.collect({ signal })).toMatchObject({ removed: { results: 0 } })
  await expectExact(world)

  for (const job of await processing.processing.jobs.list()) {
    await processing.processing.jobs.delete(job.id)
  }
  await versioning.repos.deleteAll()
  for await (const { name } of objects.listTags('')) await objects.deleteTags([name])
  await objects.delete(await Array.fromAsync(objects.list()))
  expect(await collector.collect({ signal })).toMatchObject({ bytesAfter: 0, packsAfter: 0 })
  expect((await storedChunks(world)).size).toBe(0)
  expect(await countRows(world.parts.database, 'datum_results')).toBe(0)
})

test('a collection frees what jobs kept that are being deleted, before their rows are gone', async () => {
  await using world = await openWorld()
  const { processing, collector } = world
  const { versioning, database } = processing
  processing.code('copy', (files) => Object.fromEntries([...files].map(([n, t]) => [`/${n}`, t])))
  await versioning.repos.create({ name: 'in' })
  await processing.pipeline('copy', atom('in', '/*'))
  const commit = await processing.commit('in', { a: 'x'.repeat(5000), b: 'y'.repeat(5000) })
  await processing.flush('in', commit)
  await database.transact(async (tx) => {
    const pipeline = await getPipeline(tx, 'copy')
    await markJobsDeleted(tx, pipeline)
    await removePipeline(tx, pipeline, 1)
  })
  await versioning.repos.deleteAll()
  expect(await collector.collect({ signal })).toMatchObject({
    removed: { results: 2 },
    bytesAfter: 0,
  })
  expect((await storedChunks(world)).size).toBe(0)
  expect(await countRows(database, 'job_rows')).toBe(1)
  await purgeDeletedJobs(database)
  expect(await countRows(database, 'job_rows')).toBe(0)
})

/** A clock whose minutes pass when the test says. */
class StageClock extends SystemClock {
  #minutes = Promise.withResolvers<undefined>()

  override async sleep(ms: number, stop?: AbortSignal): Promise<void> {
    if (ms < 60_000) return await super.sleep(ms, stop)
    const aborted = Promise.withResolvers<never>()
    stop?.addEventListener('abort', () => aborted.reject(new CancelledError('stopped')))
    await Promise.race([this.#minutes.promise, aborted.promise])
  }

  pass(): void {
    this.#minutes.resolve(undefined)
    this.#minutes = Promise.withResolvers()
  }
}

/** Lets the clock pass until the server has collected, or for a while. */
async function collectedLines(
  world: World,
  options: { readonly isDue: boolean },
): Promise<readonly string[]> {
  const clock = new StageClock()
  const lines: string[] = []
  const log = new Log(clock, (line) => lines.push(line))
  const { database } = world.processing
  await using _ = startCollecting({ collector: world.collector, database, clock, log })
  const real = new SystemClock()
  await real.sleep(20)
  clock.pass()
  if (!options.isDue) await real.sleep(100)
  while (options.isDue && lines.length === 0) await real.sleep(5)
  return lines
}

async function putObject({ objects }: World, byte: number): Promise<string> {
  const bytes = new Uint8Array(90_000).fill(byte)
  return await objects.put(
    (async function* once() {
      yield bytes
    })(),
    () => ['t'],
  )
}

test('the server collects by itself once something was deleted, also before it started', async () => {
  await using world = await openWorld()
  const { repos, commits, deletions, writes } = world.processing.versioning
  const commitOf = async (repo: string, byte: number): Promise<string> => {
    const { id } = await commits.start({ repo, branch: 'master' })
    const bytes = new Uint8Array(90_000).fill(byte)
    await writes.put({ repo, commit: 'master', path: 'f' }, bytes, { overwrite: true })
    return id
  }
  await repos.create({ name: 'r' })
  await commitOf('r', 1)
  await commits.finish('r', 'master')
  await repos.create({ name: 's' })
  const finished = await commitOf('s', 2)
  await commits.finish('s', 'master')
  const hash = await putObject(world, 3)
  expect(await collectedLines(world, { isDue: false })).toEqual([])
  const steps = [
    async () => repos.delete('r', { force: false }),
    async () => deletions.delete([{ repo: 's', commit: finished }], { dryRun: false }),
    async () => {
      await commitOf('s', 4)
      await commits.delete('s', 'master')
    },
    async () => world.objects.deleteTags(['t']),
    async () => world.objects.delete([hash]),
  ]
  for (const step of steps) {
    await step()
    const [line, ...more] = await collectedLines(world, { isDue: true })
    expect(line).toMatch(/collected garbage freedBytes=\d+ bytesAfter=\d+ /)
    expect(more).toEqual([])
    expect(await collectedLines(world, { isDue: false })).toEqual([])
  }
  expect((await storedChunks(world)).size).toBe(0)
})

test('what grew before a restart, and what was deleted during an incremental collection, is collected', async () => {
  await using world = await openWorld()
  const { versioning } = world.processing
  await versioning.repos.create({ name: 'r' })
  await world.collector.collect({ signal })
  // Put for nothing, so that no deletion is noted.
  for (let seed = 0; seed < 17; seed += 1) {
    await world.parts.store.put(seededBytes(seed, 4 * 1024 * 1024))
  }
  await world.parts.store.flush()
  // Each is as the server after a start: it knows nothing of before.
  const [line = '', ...more] = await collectedLines(world, { isDue: true })
  expect(line).toMatch(/collected garbage freedBytes=7\d{7} /)
  expect(more).toEqual([])
  expect(await collectedLines(world, { isDue: false })).toEqual([])

  await world.collector.collect({ signal })
  await versioning.repos.delete('r', { force: false })
  const report = await world.collector.collect({ signal, isIncremental: true })
  expect(report.packsDeleted).toBe(0)
  expect(await collectedLines(world, { isDue: true })).toHaveLength(1)
})

test('a rehearsal, and a collection that failed, leave what was deleted to the next', async () => {
  await using world = await openWorld()
  const { repos } = world.processing.versioning
  await repos.create({ name: 'kept' })
  await world.processing.commit('kept', { f: 'x'.repeat(5000) })
  await repos.create({ name: 'r' })
  await repos.delete('r', { force: false })
  await world.collector.collect({ signal, isRehearsal: true })
  const stop = AbortSignal.abort()
  await expect(world.collector.collect({ signal: stop })).rejects.toThrow(CancelledError)
  expect(await collectedLines(world, { isDue: true })).toHaveLength(1)
})
