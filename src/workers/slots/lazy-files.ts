import { closeSync, constants, fstatSync, openSync, renameSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { dirname, join } from 'node:path'

import type { ByteStream } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { shortageError } from '../../base/shortages.ts'
import type { Slot } from '../../pipelines/executor.ts'
import { makeNamedPipes } from '../../pipelines/named-pipes.ts'
import { contentSizeBytes, type Content, type Contents } from '../../storage/contents.ts'
import { errorCode } from './datum-errors.ts'
import type { LazyReaders } from './lazy-readers.ts'

const pipeMode = 0o644
/** For one call of a program, whose arguments the kernel bounds. */
const pathsBytesMax = 64 * 1024
/** Whoever reads files in their order finds the next so many at once. */
const nearCount = 16
const pauseMsMin = 1
const pauseMsMax = 10
/** At the others it looks so often, and so long at a time. */
const lookFarEveryMs = 10
const lookFarMsMax = 0.4
/** So many readers at once get large pieces, which are held until they are read. */
const largeReaderCountMax = 16
const smallPieceBytes = 64 * 1024
const spareCount = 64

/** A file of an input that is read when user code opens it. */
export interface LazyFile {
  /** Where its named pipe is. */
  readonly path: string
  readonly content: Content
}

export interface LazyFilesPorts {
  readonly contents: Contents
  readonly clock: Clock
  readonly lazyReaders: LazyReaders
}

/** Makes a named pipe at each path, in directories that exist. */
export async function makePipes(paths: readonly string[]): Promise<void> {
  let batch: string[] = []
  let batchBytes = 0
  for (const path of [...paths, undefined]) {
    if (batch.length > 0 && (path === undefined || batchBytes > pathsBytesMax)) {
      await makeNamedPipes(pipeMode, batch)
      batch = []
      batchBytes = 0
    }
    if (path === undefined) break
    batch.push(path)
    batchBytes += Buffer.byteLength(path)
  }
}

/**
 * Has user code, run by `run`, find in the named pipes what the files hold. Returns what `run` does,
 * and how many bytes were read of the store. When it has ended, nobody reads the pipes any more.
 *
 * @throws what reading a file threw: user code may have seen a part of it.
 */
export async function feedWhile<Result>(
  ports: LazyFilesPorts,
  slot: Pick<Slot, 'pfsDirectory'>,
  files: readonly LazyFile[],
  run: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly bytes: number }> {
  if (files.length === 0) return { result: await run(), bytes: 0 }
  const feeder = new LazyFeeder(ports, dirname(slot.pfsDirectory), files)
  try {
    return { result: await run(), bytes: await feeder.end() }
  } finally {
    await feeder[Symbol.asyncDispose]()
  }
}

/**
 * Writes to each pipe once somebody has opened it for reading, as often as that happens: then another
 * pipe takes its name, so that whoever opens it next reads from the beginning. The kernel tells
 * nobody that a pipe was opened, so it is tried.
 */
class LazyFeeder implements AsyncDisposable {
  readonly #ports: LazyFilesPorts
  readonly #directory: string
  readonly #files: (LazyFile | undefined)[]
  readonly #closing = new AbortController()
  readonly #feeds = new Map<Socket, Promise<void>>()
  readonly #loop: Promise<void>
  #spares: string[] = []
  #spareNumber = 0
  #bytes = 0
  #failure: { readonly reason: unknown } | undefined
  /** Where it looks next: after the file that was opened last, and everywhere in turn. */
  #near = 0
  #far = 0
  #lookFarAtMs = 0

  constructor(ports: LazyFilesPorts, directory: string, files: readonly LazyFile[]) {
    this.#ports = ports
    this.#directory = directory
    this.#files = [...files]
    this.#loop = this.#lookAll().catch((error: unknown) => {
      this.#failure ??= { reason: error }
    })
  }

  /** Stops; returns how many bytes were given. Throws what went wrong. */
  async end(): Promise<number> {
    await this[Symbol.asyncDispose]()
    if (this.#failure !== undefined) throw this.#failure.reason
    return this.#bytes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await this.#loop
    for (const index of this.#opened.keys()) this.#takeOpened(index)?.[Symbol.dispose]()
    for (const socket of this.#feeds.keys()) socket.destroy()
    await Promise.all(this.#feeds.values())
    for (const spare of this.#spares.splice(0)) rmSync(spare, { force: true })
  }

  async #lookAll(): Promise<void> {
    const { clock } = this.#ports
    const { signal } = this.#closing
    let idleMs = pauseMsMin
    while (!signal.aborted) {
      const opened = this.#look(clock.monotonicMs())
      for (const index of opened) await this.#begin(index)
      idleMs = opened.length > 0 ? pauseMsMin : Math.min(pauseMsMax, idleMs * 1.1)
      await clock.sleep(idleMs, signal).catch(() => {})
    }
  }

  /** Files that somebody has opened, with the pipes' writing ends in `#opened`. */
  #look(startMs: number): readonly number[] {
    const count = this.#files.length
    const opened: number[] = []
    const tryAt = (index: number): void => {
      if (this.#tryOpen(index)) opened.push(index)
    }
    const near = Math.min(nearCount, count)
    for (let step = 0; step < near; step += 1) tryAt((this.#near + step) % count)
    if (startMs < this.#lookFarAtMs) return opened
    this.#lookFarAtMs = startMs + lookFarEveryMs
    for (let step = near; step < count; step += 1) {
      tryAt(this.#far)
      this.#far = (this.#far + 1) % count
      if (this.#ports.clock.monotonicMs() - startMs > lookFarMsMax) break
    }
    return opened
  }

  readonly #opened = new Map<number, OpenedPipe>()

  /** True when somebody reads the file's pipe, which is then open. Of too many, some wait. */
  #tryOpen(index: number): boolean {
    const file = this.#files[index]
    if (file === undefined || this.#opened.has(index)) return false
    const { lazyReaders } = this.#ports
    const readerCount = this.#feeds.size + this.#opened.size
    if (!lazyReaders.mayHaveMore(readerCount)) return false
    const descriptor = openToWrite(file.path)
    if (descriptor === undefined) return false
    if (descriptor === 'gone') {
      this.#files[index] = undefined
      return false
    }
    this.#opened.set(index, new OpenedPipe(descriptor, lazyReaders.take(readerCount)))
    return true
  }

  #takeOpened(index: number): OpenedPipe | undefined {
    const opened = this.#opened.get(index)
    this.#opened.delete(index)
    return opened
  }

  async #begin(index: number): Promise<void> {
    const file = this.#files[index]
    const pipe = this.#takeOpened(index)
    if (file === undefined || pipe === undefined) return
    this.#near = index
    const socket = pipe.socket()
    // First of all: whoever opens it from now on is not to read on where this reader stops.
    try {
      renameSync(await this.#spare(), file.path)
    } catch (error) {
      // User code that can has removed the directory.
      if (errorCode(error) !== 'ENOENT') {
        socket.destroy()
        throw error
      }
      this.#files[index] = undefined
    }
    this.#feeds.set(socket, this.#feed(socket, file.content))
  }

  async #spare(): Promise<string> {
    if (this.#spares.length === 0) {
      const made = Array.from({ length: spareCount }, () => {
        this.#spareNumber += 1
        return join(this.#directory, `pipe-${this.#spareNumber}`)
      })
      await makePipes(made)
      this.#spares = made
    }
    return this.#spares.pop() ?? ''
  }

  /** Never rejects. */
  async #feed(socket: Socket, content: Content): Promise<void> {
    // The reader has gone: it need not read all.
    socket.on('error', () => {})
    try {
      for await (const piece of this.#pieces(content)) {
        if (!(await write(socket, piece))) break
        this.#bytes += piece.length
      }
    } catch (error) {
      this.#failure ??= { reason: error }
    } finally {
      socket.destroy()
      this.#feeds.delete(socket)
    }
  }

  #pieces(content: Content): ByteStream {
    const { contents } = this.#ports
    if (this.#feeds.size < largeReaderCountMax) return contents.read(content, { lent: true })
    return smallPieces(contents, content)
  }
}

/** The writing end of a pipe, until a socket has it, and its reader's place. */
class OpenedPipe implements Disposable {
  readonly #descriptor: number
  readonly #place: Disposable

  constructor(descriptor: number, place: Disposable) {
    this.#descriptor = descriptor
    this.#place = place
  }

  /** The place is free again when it is closed. */
  socket(): Socket {
    const socket = new Socket({ fd: this.#descriptor, readable: false, writable: true })
    socket.once('close', () => this.#place[Symbol.dispose]())
    return socket
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor)
    this.#place[Symbol.dispose]()
  }
}

/** One after the other is read when the one before has been taken: many readers hold little. */
async function* smallPieces(contents: Contents, content: Content): AsyncGenerator<Uint8Array> {
  const size = contentSizeBytes(content)
  for (let offset = 0; offset < size; offset += smallPieceBytes) {
    for await (const piece of contents.read(content, { offset, length: smallPieceBytes })) {
      yield piece
    }
  }
}

/** Resolves when the kernel has it all; to false when nobody reads any more. */
function write(socket: Socket, bytes: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    if (socket.destroyed) {
      resolve(false)
      return
    }
    const closed = (): void => resolve(false)
    socket.once('close', closed)
    socket.write(bytes, (error) => {
      socket.off('close', closed)
      resolve(error === undefined || error === null)
    })
  })
}

/** The writing end of a pipe that somebody reads; undefined when nobody does, or it cannot be told now. */
function openToWrite(path: string): number | 'gone' | undefined {
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
  } catch (error) {
    if (errorCode(error) === 'ENXIO' || shortageError(error) !== undefined) return undefined
    return 'gone'
  }
  if (fstatSync(descriptor).isFIFO()) return descriptor
  closeSync(descriptor)
  return 'gone'
}
