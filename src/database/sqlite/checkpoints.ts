import { Worker } from 'node:worker_threads'
import { ResourceExhaustedError } from '../../base/errors.ts'
import type { CheckpointReply, CheckpointRequest } from './checkpointer.ts'
import { translateFailure } from './failure.ts'

const pageBytes = 4096
/** The log is moved into the file when about this much has been written since the last time. */
export const logBytes: number = 16 * 1024 * 1024

/** What may be written while the log cannot be moved; then writes are refused until it can. */
const unmovedBytesMax = 1024 * 1024 * 1024

export interface CheckpointPorts {
  /** The database file. */
  readonly path: string
  /** Runs `task` while no write is under way. */
  readonly pauseWrites: (task: () => Promise<void>) => Promise<void>
  /** `logBytes`, unless a test wants less. */
  readonly thresholdBytes: number
}

/**
 * Keeps the write-ahead log short. Its worker first moves the bulk while writes go on, then what
 * these added while they pause, so that the log can start again from its beginning. The log's size
 * is thus at most the threshold and what is written while the bulk moves.
 */
export class Checkpoints {
  readonly #ports: CheckpointPorts
  #worker: Worker | undefined
  #writtenBytes = 0
  #unmovedBytes = 0
  #stopped = false
  #moving: Promise<void> | undefined
  #failure: Error | undefined

  constructor(ports: CheckpointPorts) {
    this.#ports = ports
  }

  /** @throws {ResourceExhaustedError} when the log has grown long and cannot be moved. */
  requireRoom(): void {
    if (this.#failure === undefined || this.#unmovedBytes < unmovedBytesMax) return
    throw new ResourceExhaustedError(
      `the log of ${this.#ports.path} cannot be moved into the file (${this.#failure.message}); check its disk`,
      { cause: this.#failure },
    )
  }

  /** To be called after each commit, with about what it added to the log. */
  noteWritten(bytes: number): void {
    this.#writtenBytes += bytes
    this.#unmovedBytes += bytes
    if (this.#stopped || this.#moving !== undefined) return
    if (this.#writtenBytes < this.#ports.thresholdBytes) return
    this.#writtenBytes = 0
    this.#moving = this.#move().finally(() => {
      this.#moving = undefined
    })
  }

  /** Starts nothing new and waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#moving
  }

  /** To be called when stopped and when every other connection is closed: the worker's, the last, empties the log. */
  async close(): Promise<void> {
    const worker = this.#worker
    if (worker === undefined) return
    try {
      await ask(worker, this.#ports.path, 'CLOSE')
    } finally {
      await worker.terminate()
    }
  }

  async #move(): Promise<void> {
    try {
      this.#worker ??= startWorker(this.#ports.path)
      const worker = this.#worker
      const { logPages, movedPages } = await ask(worker, this.#ports.path, 'PASSIVE')
      this.#failure = undefined
      this.#unmovedBytes = this.#writtenBytes
      if (logPages * pageBytes < this.#ports.thresholdBytes / 2) return
      // Somebody reads for long, such as a backup: writes would pause for as long as it is waited for.
      if ((logPages - movedPages) * pageBytes >= this.#ports.thresholdBytes / 2) return
      await this.#ports.pauseWrites(async () => {
        await ask(worker, this.#ports.path, 'RESTART')
      })
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error))
    }
  }
}

function startWorker(path: string): Worker {
  // Run from source, or built.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = new Worker(new URL(`./checkpointer.${extension}`, import.meta.url), {
    workerData: path,
    name: 'checkpointer',
  })
  // It keeps the process alive only while an answer is awaited.
  worker.unref()
  return worker
}

async function ask(
  worker: Worker,
  path: string,
  request: CheckpointRequest,
): Promise<{ readonly logPages: number; readonly movedPages: number }> {
  worker.ref()
  try {
    return await new Promise((resolve, reject) => {
      const stop = (): void => {
        worker.off('message', answered)
        worker.off('error', failed)
        worker.off('exit', ended)
      }
      const answered = (reply: CheckpointReply): void => {
        stop()
        if (reply.kind === 'done') resolve(reply)
        else reject(translateFailure(reply.error, path))
      }
      const failed = (error: unknown): void => {
        stop()
        reject(new Error('the checkpointer failed', { cause: error }))
      }
      const ended = (): void => {
        stop()
        reject(new Error('the checkpointer ended'))
      }
      worker.on('message', answered)
      worker.on('error', failed)
      worker.on('exit', ended)
      // A thread, which has no origin as a window has.
      // oxlint-disable-next-line unicorn/require-post-message-target-origin
      worker.postMessage(request)
    })
  } finally {
    worker.unref()
  }
}
