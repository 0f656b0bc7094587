import { type FileHandle, open, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { DiskFullError, DomainError, UnavailableError } from '../base/errors.ts'
import type {
  Database,
  DatabaseEvent,
  Migrations,
  ReadTransaction,
  StoreUpgrade,
  TransactOptions,
  Transaction,
} from './database.ts'
import { Checkpoints, logBytes } from './sqlite/checkpoints.ts'
import { Connection } from './sqlite/connection.ts'
import {
  markClosed,
  OpenMark,
  requireFiles,
  requireStore,
  requireWholeLog,
} from './sqlite/losses.ts'
import { keepDamagedLog } from './sqlite/log-file.ts'
import { Reader } from './sqlite/reader.ts'
import { DiskReserve, type FreeBytes } from './sqlite/reserve.ts'
import { claimStore, migrate, setStoreId, storeIdOf, syncFile } from './sqlite/store.ts'
import { Watchers } from './sqlite/watchers.ts'
import { Writer } from './sqlite/writer.ts'

const mebibyte = 1024 * 1024
/** Together 64 MiB: what SQLite may keep of the file in memory. */
const writeCacheBytes = 16 * mebibyte
const readCacheBytes = 16 * mebibyte

/** Events that the log keeps at least. */
const retainedEventsMin = 100_000
/** Events beyond those that may gather before they are deleted. */
const pruneEvents = 1000

export interface SqliteOptions {
  /** A directory that exists, which then holds `metadata.db`; otherwise the database file. */
  readonly path: string
  /** Lower layers first. */
  readonly migrations: readonly Migrations[]
  readonly clock: Clock
  /** This release, as it is recorded in the store for the message that an older one will give. */
  readonly release?: string
  /** Which store it must be, or becomes where `isNew`; unset: whichever is there, or a new one. */
  readonly store?: { readonly id: string; readonly isNew: boolean }
  /** What to keep of the disk for when it is full; 0, which is nothing, if it is not said. */
  readonly reserveBytes?: number
  /** Is told where a copy is of a log that the database can take only a part of. */
  readonly onDamagedLog?: (copy: string) => void
  /** Whether what there was is kept beside a store of an older release; it is, unless this says no. */
  readonly keepsCopy?: boolean
  /** Is told what was done to a store of an older release, where a copy was kept. */
  readonly onUpgraded?: (upgrade: StoreUpgrade) => void
  /** Is told each time that something cannot be written, or only with what is in reserve. */
  readonly onDiskFull?: (error: DiskFullError) => void
  /** Tests only: a disk that is fuller than the real one. */
  readonly freeBytes?: FreeBytes
  /** Tests only: a smaller bound than the product's. */
  readonly checkpointBytes?: number
  /** Tests only: fewer events than the product keeps. */
  readonly retainedEvents?: number
}

/**
 * Opens the store, creates it if there is none, and brings its tables up to date. One process at a
 * time: hold `lockDirectory` on the data directory for as long.
 *
 * @throws {DataLossError} when the store, or its log, is lost or damaged.
 *
 * Layout, durability and upgrades: docs/formats/metadata.md.
 */
export async function openSqlite(options: SqliteOptions): Promise<Database> {
  const path = await databaseFile(options.path)
  const reserve = new DiskReserve(`${path}-reserve`, options.reserveBytes ?? 0, options.freeBytes)
  try {
    return await openOnce(path, options, reserve)
  } catch (error) {
    // Opening needs some room, too, if only to get at what can be deleted.
    if (!(error instanceof DiskFullError) || !(await reserve.release())) throw error
    return await openOnce(path, options, reserve)
  }
}

async function openOnce(
  path: string,
  options: SqliteOptions,
  reserve: DiskReserve,
): Promise<Database> {
  await using opened = new AsyncDisposableStack()
  const { store } = options
  await requireFiles(path, store?.isNew === false)
  await requireSoundLog(path, options)
  const writeConnection = opened.use(new Connection(path, { cacheBytes: writeCacheBytes }))
  if (store?.isNew === false) requireStore(writeConnection, store.id)
  claimStore(writeConnection)
  writeConnection.execute('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  // What a killed process left in the log was visible; it is durable once it is in the file.
  writeConnection.execute('PRAGMA wal_checkpoint(TRUNCATE)')
  await requireWholeLog(writeConnection)
  const { migrations, release = 'unknown', keepsCopy = true } = options
  const upgrade = await migrate(writeConnection, migrations, release, { keepsCopy })
  if (upgrade !== undefined) options.onUpgraded?.(upgrade)
  if (store?.isNew === true) setStoreId(writeConnection, store.id)
  // So that the file itself says what it is, and holds all tables, whatever becomes of the log.
  writeConnection.execute('PRAGMA wal_checkpoint(TRUNCATE)')
  writeConnection.execute('PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = NORMAL')
  // So that the log exists even where no migration has written.
  writeConnection.execute('BEGIN IMMEDIATE; COMMIT')
  const readConnection = opened.use(new Connection(path, { cacheBytes: readCacheBytes }))
  readConnection.execute('PRAGMA query_only = ON')
  // SQLite locks other files than the log, so closing this descriptor drops none of its locks.
  const log = opened.use(await open(`${path}-wal`, 'r+'))
  await log.sync()
  await syncFile(dirname(path))
  const mark = opened.use(await OpenMark.make(path, options.clock))
  await reserve.make()
  const events = eventsOf(writeConnection)
  const parts = { writeConnection, readConnection, log, mark, reserve, events }
  return new SqliteDatabase(parts, options, opened.move())
}

/**
 * Before a connection is opened that writes: closing that, too, moves what can be read of the log into
 * the file, and deletes the rest.
 */
async function requireSoundLog(path: string, options: SqliteOptions): Promise<void> {
  const { store } = options
  const log = await stat(`${path}-wal`).catch(() => undefined)
  if (log === undefined || store?.isNew === true) return
  {
    using connection = new Connection(path, { cacheBytes: mebibyte, readOnly: true })
    if (store !== undefined) requireStore(connection, store.id)
    await requireWholeLog(connection)
  }
  const copy = await keepDamagedLog(path)
  if (copy !== undefined) options.onDamagedLog?.(copy)
}

/** The id of the store in the file `path`; undefined when there is none, or it cannot be read. */
export async function readSqliteStoreId(path: string): Promise<string | undefined> {
  const size = await stat(path).then(
    ({ size: bytes }) => bytes,
    () => 0,
  )
  if (size === 0) return undefined
  try {
    // Closing a connection that may write would move the log into the file.
    using connection = new Connection(path, { cacheBytes: mebibyte, readOnly: true })
    return storeIdOf(connection)
  } catch (error) {
    if (error instanceof DomainError) return undefined
    throw error
  }
}

async function databaseFile(path: string): Promise<string> {
  const known = await stat(path).catch(() => undefined)
  return known?.isDirectory() === true ? join(path, 'metadata.db') : path
}

interface Parts {
  readonly writeConnection: Connection
  readonly readConnection: Connection
  readonly log: FileHandle
  readonly mark: OpenMark
  readonly reserve: DiskReserve
  /** The first and the last of the log. */
  readonly events: { readonly first: number; readonly last: number }
}

function eventsOf(connection: Connection): Parts['events'] {
  const row = connection.get<{ readonly first: number | null; readonly last: number | null }>(
    'SELECT min(sequence) AS first, max(sequence) AS last FROM database_events',
  )
  return { first: row?.first ?? 1, last: row?.last ?? 0 }
}

class SqliteDatabase implements Database {
  readonly #writer: Writer
  readonly #reader: Reader
  readonly #watchers: Watchers
  readonly #checkpoints: Checkpoints
  readonly #connections: AsyncDisposableStack
  readonly #path: string
  readonly #reserve: DiskReserve
  readonly #onDiskFull: (error: DiskFullError) => void
  readonly #retainedEvents: number
  #prunedTo: number
  #closed: Promise<void> | undefined

  constructor(parts: Parts, options: SqliteOptions, connections: AsyncDisposableStack) {
    const { writeConnection, readConnection, log, mark, events } = parts
    this.#path = writeConnection.path
    this.#reserve = parts.reserve
    this.#connections = connections
    this.#onDiskFull = options.onDiskFull ?? (() => undefined)
    this.#retainedEvents = options.retainedEvents ?? retainedEventsMin
    this.#prunedTo = events.first - 1
    this.#writer = new Writer({
      connection: writeConnection,
      clock: options.clock,
      sync: async () => {
        await log.datasync()
      },
      published: (notice, writtenBytes) => {
        this.#watchers.publish(notice)
        if (notice.lastSequence > 0) mark.note(notice.lastSequence)
        this.#checkpoints.noteWritten(writtenBytes)
        this.#prune(notice.lastSequence)
      },
      failed: (refusal) => {
        this.#watchers.close(refusal)
      },
    })
    this.#reader = new Reader({
      connection: readConnection,
      clock: options.clock,
      durable: async () => {
        await this.#writer.durable()
      },
    })
    this.#watchers = new Watchers(
      async (operation) => await this.#reader.read(operation),
      events.last,
    )
    this.#checkpoints = new Checkpoints({
      path: this.#path,
      pauseWrites: async (task) => {
        await this.#writer.pauseFor(task)
      },
      thresholdBytes: options.checkpointBytes ?? logBytes,
    })
  }

  async transact<Result>(
    operation: (tx: Transaction) => Promise<Result>,
    { usesReserve = false }: TransactOptions = {},
  ): Promise<Result> {
    this.#requireOpen()
    this.#checkpoints.requireRoom()
    // What was in reserve is left to what makes room.
    if (!usesReserve && !this.#reserve.isHeld && !(await this.#reserve.make())) {
      const error = new DiskFullError(dirname(this.#path))
      this.#onDiskFull(error)
      throw error
    }
    try {
      return await this.#writer.transact(operation)
    } catch (error) {
      if (error instanceof DiskFullError) this.#onDiskFull(error)
      if (!usesReserve || !(error instanceof DiskFullError)) throw error
      if (!(await this.#reserve.release())) throw error
      return await this.#writer.transact(operation)
    } finally {
      // What comes next may have to make room, too.
      if (usesReserve && !this.#reserve.isHeld) await this.#reserve.restore()
    }
  }

  async read<Result>(operation: (tx: ReadTransaction) => Promise<Result>): Promise<Result> {
    this.#requireOpen()
    return await this.#reader.read(operation)
  }

  watch(
    topics: readonly string[],
    options: { readonly after?: number; readonly signal: AbortSignal },
  ): AsyncIterable<DatabaseEvent> {
    return this.#watchers.watch(topics, options)
  }

  #requireOpen(): void {
    if (this.#closed !== undefined) throw this.#closedError()
  }

  #closedError(): UnavailableError {
    return new UnavailableError(`${this.#path} has been closed`)
  }

  /** Deletes what the log holds too much, now and then, behind the caller's back. */
  #prune(lastSequence: number): void {
    const upTo = lastSequence - this.#retainedEvents
    if (upTo < this.#prunedTo + pruneEvents || this.#closed !== undefined) return
    this.#prunedTo = upTo
    this.#writer
      .transact(async (tx) => await tx.run('DELETE FROM database_events WHERE sequence <= ?', upTo))
      // The next one deletes these too; and whatever is wrong, the callers' own writes report it.
      .catch(() => undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close(): Promise<void> {
    const closed = this.#closedError()
    await this.#checkpoints.stop()
    await this.#writer.close(closed)
    this.#watchers.close(closed)
    await this.#reader.close(closed)
    await markClosed(this.#path)
    await this.#connections.disposeAsync()
    await this.#checkpoints.close()
  }
}
