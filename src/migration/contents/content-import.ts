import { createHash } from 'node:crypto'
import { concatBytes, type ByteStream } from '../../base/bytes.ts'
import type { OldObjects } from '../../legacy/old-objects.ts'
import { contentSizeBytes, type Content, type Contents } from '../../storage/contents.ts'
import type { MigrationCounts } from '../events.ts'
import { type Findings, isDamage } from '../findings.ts'
import type { ImportRecorder } from './import-recorder.ts'
import { OldDamageError } from '../../legacy/damage.ts'

/** Objects that are read at once: stores that are far away answer slowly. */
const readersMax = 16
/** Objects that are looked up in one query. */
const lookupCountMax = 400
/** Up to here, an object is held in memory. */
const shortBytesMax = 256 * 1024

/** What becomes of the contents of an old cluster. */
export interface Intake extends Pick<Contents, 'append'> {
  /** The content of an object. @throws what `isDamage` knows, for one that is damaged or not there. */
  take(hash: string): Promise<Content>
}

export interface ContentImportPorts {
  readonly recorder: ImportRecorder
  readonly intake: Intake
  readonly findings: Findings
  readonly counts: MigrationCounts
  readonly signal: AbortSignal
}

/** Passes bytes on. @throws {OldDamageError} at the end, unless the name is their SHA-512. */
export async function* verified(hash: string, bytes: ByteStream): ByteStream {
  const sum = createHash('sha512')
  let sizeBytes = 0
  for await (const piece of bytes) {
    sum.update(piece)
    sizeBytes += piece.length
    yield piece
  }
  if (sum.digest('hex') === hash) return
  throw new OldDamageError(
    `its ${sizeBytes} bytes are not those that its name, their SHA-512, was made from`,
  )
}

/** Brings objects over, each once: what has been recorded is not read again, after a crash either. */
export class ContentImport {
  readonly #ports: ContentImportPorts
  /** Those that are damaged are known for good, others while they come. */
  readonly #coming = new Map<string, Promise<Content | undefined>>()

  constructor(ports: ContentImportPorts) {
    this.#ports = ports
  }

  /** The contents of objects; those that are damaged are missing, and have been told. */
  async contentsOf(hashes: Iterable<string>): Promise<ReadonlyMap<string, Content>> {
    const { recorder, signal } = this.#ports
    const found = new Map<string, Content>()
    const unknown: string[] = []
    for (const hash of new Set(hashes)) {
      const content = recorder.find(hash)
      if (content === undefined) unknown.push(hash)
      else found.set(hash, content)
    }
    for (let at = 0; at < unknown.length; at += lookupCountMax) {
      const part = unknown.slice(at, at + lookupCountMax)
      const known = await recorder.recordedObjects(part)
      for (const [hash, content] of known) found.set(hash, content)
    }
    const missing = unknown.filter((hash) => !found.has(hash)).values()
    const readers = Array.from({ length: readersMax }, async () => {
      for (const hash of missing) {
        signal.throwIfAborted()
        const content = await this.#importOnce(hash)
        if (content !== undefined) found.set(hash, content)
      }
    })
    await Promise.all(readers)
    return found
  }

  async #importOnce(hash: string): Promise<Content | undefined> {
    const content = this.#ports.recorder.find(hash)
    if (content !== undefined) return content
    const coming = this.#coming.get(hash) ?? this.#import(hash)
    this.#coming.set(hash, coming)
    const come = await coming
    if (come !== undefined) this.#coming.delete(hash)
    return come
  }

  async #import(hash: string): Promise<Content | undefined> {
    const { counts, findings, intake, recorder } = this.#ports
    try {
      const content = await intake.take(hash)
      counts.objects += 1
      counts.objectBytes += contentSizeBytes(content)
      await recorder.addObject(hash, content)
      return content
    } catch (error) {
      if (!isDamage(error)) throw error
      findings.damage('object', hash, error.message)
      return undefined
    }
  }
}

/** Reads every object, and stores it. */
export class StoringIntake implements Intake {
  readonly #contents: Contents
  readonly #objects: OldObjects

  constructor({
    contents,
    objects,
  }: {
    readonly contents: Contents
    readonly objects: OldObjects
  }) {
    this.#contents = contents
    this.#objects = objects
  }

  append(head: Content, tail: Content): Promise<Content> {
    return this.#contents.append(head, tail)
  }

  /** What is short is stored at once, without a stream. */
  async take(hash: string): Promise<Content> {
    const iterator = verified(hash, this.#objects.read(hash))[Symbol.asyncIterator]()
    const first: Uint8Array[] = []
    let size = 0
    while (size <= shortBytesMax) {
      const step = await iterator.next()
      if (step.done === true) return await this.#contents.writeBytes(concatBytes(first))
      first.push(step.value)
      size += step.value.length
    }
    return await this.#contents.write(
      (async function* whole() {
        yield* first
        yield* { [Symbol.asyncIterator]: () => iterator }
      })(),
    )
  }
}
