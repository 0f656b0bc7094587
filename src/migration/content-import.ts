import { createHash } from 'node:crypto'
import type { ByteStream } from '../base/bytes.ts'
import { DataLossError } from '../base/errors.ts'
import type { Database } from '../database/database.ts'
import type { OldObjects } from '../legacy/old-objects.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import { contentSizeBytes, type Content, type Contents } from '../storage/contents.ts'
import {
  findImportedObjects,
  recordImportedObjects,
  type ImportedObject,
} from '../versioning/imports.ts'
import type { MigrationCounts } from './events.ts'
import { type Findings, isDamage } from './findings.ts'

/** Objects that are read at once: stores that are far away answer slowly. */
const readersMax = 16
/** Objects that are looked up in one query. */
const lookupCountMax = 400
/** So much is recorded together: what a crash may cost. */
const recordBytes = 64 * 1024 * 1024
const recordCount = 2000

export interface ContentImportPorts {
  readonly database: Database
  readonly chunks: ChunkStore
  readonly contents: Contents
  readonly objects: OldObjects
  readonly findings: Findings
  readonly counts: MigrationCounts
  readonly signal: AbortSignal
}

/** Passes bytes on. @throws {DataLossError} at the end, unless the name is their SHA-512. */
export async function* verified(hash: string, bytes: ByteStream): ByteStream {
  const sum = createHash('sha512')
  let sizeBytes = 0
  for await (const piece of bytes) {
    sum.update(piece)
    sizeBytes += piece.length
    yield piece
  }
  if (sum.digest('hex') === hash) return
  throw new DataLossError(
    `its ${sizeBytes} bytes are not those that its name, their SHA-512, was made from`,
  )
}

/** Brings objects over, each once: what has been recorded is not read again, after a crash either. */
export class ContentImport {
  readonly #ports: ContentImportPorts
  readonly #damaged = new Set<string>()
  readonly #done: ImportedObject[] = []
  #doneBytes = 0

  constructor(ports: ContentImportPorts) {
    this.#ports = ports
  }

  /** The contents of objects; those that are damaged are missing, and have been told. */
  async contentsOf(hashes: Iterable<string>): Promise<ReadonlyMap<string, Content>> {
    const wanted = [...new Set(hashes)].filter((hash) => !this.#damaged.has(hash))
    const found = new Map<string, Content>()
    for (let at = 0; at < wanted.length; at += lookupCountMax) {
      const part = wanted.slice(at, at + lookupCountMax)
      const known = await this.#ports.database.read((tx) => findImportedObjects(tx, part))
      for (const [hash, content] of known) found.set(hash, content)
    }
    const missing = wanted.filter((hash) => !found.has(hash)).values()
    const readers = Array.from({ length: readersMax }, async () => {
      for (const hash of missing) {
        this.#ports.signal.throwIfAborted()
        const content = await this.#import(hash)
        if (content !== undefined) found.set(hash, content)
      }
    })
    await Promise.all(readers)
    await this.#record()
    return found
  }

  async #import(hash: string): Promise<Content | undefined> {
    const { contents, counts, findings, objects } = this.#ports
    try {
      const content = await contents.write(verified(hash, objects.read(hash)))
      counts.objects += 1
      counts.objectBytes += contentSizeBytes(content)
      this.#done.push({ hash, content })
      this.#doneBytes += contentSizeBytes(content)
      if (this.#done.length >= recordCount || this.#doneBytes >= recordBytes) await this.#record()
      return content
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#damaged.add(hash)
      findings.damage('object', hash, error.message)
      return undefined
    }
  }

  async #record(): Promise<void> {
    const done = this.#done.splice(0)
    this.#doneBytes = 0
    if (done.length === 0) return
    await this.#ports.chunks.flush()
    await this.#ports.database.transact((tx) => recordImportedObjects(tx, done))
  }
}
