import { type FileHandle, open } from 'node:fs/promises'
import { DataLossError, FailedPreconditionError, NotFoundError } from '../base/errors.ts'
import { tarBlockBytes, tarEnd, tarHeaders, tarPaddingBytes } from '../base/tar.ts'
import { fileError, systemCode } from '../storage/file-errors.ts'
import { descriptionKey } from './format.ts'
import type { BackupPlace, PlacedObject } from './place.ts'

/** Takes bytes in order, at its own pace. */
export type ByteSink = (bytes: Uint8Array) => Promise<void>

/** A place that is a tar archive on its way somewhere: each object is an entry. Nothing can be read back. */
export class ArchiveWriter implements BackupPlace {
  readonly name: string
  readonly #sink: ByteSink
  readonly #modifiedSeconds: number
  readonly #sizes = new Map<string, number>()
  #last: Promise<void> = Promise.resolve()

  constructor(name: string, sink: ByteSink, modifiedSeconds: number) {
    this.name = name
    this.#sink = sink
    this.#modifiedSeconds = modifiedSeconds
  }

  async *list(prefix: string): AsyncGenerator<PlacedObject> {
    for (const [key, sizeBytes] of this.#sizes) if (key.startsWith(prefix)) yield { key, sizeBytes }
  }

  async read(key: string): Promise<Uint8Array> {
    throw new NotFoundError(`${key} of ${this.name} cannot be read while that is written`)
  }

  /** One object after another, whoever writes. */
  async write(key: string, bytes: Uint8Array): Promise<void> {
    const written = this.#last.then(async () => {
      if (this.#sizes.has(key)) return
      this.#sizes.set(key, bytes.length)
      const modifiedSeconds = this.#modifiedSeconds
      const entry = { name: key, kind: 'file', sizeBytes: bytes.length, modifiedSeconds } as const
      await this.#sink(tarHeaders(entry))
      await this.#sink(bytes)
      await this.#sink(new Uint8Array(tarPaddingBytes(bytes.length)))
    })
    this.#last = written
    await written
  }

  async create(key: string, bytes: Uint8Array): Promise<boolean> {
    await this.write(key, bytes)
    return true
  }

  async replace(key: string): Promise<void> {
    throw new FailedPreconditionError(`${key} cannot be written to ${this.name} once more`)
  }

  async remove(): Promise<void> {
    throw new FailedPreconditionError(`nothing can be removed from ${this.name}`)
  }

