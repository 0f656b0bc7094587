import { Worker } from 'node:worker_threads'
import { UnavailableError } from '../../base/errors.ts'
import type { SplitAnswer, SplitChunk, SplitRequest } from './split-protocol.ts'

const threadCount = 2

interface Job {
  readonly resolve: (answer: SplitAnswer) => void
  readonly reject: (reason: Error) => void
}

/** A thread that splits, hashes and compresses what lies in shared memory. Starts when needed. */
export class SplitThread implements AsyncDisposable {
  /** Streams that use it now. */
  streamCount = 0
  #worker: Worker | undefined
  #jobCount = 0
  readonly #jobs = new Map<number, Job>()

  async split(
    memory: SharedArrayBuffer,
    range: { readonly start: number; readonly end: number; readonly isLast: boolean },
  ): Promise<readonly SplitChunk[]> {
    return (await this.#run({ kind: 'split', job: this.#nextJob(), memory, ...range })).chunks
  }

  async encode(
    memory: SharedArrayBuffer,
    chunks: readonly SplitChunk[],
  ): Promise<readonly (Uint8Array | undefined)[]> {
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

/** As many threads as large streams may keep busy. */
export class SplitThreads implements AsyncDisposable {
  readonly #threads: readonly SplitThread[] = Array.from(
    { length: threadCount },
    () => new SplitThread(),
  )

  /** The thread with the fewest streams; the caller counts its own. */
  leastUsed(): SplitThread {
    return this.#threads.reduce((least, thread) =>
      thread.streamCount < least.streamCount ? thread : least,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread[Symbol.asyncDispose]()))
  }
}
