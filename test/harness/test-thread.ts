import { Worker } from 'node:worker_threads'
import { type PoolOptions, ThreadsPoolWorker, type WorkerRequest } from 'vitest/node'

/**
 * A thread that runs test files, as Vitest's own, but for what it does at its end.
 *
 * Node has a thread close, when it ends, all numbers that it has opened files by. A socket closes its number
 * itself, and Node does not learn of it: by then the number may be another thread's file. One that is closed
 * under somebody else's hands makes Node abort the process without a word.
 */
export class TestThread extends ThreadsPoolWorker {
  override readonly name = 'test-threads'
  #thread: Worker | undefined

  static readonly pool = {
    name: 'test-threads',
    createPoolWorker: (options: PoolOptions): TestThread => new TestThread(options),
  }

  /** Does nothing when it runs. */
  override async start(): Promise<void> {
    const { env, execArgv } = this
    this.#thread ??= new Worker(this.entrypoint, { env, execArgv, trackUnmanagedFds: false })
    await Promise.resolve()
  }

  override async stop(): Promise<void> {
    await this.#thread?.terminate()
    this.#thread = undefined
  }

  override on(event: string, callback: (...args: unknown[]) => void): void {
    this.#thread?.on(event, callback)
  }

  override off(event: string, callback: (...args: unknown[]) => void): void {
    this.#thread?.off(event, callback)
  }

  override send(message: WorkerRequest): void {
    this.#thread?.postMessage(message)
  }
}
