import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CancelledError,
  FailedPreconditionError,
  NotFoundError,
  UnavailableError,
} from '../base/errors.ts'
import { BucketTakenError } from './bucket-owner.ts'
import { type FaultPoint, noFault } from './fault-point.ts'
import type { LocalObjectStore } from './local-objects.ts'
import type { ObjectInfo, ObjectKey, ObjectStore } from './object-store.ts'
import { pauseAfter, type PausePorts, type Pauses } from '../base/retries.ts'

/** So many objects are on their way at once. */
const uploadsMax = 4

/** After a failure all uploads wait, longer each time. */
const uploadPauses: Pauses = { pauseMs: 1000, pauseMsMax: 60_000 }

export interface StagedObjectsPorts extends PausePorts {
  /** Where objects are until the bucket has them. */
  readonly staged: LocalObjectStore
  /** The bucket. Ends what is under way when it is disposed of. */
  readonly remote: ObjectStore & Disposable
  /** On the same disk as `staged`, best. */
  readonly scratchDirectory: string
  /** Puts wait while more than this waits to be uploaded, besides what did when it was opened. */
  readonly stagedBytesMax: number
  readonly faultPoint?: FaultPoint
  /** Between attempts to upload, of which there is no last; `uploadPauses`. */
  readonly pauses?: Pauses
}

/** What is to be done beside the uploads. */
export interface Uploading {
  /** The bucket has the object. `linkTo` makes a path another name of the file, which is about to go. */
  readonly onUploaded: (
    key: ObjectKey,
    sizeBytes: number,
    linkTo: (path: string) => Promise<void>,
  ) => Promise<void>
  /** Uploads fail, or, with undefined, do so no more. */
  readonly onTrouble: (trouble: Error | undefined) => void
}

interface Staged {
  readonly sizeBytes: number
  isDeleted: boolean
  upload: Promise<void> | undefined
}

/**
 * Objects that are put on the disk first, where they are durable, and then brought to a bucket. So a put
 * takes as long as the disk does, and goes on while the bucket cannot be reached. An object is on the disk
 * until the bucket has all of it.
 */
export class StagedObjects implements ObjectStore, AsyncDisposable {
  readonly #ports: StagedObjectsPorts
  readonly #staged = new Map<ObjectKey, Staged>()
  readonly #queue: ObjectKey[] = []
  readonly #running = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  readonly #waiting = new Set<() => void>()
  readonly #stagedBytesMax: number
  #stagedBytes: number
  /** What the bucket may have: what it had at the start, and what was sent there since. */
  #sent: Promise<Set<ObjectKey>> | undefined
  #uploading: Uploading | undefined
  #uploads = 0
  #draftCount = 0
  #failureCount = 0
  #isPausing = false
  #trouble: Error | undefined

  private constructor(ports: StagedObjectsPorts, staged: readonly ObjectInfo[]) {
    this.#ports = ports
    this.#stagedBytes = staged.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    this.#stagedBytesMax = ports.stagedBytesMax + this.#stagedBytes
    for (const { key, sizeBytes } of staged) {
      this.#staged.set(key, { sizeBytes, isDeleted: false, upload: undefined })
      this.#queue.push(key)
    }
  }

  /** Nothing is uploaded before `start`. */
  static async open(ports: StagedObjectsPorts): Promise<StagedObjects> {
    return new StagedObjects(ports, await Array.fromAsync(ports.staged.list('')))
  }

  /** Looks what the bucket has, once, so that puts need not ask; then uploads what waits, and what will. */
  async start(uploading: Uploading): Promise<void> {
    await this.#whatWasSent()
    this.#uploading = uploading
    this.#pump()
  }

