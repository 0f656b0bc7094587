import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { DataLossError, NotFoundError } from '../base/errors.ts'
import type { Database } from '../database/database.ts'
import { copySqlite, SqliteCopy } from '../database/sqlite-copy.ts'
import { damageOfPack, packKey } from '../storage/pack-bytes.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { type Pause, pauses } from './damaged-objects.ts'
import {
  type BackedUpMetadata,
  type BackedUpPack,
  contentPackKey,
  encodeSnapshot,
  metadataPackKey,
  type Snapshot,
  snapshotKey,
  type SnapshotName,
  type SnapshotScope,
  type StoreCounts,
} from './format.ts'
import { type KnownMetadata, packMetadata } from './metadata-image.ts'

/** A store that is in use, as its backups see it. */
export interface ExtractedStore {
  readonly database: Database
  /** The database's file. */
  readonly metadata: string
  /** Counts what a copy of it has. */
  readonly count: (copy: SqliteCopy) => StoreCounts
  readonly objects: Pick<ObjectStore, 'get'>
  /** Keeps every pack that is listed. */
  readonly packs: { hold(): Promise<Disposable> }
  /** For a copy of the metadata, as large as they are. */
  readonly scratchDirectory: string
  readonly release: string
  readonly clock: Clock
}

/** What the place has already. */
export interface KnownObjects {
  /** Names of packs of contents. */
  readonly packs: ReadonlySet<string>
  /** Of the newest snapshot. */
  readonly metadata: KnownMetadata | undefined
}

export interface ExtractOptions {
  readonly scope: SnapshotScope
  readonly known: KnownObjects
  /** Leave out packs that are damaged, and say so in the snapshot. */
  readonly skipsDamaged: boolean
  readonly signal: AbortSignal
}

export type ExtractEvent =
  /** To be written, in any order, but for the snapshot. */
  | { readonly kind: 'object'; readonly key: string; readonly bytes: Uint8Array }
  | { readonly kind: 'progress'; readonly packsDone: number; readonly packsTotal: number }
  | { readonly kind: 'damage'; readonly what: string }
  /** The last object: to be written when all others are there. */
  | {
      readonly kind: 'snapshot'
      readonly name: SnapshotName
      readonly key: string
      readonly bytes: Uint8Array
      readonly snapshot: Snapshot
    }

let copyCount = 0

/**
 * All objects of a backup of the store as it is at one instant, which is after the first pull; but for
 * those that are known. Each is whole: what is damaged is told in place of it.
 *
 * @throws {DataLossError} at the end, when something was damaged and that was not to be left out.
 */
export async function* extract(
  store: ExtractedStore,
  options: ExtractOptions,
): AsyncGenerator<ExtractEvent> {
  const { scope, known, signal } = options
  // Before the copy is made: what it lists stays.
  using _ = await store.packs.hold()
  copyCount += 1
  const path = join(store.scratchDirectory, `backup-${copyCount}.db`)
  try {
    const takenAt = store.clock.now()
    await copySqlite(store.metadata, path, signal)
    // What it saw may have been on its way to the disk.
    await store.database.read(async (tx) => await tx.get('SELECT 1 AS one'))
    const rows = rowsOf(path, store)
    const pause = pauses(store.clock, signal, 'the backup')
    let metadata: BackedUpMetadata | undefined
    if (scope !== 'data') metadata = yield* metadataObjects(path, known.metadata, pause)
    await rm(path, { force: true })
    const damaged: string[] = []
    if (scope !== 'metadata') yield* packObjects(store, rows.packs, { known, pause, damaged })
    if (damaged.length > 0 && !options.skipsDamaged) throw damageError(damaged)
    const { release } = store
    const snapshot = { scope, takenAt, release, ...rows, metadata, damaged }
    const { name, bytes } = encodeSnapshot(snapshot)
    yield { kind: 'snapshot', name, key: snapshotKey(name), bytes, snapshot }
  } finally {
    for (const suffix of ['', '-wal', '-shm']) await rm(`${path}${suffix}`, { force: true })
  }
}

/** What the copy says of itself, and the packs that it lists. */
function rowsOf(
  path: string,
  { count }: Pick<ExtractedStore, 'count'>,
): Pick<Snapshot, 'store' | 'counts' | 'layers' | 'packs'> {
  using copy = new SqliteCopy(path)
  const packs = copy.all<{
    readonly name: string
    readonly sizeBytes: number
    readonly chunkCount: number
  }>('SELECT name, size_bytes AS sizeBytes, chunk_count AS chunkCount FROM packs ORDER BY name')
  return {
    store: copy.storeId ?? '',
    counts: count(copy),
    layers: Object.fromEntries(copy.layers.map(({ layer, version }) => [layer, version])),
    packs,
  }
}

async function* metadataObjects(
  path: string,
  known: KnownMetadata | undefined,
  pause: Pause,
): AsyncGenerator<ExtractEvent, BackedUpMetadata> {
  const packing = packMetadata(path, known, pause)
  for (;;) {
    const step = await packing.next()
    if (step.done === true) return step.value
    const { name, bytes } = step.value
    yield { kind: 'object', key: metadataPackKey(name), bytes }
  }
}

async function* packObjects(
  { objects }: ExtractedStore,
  packs: readonly BackedUpPack[],
  {
    known,
    pause,
    damaged,
  }: {
    readonly known: KnownObjects
    readonly pause: Pause
    readonly damaged: string[]
  },
): AsyncGenerator<ExtractEvent> {
  const wanted = packs.filter(({ name }) => !known.packs.has(name))
  let packsDone = packs.length - wanted.length
  const packsTotal = packs.length
  yield { kind: 'progress', packsDone, packsTotal }
  for (const { name, sizeBytes } of wanted) {
    const found = await wholePack(objects, { name, sizeBytes }, pause)
    if (typeof found === 'string') {
      damaged.push(name)
      yield { kind: 'damage', what: found }
    } else yield { kind: 'object', key: contentPackKey(name), bytes: found }
    packsDone += 1
    yield { kind: 'progress', packsDone, packsTotal }
  }
}

/** The bytes of a pack, each of which was compared; or what is wrong with it. */
async function wholePack(
  objects: Pick<ObjectStore, 'get'>,
  { name, sizeBytes }: Pick<BackedUpPack, 'name' | 'sizeBytes'>,
  pause: Pause,
): Promise<Uint8Array | string> {
  try {
    const bytes = await objects.get(packKey(name), 0, sizeBytes)
    if (bytes.length !== sizeBytes) return `pack ${name} is cut short`
    const [damage] = await damageOfPack(name, bytes, pause)
    return damage ?? bytes
  } catch (error) {
    if (error instanceof NotFoundError) return `pack ${name} is missing`
    if (error instanceof DataLossError) return error.message
    throw error
  }
}

const namedMax = 3

function damageError(damaged: readonly string[]): DataLossError {
  const named = damaged.slice(0, namedMax).join(', ')
  const rest = damaged.length > namedMax ? ` and ${damaged.length - namedMax} more` : ''
  return new DataLossError(
    `what is stored is damaged, so that no whole backup can be made: ${damaged.length === 1 ? 'pack' : 'packs'} ${named}${rest}; pachctl fsck --full says what that concerns and how to repair it. All else has been copied: with --skip-damaged a backup is made without what is damaged`,
  )
}
