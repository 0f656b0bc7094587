import { equal } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { SystemClock } from '../base/clock.ts'
import type { Database, Migrations } from '../database/database.ts'
import type { PackStore } from '../storage/chunk-store.ts'
import type { ChunkId } from '../storage/chunks.ts'
import { type CollectionReport, Collector } from '../storage/collector.ts'
import type { StagedObjects } from '../storage/staged-objects.ts'
import { storageMigrations } from '../storage/tables.ts'
import { type CrashBucket, openCrashBucket } from './crash-bucket.ts'
import { openPackedStore, type OpenedPackedStore } from './packed-store.ts'
import { seededBytes } from './seeded-random.ts'

/** References to chunks, committed only after the flush that covers them. */
const crashMigrations: Migrations = {
  layer: 'crash test',
  steps: [
    ['CREATE TABLE crash_chunks (id TEXT NOT NULL, seed INTEGER NOT NULL, size INTEGER NOT NULL)'],
  ],
}

export const crashSizes: readonly number[] = [100, 5000, 300_000]

interface CrashReference {
  readonly id: ChunkId
  readonly seed: number
  readonly size: number
}

/** The step at which a child kills itself, and the how manieth time that it comes there. */
interface CrashStep {
  readonly step: string
  readonly count: string
}

/**
 * Runs a child of this module's kind on the directory, which must kill itself; with its packs in a bucket
 * when one is given.
 */
export async function runToStep(
  program: string,
  directory: string,
  { step, count }: CrashStep,
  bucket?: CrashBucket,
): Promise<void> {
  const args = [program, directory, step, count, ...(bucket ? [JSON.stringify(bucket)] : [])]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const [, signal] = await once(child, 'exit')
  equal(`${step}: ${signal}`, `${step}: SIGKILL`)
}

/** For the child: kills this process when it comes to the step for the given time. */
export function killAt({ step, count }: CrashStep): (reached: string) => void {
  let left = Number(count)
  return (reached) => {
    if (reached !== step) return
    left -= 1
    if (left === 0) process.kill(process.pid, 'SIGKILL')
  }
}

const migrations = [storageMigrations, crashMigrations]

export async function openCrashStore(
  directory: string,
  faultPoint?: (reached: string) => void,
): Promise<OpenedPackedStore> {
  return await openPackedStore({ directory, migrations, ...(faultPoint && { faultPoint }) })
}

/** As `openCrashStore`, with packs that are on their way to a bucket. */
export async function openCrashStoreOf(
  bucket: CrashBucket,
  directory: string,
  faultPoint?: (reached: string) => void,
): Promise<OpenedPackedStore & { readonly staged: StagedObjects }> {
  await using opened = new AsyncDisposableStack()
  const { staged, near, start } = opened.use(
    await openCrashBucket(bucket, directory, faultPoint ?? (() => undefined)),
  )
  const options = { directory, migrations, objects: near, ...(faultPoint && { faultPoint }) }
  const store = opened.use(await openPackedStore(options))
  await start()
  const parts = opened.move()
  return { ...store, staged, [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose]() }
}

/** For the child: the store that its arguments name. */
export async function openNamedCrashStore(
  args: readonly string[],
  faultPoint: (reached: string) => void,
): Promise<OpenedPackedStore> {
  const [directory = '', , , bucket] = args
  if (bucket === undefined) return await openCrashStore(directory, faultPoint)
  return await openCrashStoreOf(JSON.parse(bucket) as CrashBucket, directory, faultPoint)
}

/** Reads every chunk that a reference names, which must be what was put. */
export async function readReferences({
  database,
  store,
}: OpenedPackedStore): Promise<readonly CrashReference[]> {
  const references = await listReferences(database)
  for (const { id, seed, size } of references) {
    const bytes = await store.get(id)
    equal(Buffer.compare(bytes, seededBytes(seed + size, size)), 0)
  }
  return references
}

/** All references, which the test keeps few. */
async function listReferences(database: Database): Promise<readonly CrashReference[]> {
  return await database.read((tx) =>
    tx.all<{ id: ChunkId; seed: number; size: number }>('SELECT id, seed, size FROM crash_chunks'),
  )
}

/** Frees every chunk that no reference names. */
export async function collectReferences(parts: {
  readonly store: PackStore
  readonly database: Database
}): Promise<CollectionReport> {
  const { store, database } = parts
  const source = {
    async *collectionRoots() {
      for (const { id } of await listReferences(database)) {
        yield { kind: 'chunk', chunk: id } as const
      }
    },
  }
  const clock = new SystemClock()
  const collector = new Collector({ store, sources: [source], clock, graceMs: 1 })
  return await collector.collect({ signal: new AbortController().signal })
}