  /** What is not in the bucket yet, as far as is known. */
  get waiting(): { readonly count: number; readonly sizeBytes: number } {
    return { count: this.#staged.size, sizeBytes: this.#stagedBytes }
  }

  /** True as long as the object is on the disk. */
  isLocal(key: ObjectKey): boolean {
    return this.#staged.has(key)
  }

  async putIfAbsent(
    key: ObjectKey,
    parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<boolean> {
    await this.#room()
    if (await this.#isInBucket(key)) return false
    let sizeBytes = 0
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const part of parts) {
        sizeBytes += part.length
        yield part
      }
    }
    const stored = await this.#ports.staged.putIfAbsent(key, counted())
    return stored && (await this.#stage(key, sizeBytes))
  }

  async putFileIfAbsent(key: ObjectKey, path: string): Promise<boolean> {
    await this.#room()
    if (await this.#isInBucket(key)) {
      await rm(path, { force: true })
      return false
    }
    const { size } = await stat(path)
    const stored = await this.#ports.staged.putFileIfAbsent(key, path)
    return stored && (await this.#stage(key, size))
  }

  async get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    return await this.#read(key, (objects) => objects.get(key, offset, length))
  }

  async getInto(key: ObjectKey, offset: number, into: Uint8Array): Promise<number> {
    return await this.#read(key, (objects) => objects.getInto(key, offset, into))
  }

  async sizeBytes(key: ObjectKey): Promise<number> {
    return await this.#read(key, (objects) => objects.sizeBytes(key))
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    const { staged, remote } = this.#ports
    // First, so that nothing is between the two that is uploaded meanwhile.
    const local = await Array.fromAsync(staged.list(prefix))
    let next = 0
    for await (const info of remote.list(prefix)) {
      for (let own = local[next]; own !== undefined && own.key < info.key; own = local[next]) {
        yield own
        next += 1
      }
      if (local[next]?.key !== info.key) yield info
    }
    yield* local.slice(next)
  }

  async *foreignNames(): AsyncGenerator<string> {
    yield* this.#ports.staged.foreignNames()
    yield* this.#ports.remote.foreignNames()
  }

  async refresh(key: ObjectKey): Promise<void> {
    await this.#ports.staged.refresh(key)
    await this.#ports.remote.refresh(key)
  }

  /** From the bucket first: what is deleted there only would come back. */
  async delete(key: ObjectKey): Promise<void> {
    const { staged, remote } = this.#ports
    const own = this.#staged.get(key)
    if (own !== undefined) {
      own.isDeleted = true
      await own.upload
    }
    const sent = await this.#whatWasSent()
    if (own === undefined || sent.has(key)) await remote.delete(key)
    sent.delete(key)
    await staged.delete(key)
    this.#unstage(key)
  }

  /** Resolves when nothing waits any more. @throws what uploads fail with. */
  async uploaded(): Promise<void> {
    while (this.#staged.size > 0) {
      if (this.#trouble !== undefined) throw this.#trouble
      if (this.#stop.signal.aborted) throw new CancelledError('what waits is uploaded later')
      await this.#change()
    }
  }

  /** What waits is uploaded after the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#ports.remote[Symbol.dispose]()
    this.#tellAll()
    await Promise.allSettled(this.#running)
  }

  async #read<Result>(
    key: ObjectKey,
    read: (objects: ObjectStore) => Promise<Result>,
  ): Promise<Result> {
    const { staged, remote } = this.#ports
    if (this.#staged.has(key)) {
      try {
        return await read(staged)
      } catch (error) {
        // Uploaded meanwhile, perhaps; else the bucket knows nothing of it, either.
        if (!(error instanceof NotFoundError)) throw error
      }
    }
    return await read(remote)
  }

  async #whatWasSent(): Promise<Set<ObjectKey>> {
    this.#sent ??= this.#listRemote().catch((error: unknown) => {
      this.#sent = undefined
      throw error
    })
    return await this.#sent
  }

  async #listRemote(): Promise<Set<ObjectKey>> {
    const keys = new Set<ObjectKey>()
    for await (const { key } of this.#ports.remote.list('')) keys.add(key)
    return keys
  }

  /** Asks the bucket only about what it may have: it may have lost that since. */
  async #isInBucket(key: ObjectKey): Promise<boolean> {
    if (this.#staged.has(key)) return false
    const sent = await this.#whatWasSent()
    if (!sent.has(key)) return false
    try {
      await this.#ports.remote.sizeBytes(key)
      return true
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
      sent.delete(key)
      return false
    }
  }

  /** Waits until what waits for its upload is not too much. */
  async #room(): Promise<void> {
    for (;;) {
      if (this.#trouble instanceof BucketTakenError) throw this.#trouble
      if (this.#stagedBytes <= this.#stagedBytesMax || this.#uploading === undefined) return
      if (this.#trouble !== undefined || this.#stop.signal.aborted) {
        const why = this.#trouble?.message ?? 'the server stops'
        throw new UnavailableError(
          `nothing more can be stored: ${this.#stagedBytes} bytes on the disk wait to be uploaded, and that fails: ${why}`,
          { cause: this.#trouble },
        )
      }
      await this.#change()
    }
  }

  /** False when another put of that name has come first, and was uploaded already. */
  async #stage(key: ObjectKey, sizeBytes: number): Promise<boolean> {
    if (await this.#isInBucket(key)) {
      await this.#ports.staged.delete(key)
      return false
    }
    this.#staged.set(key, { sizeBytes, isDeleted: false, upload: undefined })
    this.#stagedBytes += sizeBytes
    this.#queue.push(key)
    this.#pump()
    return true
  }

  #unstage(key: ObjectKey): void {
    const own = this.#staged.get(key)
    if (own === undefined) return
    this.#staged.delete(key)
    this.#stagedBytes -= own.sizeBytes
    this.#tellAll()
  }

  #pump(): void {
    while (!this.#isHeld() && this.#uploads < uploadsMax) {
      const key = this.#queue.shift()
      if (key === undefined) return
      const own = this.#staged.get(key)
      if (own === undefined || own.isDeleted || own.upload !== undefined) continue
      this.#uploads += 1
      const done: Promise<void> = this.#upload(key, own).finally(() => {
        this.#uploads -= 1
        own.upload = undefined
        this.#running.delete(done)
        this.#pump()
      })
      own.upload = done
      this.#running.add(done)
    }
  }

  #isHeld(): boolean {
    return this.#uploading === undefined || this.#isPausing || this.#stop.signal.aborted
  }

