import type { DatumWork } from '../pipelines/datum-worker.ts'

/** Fails a datum as user code does that ends with an error. */
export function failing(reason: string): never {
  throw reason // oxlint-disable-line no-throw-literal, typescript/only-throw-error -- how test code fails
}

/** Runs as user code does that never ends by itself. */
export async function untilKilled({ signal }: Pick<DatumWork, 'signal'>): Promise<never> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
  throw signal.reason
}
