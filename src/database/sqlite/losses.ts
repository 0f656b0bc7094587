import { type FileHandle, open, readFile, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { DataLossError } from '../../base/errors.ts'
import type { Connection } from './connection.ts'
import { lastEventOf, storeIdOf, syncFile } from './store.ts'

/** Beside the database while commits may be in the log alone: docs/formats/metadata.md. */
function markPath(path: string): string {
  return `${path}-open`
}

/** How often at most it is written which event is durable. */
const markPauseMs = 1000
const markPattern = /^events (\d{16})\n$/

/**
 * Says, beside the database, that the log is needed, and now and then which event is in it for
 * certain: should the log be cut short afterwards, that shows.
 */
export class OpenMark implements AsyncDisposable {
  readonly #file: FileHandle
  readonly #clock: Clock
  readonly #stop = new AbortController()
  #noted = 0
  #writtenTo = 0
  #keeping: Promise<void> | undefined

  private constructor(file: FileHandle, clock: Clock) {
    this.#file = file
    this.#clock = clock
  }

  /** The log's name must be durable already. */
  static async make(path: string, clock: Clock): Promise<OpenMark> {
    await using opened = new AsyncDisposableStack()
    const file = opened.use(await open(markPath(path), 'w'))
    await file.sync()
    await syncFile(dirname(path))
    opened.move()
    return new OpenMark(file, clock)
  }

  /** To be called when the event is durable. What cannot be written is only missed as evidence. */
  note(lastSequence: number): void {
    this.#noted = lastSequence
    this.#keeping ??= this.#keep().finally(() => {
      this.#keeping = undefined
    })
  }

  /** Goes on until the last event is marked, so that those before a long silence are, too. */
  async #keep(): Promise<void> {
    while (this.#writtenTo < this.#noted && !this.#stop.signal.aborted) {
      const sequence = this.#noted
      this.#writtenTo = sequence
      await this.#write(sequence).catch(() => undefined)
      await this.#clock.sleep(markPauseMs, this.#stop.signal).catch(() => undefined) // closed
    }
  }

  async #write(sequence: number): Promise<void> {
    await this.#file.write(`events ${String(sequence).padStart(16, '0')}\n`, 0)
    await this.#file.datasync()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#keeping
    await this.#file.close()
  }
}

/**
 * To be called once the log's commits are there, and before a new mark is made.
 *
 * @throws {DataLossError} when the log lacks events that were durable.
 */
export async function requireWholeLog(connection: Connection): Promise<void> {
  const { path } = connection
  const text = await readFile(markPath(path), 'latin1').catch(() => '')
  const marked = Number(markPattern.exec(text)?.[1] ?? 0)
  if (marked === 0) return
  const last = lastEventOf(connection)
  if (last >= marked) return
  throw new DataLossError(
    `${path}-wal was cut short or damaged after the server had been killed: the metadata hold events up to ${last}, and ${marked} had been written. Nothing has been changed: put the log back, or restore a backup; to go on with what there is, or if it is a backup, delete ${markPath(path)}`,
  )
}

/** Before the last connection is closed, which moves the log into the file and removes it. */
export async function markClosed(path: string): Promise<void> {
  await rm(markPath(path), { force: true })
  await syncFile(dirname(path))
}

/**
 * To be called before anything opens the database, which would make the missing files anew.
 *
 * @param mustExist that this is not the first start.
 * @throws {DataLossError} when a file is gone that must be there.
 */
export async function requireFiles(path: string, mustExist: boolean): Promise<void> {
  const size = await sizeBytes(path)
  const logSize = await sizeBytes(`${path}-wal`)
  if (mustExist && size === undefined) throw lostStore(path, 'is missing')
  if (mustExist && size === 0) throw lostStore(path, 'is empty')
  if (logSize === undefined && (await sizeBytes(markPath(path))) !== undefined) {
    throw new DataLossError(
      `${path}-wal is missing, and with it the last commits, since the server did not stop in good order: put it back, or restore a backup; to go on with what ${path} holds, or if it is a backup, delete ${markPath(path)}`,
    )
  }
}

/** @throws {DataLossError} when the store is not the one that belongs here. */
export function requireStore(connection: Connection, id: string): void {
  const found = storeIdOf(connection)
  if (found === id) return
  throw lostStore(
    connection.path,
    found === undefined
      ? 'holds no store, or not the whole of it'
      : `belongs to another data directory (it says store ${found}, not ${id})`,
  )
}

function lostStore(path: string, what: string): DataLossError {
  return new DataLossError(
    `${path} ${what}, but this data directory has been in use: repos, branches and commits were in it. Restore a backup. The packs in ${dirname(path)}/objects are untouched, but hold contents without their names; to start over, move the whole directory away`,
  )
}

async function sizeBytes(path: string): Promise<number | undefined> {
  return await stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
}
