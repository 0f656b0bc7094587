import { constants, lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import {
  FailedPreconditionError,
  InvalidArgumentError,
  ResourceExhaustedError,
  UnavailableError,
} from '../base/errors.ts'
import { newHexId, SystemRandom } from '../base/random.ts'
import { codeOf, isDiskFull } from './downloading/local-errors.ts'
import { visible } from './printing/visible.ts'

/** As many as Linux follows. */
const linksMax = 40
/** Where the descriptors of a process are, such as its output. */
const descriptorsPattern = /^\/proc\/.*\/fd$/

/**
 * The file that `path` is, behind links, or that it will be. Undefined for what is written to as it is, and
 * never replaced: a pipe, a device, a descriptor.
 *
 * @throws {InvalidArgumentError} for a directory, and below none.
 */
export function namedFile(path: string): string | undefined {
  const there = statSync(path, { throwIfNoEntry: false })
  if (there?.isDirectory() === true) {
    throw new InvalidArgumentError(
      `${path} is a directory: name the file to be made, as in ${join(path, 'NAME')}`,
    )
  }
  if (there?.isFile() === false) return undefined
  let at = path
  for (let count = 0; count < linksMax; count += 1) {
    const parent = dirname(at)
    if (statSync(parent, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new InvalidArgumentError(`${visible(parent)} is no directory: make it first`)
    }
    const directory = realpathSync(parent)
    if (descriptorsPattern.test(directory)) return undefined
    const file = join(directory, basename(at))
    if (lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return file
    at = resolve(directory, readlinkSync(file))
  }
  throw new FailedPreconditionError(`${path}: its links lead in a circle; mend them`)
}

/** Opens what `namedFile` has no file for. Of a file behind a descriptor nothing is cut off. */
export async function openStream(path: string): Promise<FileHandle> {
  const { O_APPEND, O_WRONLY } = constants
  return await open(path, statSync(path).isFile() ? O_WRONLY | O_APPEND : O_WRONLY)
}

/** A file that a person has named. Disposed of before it is complete, it leaves what was there. */
export interface WholeFile extends AsyncDisposable {
  write(bytes: Uint8Array | string): Promise<void>
  /** Gives it its name, in place of what had that before; durable when it resolves. */
  complete(): Promise<void>
}

/** Begins the file `path`, whose permissions stay; a pipe or a device gets what is written at once. */
export async function createNamedFile(path: string): Promise<WholeFile> {
  const target = namedFile(path)
  if (target === undefined) return streamed(path, await openStream(path))
  const mode = statSync(target, { throwIfNoEntry: false })?.mode
  const draft = `${target}.${newHexId(new SystemRandom())}.partial`
  const file = await open(draft, 'wx', mode === undefined ? undefined : mode & 0o777).catch(
    (error: unknown) => {
      throw failure(error, path)
    },
  )
  return {
    write: (bytes) => written(path, file, bytes),
    complete: async () => {
      await file.sync().catch((error: unknown) => {
        throw failure(error, path)
      })
      await rename(draft, target)
      await using directory = await open(dirname(target), 'r')
      await directory.sync()
    },
    [Symbol.asyncDispose]: async () => {
      await file.close()
      await rm(draft, { force: true })
    },
  }
}

function streamed(path: string, file: FileHandle): WholeFile {
  return {
    write: (bytes) => written(path, file, bytes),
    complete: async () => {
      // A disk keeps it back else; a pipe has nothing to sync.
      await file.sync().catch((error: unknown) => {
        if (codeOf(error) !== 'EINVAL') throw failure(error, path)
      })
    },
    [Symbol.asyncDispose]: async () => {
      await file.close()
    },
  }
}

async function written(path: string, file: FileHandle, bytes: Uint8Array | string): Promise<void> {
  await file.writeFile(bytes).catch((error: unknown) => {
    throw failure(error, path)
  })
}

/** What a failed call means for `path`, which not every text of the operating system names. */
function failure(error: unknown, path: string): unknown {
  const options = { cause: error }
  if (isDiskFull(error)) {
    return new ResourceExhaustedError(
      `no room is left for ${path}: make some on its disk, or name a file on another one`,
      options,
    )
  }
  if (codeOf(error) === 'EPIPE') {
    return new UnavailableError(`${path}: nobody reads what is written there any more`, options)
  }
  if (codeOf(error) === '') return error
  const reason = error instanceof Error ? error.message : String(error)
  return new InvalidArgumentError(`cannot write ${path}: ${reason}`, options)
}
