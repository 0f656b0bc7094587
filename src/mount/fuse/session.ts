import { read, writev, writevSync } from 'node:fs'
import type { Clock } from '../../base/clock.ts'
import { errnoNumber, errnoOf, OperationError, type ErrnoName } from '../errors.ts'
import { encodeInit, transferBytesMax } from './answers.ts'
import { NotifyCode, protocolMajor, protocolMinorMin, Size } from './constants.ts'
import { decodeRequest, type Forget, type Request } from './requests.ts'

/** What answers the kernel. */
export interface Operations {
  /** The parts of the answer, joined by the kernel. Throws what says why not. */
  answer(request: Request): Promise<readonly Uint8Array[]>
  /** The kernel no longer knows these nodes. */
  forget(forgets: readonly Forget[]): void
}

export interface SessionPorts {
  readonly clock: Clock
  /** Tells a person of what is not the fault of whoever used the mount. */
  readonly report: (line: string) => void
  /** Told of every request and its answer. */
  readonly trace?: ((line: string) => void) | undefined
}

/** Two, so that one request is taken while another is read; other work needs threads of the pool, too. */
const readerCount = 2
/**
 * How long an operation goes on when whoever waits for it got a signal: most are done by then, and
 * programs that only handle a signal see nothing of it.
 */
const interruptedMsMax = 500
/** The same line is told again only after so long. */
const repeatedMsMin = 10_000
const requestBytesMax = transferBytesMax + 64 * 1024

/** Which requests are better done than broken off when whoever waits got a signal. */
const uninterrupted: ReadonlySet<Request['kind']> = new Set([
  'write',
  'flush',
  'release',
  'rename',
  'unlink',
  'remove-directory',
  'create',
  'setattr',
])

/** Speaks with the kernel over an open `/dev/fuse`, until the file system is unmounted. */
export class FuseSession {
  readonly #device: number
  readonly #operations: Operations
  readonly #ports: SessionPorts
  readonly #interrupts = new Map<number, () => void>()
  #told = { line: '', atMs: 0 }
  readonly #agreed = Promise.withResolvers<void>()
  #isEnding = false

  /** `device` stays the caller's to close. */
  constructor(device: number, operations: Operations, ports: SessionPorts) {
    this.#device = device
    this.#operations = operations
    this.#ports = ports
  }

  /** Resolves when the kernel has said what it can do; programs can use the file system from then on. */
  get agreed(): Promise<void> {
    return this.#agreed.promise
  }

