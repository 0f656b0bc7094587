import { Worker } from 'node:worker_threads'
import type { CheckpointReply, CheckpointRequest } from './checkpointer.ts'

const pageBytes = 4096
/** The log is moved into the file when about this much has been written since the last time. */
export const logBytes: number = 16 * 1024 * 1024

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
  #moving: Promise<void> | undefined
  #failure: Error | undefined

  constructor(ports: CheckpointPorts) {
    this.#ports = ports
  }

  /** Why the log could not be moved the last time, if so; it is tried again. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** To be called after each commit, with about what it added to the log. */
  noteWritten(bytes: number): void {
    this.#writtenBytes += bytes
    if (this.#writtenBytes < this.#ports.thresholdBytes || this.#moving !== undefined) return
    this.#writtenBytes = 0
    this.#moving = this.#move().finally(() => {
      this.#moving = undefined
    })
  }

  /** To be called when every other connection is closed: the worker's, the last, empties the log. */
  async close(): Promise<void> {
    await this.#moving
    const worker = this.#worker
    if (worker === undefined) return
    try {
      await ask(worker, 'CLOSE')
    } finally {
      await worker.terminate()
    }
  }

  async #move(): Promise<void> {
    try {
      this.#worker ??= startWorker(this.#ports.path)
      const worker = this.#worker
      const { logPages } = await ask(worker, 'PASSIVE')
      this.#failure = undefined
      if (logPages * pageBytes < this.#ports.thresholdBytes / 2) return
      await this.#ports.pauseWrites(async () => {
        await ask(worker, 'RESTART')
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
        else reject(new Error('the checkpoint failed', { cause: reply.error }))
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
