import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { constants, copyFile, link, open, stat } from 'node:fs/promises'
import { join, parse } from 'node:path'
import { FailedPreconditionError, InvalidArgumentError } from '../../base/errors.ts'
import { codeOf } from '../downloading/local-errors.ts'
import { createNamedFile, namedFile } from '../named-file.ts'

/** What a migration brought, one JSON object a line. */
export interface ReportFile extends AsyncDisposable {
  add(record: Readonly<Record<string, unknown>>): Promise<void>
  /**
   * Gives it its name. A report of that name which says anything else keeps its contents under another one, which
   * is returned.
   */
  complete(): Promise<string | undefined>
}

/** How each line of one begins. */
const linePattern = /^\{"(?:damage|note|commit|summary)":/

/**
 * @throws {InvalidArgumentError} @throws {FailedPreconditionError} where something else would be lost;
 * before anything is done.
 */
export async function createReport(path: string): Promise<ReportFile> {
  try {
    const target = namedFile(path)
    if (target !== undefined) await requireReport(path, target)
    const file = await createNamedFile(path)
    const hash = createHash('sha256')
    return {
      add: async (record) => {
        const line = `${JSON.stringify(record)}\n`
        hash.update(line)
        await file.write(line)
      },
      complete: async () => {
        const kept = target === undefined ? undefined : await keepOther(target, hash.digest('hex'))
        await file.complete()
        return kept
      },
      [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
    }
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new InvalidArgumentError(
      `the report: ${error.message}; name another file with --report`,
      { cause: error },
    )
  }
}

/** Gives the report that is there a second name, unless it is the same, and returns that. */
async function keepOther(target: string, hash: string): Promise<string | undefined> {
  const there = await stat(target).catch(() => undefined)
  if (there === undefined || there.size === 0 || (await hashOfFile(target)) === hash)
    return undefined
  const { dir, name, ext } = parse(target)
  for (let number = 1; ; number += 1) {
    const kept = join(dir, `${name}.${number}${ext}`)
    try {
      await link(target, kept)
      return kept
    } catch (error) {
      if (codeOf(error) === 'EEXIST') continue
      // Not every file system has links; the new report comes by that name all the same.
      await copyFile(target, kept, constants.COPYFILE_EXCL)
      return kept
    }
  }
}

async function hashOfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const slice of createReadStream(path)) hash.update(slice as Uint8Array)
  return hash.digest('hex')
}

async function requireReport(path: string, target: string): Promise<void> {
  const there = await stat(target).catch(() => undefined)
  if (there === undefined || there.size === 0) return
  await using file = await open(target, 'r')
  const { buffer, bytesRead } = await file.read(Buffer.alloc(16), 0, 16, 0)
  if (linePattern.test(buffer.toString('latin1', 0, bytesRead))) return
  throw new FailedPreconditionError(
    `${path} is no report of a migration, and would be lost: name another file with --report, or remove it`,
  )
}
