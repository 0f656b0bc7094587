import { lstatSync, mkdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { Worker } from 'node:worker_threads'

import { StillWrittenError } from '../../pipelines/executor.ts'
import { HeldDirectory } from '../../pipelines/held-directories.ts'
import { type RemovalEnd, removeIn } from './removal.ts'

/** More entries than this are removed by a thread, so that the event loop does not wait for them. */
const removedHereMax = 200
const goneMode = 0o700
/** Others may have made something in it since it was empty. */
const roundCountMax = 10

/** What the thread is told. */
export interface RemovalRequest {
  /** Of the held directory. */
  readonly path: string
  readonly kept: string | undefined
}

/**
 * Makes a directory empty, whatever user code left in it and whatever rights it took away, and gives
 * it `mode`. The path is trusted; what is in the directory, others may be changing. Of up to `hereMax` entries, the
 * event loop waits.
 *
 * @throws {StillWrittenError} when others make files as fast as they are removed.
 */
export async function emptyDirectory(
  path: string,
  mode: number,
  hereMax: number = removedHereMax,
): Promise<void> {
  using directory = HeldDirectory.open(path)
  directory.restore(mode)
  await empty(directory, hereMax)
}

/** Removes everything but one directory; that one is left as it is. */
export async function removeAllBut(
  path: string,
  kept: string,
  mode: number,
  hereMax: number = removedHereMax,
): Promise<void> {
  using directory = HeldDirectory.open(path)
  directory.restore(mode)
  await empty(directory, hereMax, kept)
}

/** The same, and empties that one, too: it is made if it is no directory any more. */
export async function emptyAllBut(
  path: string,
  kept: string,
  mode: number,
  hereMax: number = removedHereMax,
): Promise<void> {
  await removeAllBut(path, kept, mode, hereMax)
  using directory = HeldDirectory.open(path)
  using keptDirectory = openOrMake(directory, kept)
  keptDirectory.restore(mode)
  await empty(keptDirectory, hereMax)
}

function openOrMake(directory: HeldDirectory, name: string): HeldDirectory {
  try {
    return directory.open(name)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    mkdirSync(directory.pathOf(name))
    return directory.open(name)
  }
}

/**
 * Removes a directory with all that is in it, or a file; there may be none. The path is trusted.
 *
 * @throws {StillWrittenError}
 */
export async function removeTree(path: string): Promise<void> {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats?.isDirectory() === true) await removeDirectory(path)
  else if (stats !== undefined) unlinkSync(path)
}

async function removeDirectory(path: string): Promise<void> {
  for (let round = 0; round < roundCountMax; round += 1) {
    await emptyDirectory(path, goneMode)
    try {
      rmdirSync(path)
      return
    } catch (error) {
      if (!hasCode(error, 'ENOTEMPTY')) throw error
    }
  }
  throw new StillWrittenError()
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

async function empty(directory: HeldDirectory, hereMax: number, kept?: string): Promise<void> {
  const end = removeIn(directory, kept, hereMax)
  if (end === 'empty') return
  if (end === 'changing' || (await removeByThread(directory, kept)) !== 'empty') {
    throw new StillWrittenError()
  }
}

async function removeByThread(
  directory: HeldDirectory,
  kept: string | undefined,
): Promise<RemovalEnd> {
  // Run from source, or built.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const request: RemovalRequest = { path: directory.pathOf('.'), kept }
  const thread = new Worker(new URL(`./removal-thread.${extension}`, import.meta.url), {
    workerData: request,
    name: 'removal',
  })
  return await new Promise((resolve, reject) => {
    thread.on('message', resolve).on('error', reject)
  })
}
