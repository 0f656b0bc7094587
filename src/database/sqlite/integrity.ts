import { Worker } from 'node:worker_threads'
import { CancelledError } from '../../base/errors.ts'
import { translateFailure } from './failure.ts'

/** What the thread is told, and what it answers. */
export interface IntegrityRequest {
  readonly path: string
  /** Compares indexes with their tables, too. */
  readonly full: boolean
}
export type IntegrityReply =
  | { readonly kind: 'problems'; readonly problems: readonly string[] }
  | { readonly kind: 'failed'; readonly error: unknown }

/** What SQLite finds wrong with a file: sentences of its own, at most 100; none when it is whole. */
export async function integrityProblems(
  path: string,
  full: boolean,
  signal: AbortSignal,
): Promise<readonly string[]> {
  // Run from source, or built.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const request: IntegrityRequest = { path, full }
  const worker = new Worker(new URL(`./integrity-thread.${extension}`, import.meta.url), {
    workerData: request,
    name: 'integrity check',
  })
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>()
  const cancel = (): void => reject(new CancelledError('the check was cancelled'))
  worker.on('message', (reply: IntegrityReply) => {
    if (reply.kind === 'problems') resolve(reply.problems)
    else reject(translateFailure(reply.error, path))
  })
  worker.on('error', (error) => reject(new Error('the integrity check failed', { cause: error })))
  signal.addEventListener('abort', cancel, { once: true })
  try {
    if (signal.aborted) cancel()
    return await promise
  } finally {
    signal.removeEventListener('abort', cancel)
    await worker.terminate()
  }
}