  /** Writes what ends an archive. */
  async end(): Promise<void> {
    await this.#last
    await this.#sink(tarEnd)
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

interface Entry {
  readonly offset: number
  readonly sizeBytes: number
}

/** A tar archive in a file, as a place that is only read. */
export class ArchivePlace implements BackupPlace {
  readonly name: string
  readonly #file: FileHandle
  readonly #entries: ReadonlyMap<string, Entry>

  private constructor(name: string, file: FileHandle, entries: ReadonlyMap<string, Entry>) {
    this.name = name
    this.#file = file
    this.#entries = entries
  }

  /**
   * `name` is for people, where they know the file by another one.
   *
   * @throws {DataLossError} when it is no archive, or was cut short.
   */
  static async open(path: string, name: string = path): Promise<ArchivePlace> {
    await using opened = new AsyncDisposableStack()
    const file = await open(path, 'r').catch((error: unknown) => {
      throw fileError(error, name, path)
    })
    opened.use(file)
    const entries = await entriesOf(name, file)
    opened.move()
    return new ArchivePlace(name, file, entries)
  }

  async *list(prefix: string): AsyncGenerator<PlacedObject> {
    for (const [key, { sizeBytes }] of this.#entries) {
      if (key.startsWith(prefix)) yield { key, sizeBytes }
    }
  }

  async read(key: string): Promise<Uint8Array> {
    const entry = this.#entries.get(key)
    if (entry === undefined) throw new NotFoundError(`${this.name} holds no ${key}`)
    return await readFully(this.name, this.#file, entry.offset, entry.sizeBytes)
  }

  async write(): Promise<void> {
    throw new FailedPreconditionError(`${this.name} is a whole backup, and takes no other one`)
  }

  async create(): Promise<boolean> {
    await this.write()
    return false
  }

  async replace(): Promise<void> {
    await this.write()
  }

  async remove(): Promise<void> {
    throw new FailedPreconditionError(`nothing can be removed from ${this.name}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }
}

/** Whether nothing is lost when a backup takes the place of a file: there is none, it is empty, or begins as one. */
export async function mayBeReplaced(path: string): Promise<boolean> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined
    throw fileError(error, path, path)
  })
  if (file === undefined) return true
  await using _ = file
  const header = Buffer.alloc(tarBlockBytes)
  const { bytesRead } = await file.read(header, 0, tarBlockBytes, 0)
  if (bytesRead < tarBlockBytes) return bytesRead === 0
  try {
    return parseHeader(path, 0, header).name === descriptionKey
  } catch (error) {
    if (error instanceof DataLossError) return false
    throw error
  }
}

/** Regular files of a ustar archive, as `tar` and `ArchiveWriter` write them. */
async function entriesOf(path: string, file: FileHandle): Promise<ReadonlyMap<string, Entry>> {
  const { size } = await file.stat()
  await requireUncompressed(path, file)
  const entries = new Map<string, Entry>()
  for (let at = 0; ;) {
    if (at + tarBlockBytes > size) {
      throw new DataLossError(
        `${path} is cut short: it does not end as an archive does; the backup that wrote it was not completed`,
      )
    }
    const header = await readFully(path, file, at, tarBlockBytes)
    if (header.every((byte) => byte === 0)) return entries
    const { name, sizeBytes, isFile } = parseHeader(path, at, header)
    const offset = at + tarBlockBytes
    if (isFile) entries.set(name, { offset, sizeBytes })
    at = offset + sizeBytes + tarPaddingBytes(sizeBytes)
  }
}

/** How files begin that these programs have made. */
const compressors: Readonly<Record<string, string>> = {
  '1f8b': 'gzip',
  '28b52ffd': 'zstd',
  fd377a58: 'xz',
  '425a68': 'bzip2',
}

/** @throws {FailedPreconditionError} for what somebody has compressed, whose parts cannot be found. */
async function requireUncompressed(path: string, file: FileHandle): Promise<void> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0)
  const start = buffer.toString('hex', 0, bytesRead)
  const found = Object.entries(compressors).find(([magic]) => start.startsWith(magic))
  if (found === undefined) return
  throw new FailedPreconditionError(
    `${path} was compressed by ${found[1]}: give what is in it through a pipe, as in ${found[1]} -dc ARCHIVE | pachctl restore`,
  )
}

function parseHeader(
  path: string,
  at: number,
  header: Buffer,
): { readonly name: string; readonly sizeBytes: number; readonly isFile: boolean } {
  const text = (from: number, to: number): string =>
    header.toString('latin1', from, to).split('\0', 1)[0] ?? ''
  let sum = 0
  for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 32 : byte
  const sizeBytes = Number.parseInt(text(124, 136).trim() || '0', 8)
  const isSound = Number.parseInt(text(148, 156).trim(), 8) === sum && sizeBytes >= 0
  if (!isSound)
    throw new DataLossError(`${path} is damaged: no entry of an archive begins at byte ${at}`)
  const prefix = text(345, 500)
  const name = prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`
  const type = text(156, 157)
  // As `tar` names what is in `.`.
  return { name: name.replace(/^\.\//, ''), sizeBytes, isFile: type === '0' || type === '' }
}

async function readFully(
  path: string,
  file: FileHandle,
  offset: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled)
    if (bytesRead === 0) throw new DataLossError(`${path} is cut short`)
    filled += bytesRead
  }
  return bytes
}
