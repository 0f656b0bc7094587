import { Worker } from 'node:worker_threads'
import { UnavailableError } from '../../base/errors.ts'
import type { ChunkRange, HashedChunk, SplitAnswer, SplitRequest } from './split-protocol.ts'

interface Job {
  readonly resolve: (answer: SplitAnswer) => void
  readonly reject: (reason: Error) => void
}

/** A thread that splits, hashes and compresses what lies in shared memory. Starts when needed. */
export class SplitThread implements AsyncDisposable {
  #worker: Worker | undefined
  #jobCount = 0
  readonly #jobs = new Map<number, Job>()

  async split(
    memory: SharedArrayBuffer,
    range: { readonly start: number; readonly end: number; readonly isLast: boolean },
  ): Promise<readonly ChunkRange[]> {
    return (await this.#run({ kind: 'split', job: this.#nextJob(), memory, ...range })).chunks
  }

  async hash(
    memory: SharedArrayBuffer,
    chunks: readonly ChunkRange[],
  ): Promise<readonly HashedChunk[]> {
    return (await this.#run({ kind: 'hash', job: this.#nextJob(), memory, chunks })).hashed
  }

  async encode(
    memory: SharedArrayBuffer,
    chunks: readonly ChunkRange[],
  ): Promise<readonly (Uint8Array<ArrayBuffer> | undefined)[]> {
    return (await this.#run({ kind: 'encode', job: this.#nextJob(), memory, chunks })).encoded
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate()
  }

  #nextJob(): number {
    this.#jobCount += 1
    return this.#jobCount
  }

  #run(request: SplitRequest): Promise<SplitAnswer> {
    const worker = (this.#worker ??= this.#start())
    const { promise, resolve, reject } = Promise.withResolvers<SplitAnswer>()
    this.#jobs.set(request.job, { resolve, reject })
    // The process may end while the thread idles, not while it works.
    worker.ref()
    // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    worker.postMessage(request)
    return promise
  }

  #start(): Worker {
    // What is published is JavaScript.
    const program = import.meta.url.endsWith('.ts') ? 'splitter-thread.ts' : 'splitter-thread.js'
    const worker = new Worker(new URL(program, import.meta.url), { execArgv: [] })
    worker.on('message', (answer: SplitAnswer) => {
      const job = this.#jobs.get(answer.job)
      this.#jobs.delete(answer.job)
      if (this.#jobs.size === 0) worker.unref()
      job?.resolve(answer)
    })
    let cause: unknown
    worker.on('error', (error) => {
      cause = error
    })
    worker.on('exit', () => {
      this.#worker = undefined
      for (const { reject } of this.#jobs.values()) {
        reject(new UnavailableError('a splitter thread ended', { cause }))
      }
      this.#jobs.clear()
    })
    return worker
  }
}

/** The threads that long streams share: for each, one that splits and one that does the rest. */
export class SplitThreads implements AsyncDisposable {
  readonly #pair: readonly [SplitThread, SplitThread] = [new SplitThread(), new SplitThread()]
  #streamCount = 0

  /** For a new stream; streams take turns in which thread does what. */
  next(): { readonly splitter: SplitThread; readonly hasher: SplitThread } {
    const [first, second] = this.#pair
    this.#streamCount += 1
    return this.#streamCount % 2 === 0
      ? { splitter: first, hasher: second }
      : { splitter: second, hasher: first }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pair.map((thread) => thread[Symbol.asyncDispose]()))
  }
}