  /** Never rejects. */
  async #upload(key: ObjectKey, own: Staged): Promise<void> {
    try {
      await this.#bring(key, own)
    } catch (error) {
      if (own.isDeleted || this.#stop.signal.aborted) return
      this.#queue.push(key)
      const pause = this.#pause(error instanceof Error ? error : new Error(String(error)))
      this.#running.add(pause)
      void pause.then(() => this.#running.delete(pause))
    }
  }

  async #bring(key: ObjectKey, own: Staged): Promise<void> {
    const { staged, remote, scratchDirectory, faultPoint = noFault } = this.#ports
    const sent = await this.#whatWasSent()
    this.#draftCount += 1
    const draft = join(scratchDirectory, `upload-${this.#draftCount}.pack`)
    try {
      await staged.linkTo(key, draft)
      sent.add(key)
      faultPoint('upload: begun')
      if (!(await remote.putFileIfAbsent(key, draft))) await this.#requireSame(key, own)
    } finally {
      await rm(draft, { force: true })
    }
    faultPoint('upload: stored')
    this.#failureCount = 0
    this.#tellTrouble(undefined)
    if (own.isDeleted) return
    await this.#uploading?.onUploaded(key, own.sizeBytes, (path) => staged.linkTo(key, path))
    faultPoint('upload: kept')
    // First, so that a put which finds the name free also finds that the bucket has the object.
    this.#unstage(key)
    await staged.delete(key)
    faultPoint('upload: removed')
  }

  /** What the bucket has under that name already is from an upload whose end nobody saw. */
  async #requireSame(key: ObjectKey, { sizeBytes }: Staged): Promise<void> {
    const there = await this.#ports.remote.sizeBytes(key)
    if (there === sizeBytes) return
    throw new FailedPreconditionError(
      `object ${key} in the bucket has ${there} bytes instead of ${sizeBytes}: somebody else has put it there; delete it`,
    )
  }

  async #pause(trouble: Error): Promise<void> {
    this.#failureCount += 1
    this.#tellTrouble(trouble)
    // Whoever waits for room is told, and uploads that ran beside do not begin another pause.
    this.#tellAll()
    if (trouble instanceof BucketTakenError || this.#isPausing) return
    this.#isPausing = true
    const { signal } = this.#stop
    const { pauses = uploadPauses } = this.#ports
    await pauseAfter(this.#ports, pauses, this.#failureCount, signal).catch(() => undefined) // it stops
    this.#isPausing = false
    this.#pump()
  }

  #tellTrouble(trouble: Error | undefined): void {
    if (this.#trouble?.message === trouble?.message) return
    // Nothing takes that back.
    if (this.#trouble instanceof BucketTakenError) return
    this.#trouble = trouble
    this.#uploading?.onTrouble(trouble)
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve))
  }

  #tellAll(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const tell of waiting) tell()
  }
}
