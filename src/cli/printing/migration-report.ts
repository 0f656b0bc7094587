import { open, rename, rm, stat } from 'node:fs/promises'
import { InvalidArgumentError } from '../../base/errors.ts'
import { newHexId, SystemRandom } from '../../base/random.ts'

/** What a migration brought, one JSON object a line. */
export interface ReportFile extends AsyncDisposable {
  add(record: Readonly<Record<string, unknown>>): Promise<void>
  /** Gives it its name, in place of what had that before. */
  complete(): Promise<void>
}

/** @throws {InvalidArgumentError} before anything is done. */
export async function createReport(path: string): Promise<ReportFile> {
  // A pipe or a device has nothing that could be lost.
  const isFile = (await stat(path).catch(() => undefined))?.isFile() ?? true
  const partial = isFile ? `${path}.${newHexId(new SystemRandom())}.partial` : path
  const file = await open(partial, isFile ? 'wx' : 'w').catch((cause: unknown) => {
    throw refused(path, cause)
  })
  return {
    add: async (record) => {
      await file.write(`${JSON.stringify(record)}\n`)
    },
    complete: async () => {
      if (!isFile) return
      await file.sync()
      await rename(partial, path)
    },
    [Symbol.asyncDispose]: async () => {
      await file.close()
      if (isFile) await rm(partial, { force: true })
    },
  }
}

function refused(path: string, cause: unknown): InvalidArgumentError {
  return new InvalidArgumentError(
    `cannot write the report to ${path}: ${cause instanceof Error ? cause.message : String(cause)}; name another file with --report`,
    { cause },
  )
}