  /** Resolves when the file system is unmounted. */
  async run(): Promise<void> {
    await Promise.all(Array.from({ length: readerCount }, async () => this.#readAll()))
  }

  /** Takes no more requests. Each reader ends with the next one, so `wake` has the kernel make one. */
  async end(wake: () => Promise<void>): Promise<void> {
    this.#isEnding = true
    await Promise.all(Array.from({ length: readerCount }, wake))
  }

  /** Has the kernel forget what a name stands for; it then forgets the node, unless it is in use. */
  async invalidate(parentId: number, name: Uint8Array): Promise<void> {
    const body = Buffer.alloc(16)
    body.writeUInt32LE(parentId % 2 ** 32, 0)
    body.writeUInt32LE(Math.floor(parentId / 2 ** 32), 4)
    body.writeUInt32LE(name.length, 8)
    const parts = [body, name, new Uint8Array(1)]
    const head = outHeader({ error: NotifyCode.invalidateEntry, unique: 0 }, parts)
    // On another thread: the kernel may have to wait for an answer of ours first.
    await new Promise<void>((resolve) => {
      writev(this.#device, [head, ...parts], () => resolve())
    })
  }

  async #readAll(): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(requestBytesMax)
    for (;;) {
      const size = await this.#read(buffer)
      if (size === 'unmounted') return
      if (size !== 'again') this.#take(buffer.subarray(0, size))
      if (this.#isEnding) return
    }
  }

  async #read(buffer: Buffer): Promise<number | 'again' | 'unmounted'> {
    return new Promise((resolve, reject) => {
      read(this.#device, buffer, 0, buffer.length, null, (error, size) => {
        if (error === null) resolve(size)
        else if (error.code === 'ENODEV' || error.code === 'ECONNABORTED') resolve('unmounted')
        // ENOENT: the request was taken back before it could be read.
        else if (error.code === 'ENOENT' || error.code === 'EINTR' || error.code === 'EAGAIN') {
          resolve('again')
        } else reject(error)
      })
    })
  }

  #take(bytes: Buffer): void {
    const request = decodeRequest(bytes)
    if (request.kind === 'forget') this.#operations.forget(request.forgets)
    else if (request.kind === 'interrupt') this.#interrupts.get(request.interrupted)?.()
    else if (request.kind === 'init') this.#agree(request)
    else if (request.kind === 'destroy') this.#send(request.unique, [])
    else if (request.kind === 'unknown') this.#refuse(request.unique, 'ENOSYS')
    else if (this.#isEnding) this.#refuse(request.unique, 'EIO')
    else void this.#answer(request)
  }

  #agree(request: Request & { readonly kind: 'init' }): void {
    const { unique, major, minor, readAheadBytesMax, flags } = request
    if (major < protocolMajor || (major === protocolMajor && minor < protocolMinorMin)) {
      this.#isEnding = true
      this.#ports.report(
        `the kernel speaks FUSE ${major}.${minor}; 7.${protocolMinorMin} is needed`,
      )
      this.#refuse(unique, 'EPROTO')
      return
    }
    this.#send(unique, [encodeInit(Math.max(readAheadBytesMax, transferBytesMax), flags)])
    this.#agreed.resolve()
  }

  async #answer(request: Request): Promise<void> {
    const { unique } = request
    this.#ports.trace?.(`${unique} ${requestText(request)}`)
    let isAnswered = false
    const answerOnce = (answer: () => void): void => {
      if (isAnswered) return
      isAnswered = true
      this.#interrupts.delete(unique)
      answer()
    }
    if (!uninterrupted.has(request.kind)) {
      this.#interrupts.set(unique, () => {
        void this.#ports.clock
          .sleep(interruptedMsMax)
          .then(() => answerOnce(() => this.#refuse(unique, 'EINTR')))
      })
    }
    try {
      const parts = await this.#operations.answer(request)
      answerOnce(() => this.#send(unique, parts))
    } catch (error) {
      this.#tell(error)
      answerOnce(() => this.#refuse(unique, errnoOf(error)))
    }
  }

  /** What an errno cannot say, a person reads where the mount was made. */
  #tell(error: unknown): void {
    const name = errnoOf(error)
    if (error instanceof OperationError && error.cause === undefined) return
    if (name === 'ENOENT' || name === 'EEXIST' || name === 'EROFS') return
    const line = error instanceof Error ? error.message : String(error)
    const now = this.#ports.clock.monotonicMs()
    if (line === this.#told.line && now - this.#told.atMs < repeatedMsMin) return
    this.#told = { line, atMs: now }
    this.#ports.report(line)
  }

  #refuse(unique: number, name: ErrnoName): void {
    this.#ports.trace?.(`${unique} -> ${name}`)
    this.#write([outHeader({ error: -errnoNumber(name), unique }, [])])
  }

  #send(unique: number, parts: readonly Uint8Array[]): void {
    this.#write([outHeader({ error: 0, unique }, parts), ...parts])
  }

  /** Never blocks: the kernel takes an answer at once, or nobody waits for it any more. */
  #write(parts: readonly Uint8Array[]): void {
    try {
      writevSync(this.#device, parts)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'ECONNABORTED') throw error
    }
  }
}

function requestText(request: Request): string {
  return JSON.stringify(request, (name, value: unknown) =>
    name === 'bytes' ? (value as Uint8Array).length : value,
  )
}

interface AnswerHead {
  readonly error: number
  readonly unique: number
}

function outHeader({ error, unique }: AnswerHead, parts: readonly Uint8Array[]): Buffer {
  let size: number = Size.outHeader
  for (const { length } of parts) size += length
  const head = Buffer.alloc(Size.outHeader)
  head.writeUInt32LE(size, 0)
  head.writeInt32LE(error, 4)
  head.writeUInt32LE(unique % 2 ** 32, 8)
  head.writeUInt32LE(Math.floor(unique / 2 ** 32), 12)
  return head
}
