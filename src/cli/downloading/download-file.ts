import { writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { hexText } from '../../base/bytes.ts'
import type { GetFilesPartFields } from '../../base/download-messages.ts'
import {
  FailedPreconditionError,
  InvalidArgumentError,
  ResourceExhaustedError,
} from '../../base/errors.ts'
import type { FileRef } from '../../base/file-refs.ts'
import { listChunks, readFile } from '../../client/file-transfers.ts'
import type { CommandContext } from '../command.ts'
import { namedFile, openStream } from '../named-file.ts'
import { Progress } from '../printing/progress.ts'
import { matchingStart, mismatchOf } from './compare.ts'
import { isDiskFull, localError } from './local-errors.ts'
import { Staging } from './staging.ts'
import { UnfinishedFile } from './unfinished-file.ts'

/** A file of a commit as a server tells it. */
export interface KnownFile extends FileRef {
  readonly entry: Pick<GetFilesPartFields, 'sizeBytes' | 'hash'>
}

/** How to store a file. */
export interface FileOptions {
  readonly path: string
  /** Keep what is there already, or go on with a part of it. */
  readonly resume: boolean
  /** Compare it with the commit afterwards. */
  readonly verify: boolean
}

/**
 * Stores a file as the local `path`, which has the old content until all of the new one has come. What
 * is no file, such as a pipe, is written to as it comes.
 */
export async function downloadFile(
  context: CommandContext,
  file: KnownFile,
  { path, resume, verify }: FileOptions,
): Promise<void> {
  const target = namedFile(path)
  if (target === undefined) {
    if (!resume && !verify) return writeThrough(context, file, path)
    throw new InvalidArgumentError(
      `${path} is no file: --resume and --verify are for what can be read again`,
    )
  }
  const expected = {
    ...file.entry,
    chunks: () => listChunks(context.transport, { commit: file.commit, path: file.path }),
  }
  const isThere = resume && (await mismatchOf(target, expected)) === undefined
  if (isThere) forgetParts(target, file)
  else await store(context, file, { target, resume })
  if (resume) await context.out.line(isThere ? 'there already' : 'stored')
  if (!verify) return
  const mismatch = await mismatchOf(target, expected)
  if (mismatch !== undefined) {
    throw new FailedPreconditionError(`${path} is ${mismatch}: get it again`)
  }
  await context.out.line('1 file verified: what is on the disk is what the commit has')
}

/** As `downloadFile`, from a server of 1.5, which does not say what the file is to be. */
export async function downloadUnknownFile(
  context: CommandContext,
  file: FileRef,
  path: string,
): Promise<void> {
  const target = namedFile(path)
  if (target === undefined) return writeThrough(context, file, path)
  await withProgress(context, dirname(target), async (progress) => {
    const staging = new Staging(dirname(target))
    try {
      using unfinished = UnfinishedFile.create(staging.newPath(), target)
      await append(unfinished, readFile(context.transport, file), progress)
      unfinished.finish()
    } finally {
      staging.close()
    }
  })
}

/** Stores a file, or what is missing of it. */
async function store(
  context: CommandContext,
  file: KnownFile,
  { target, resume }: { readonly target: string; readonly resume: boolean },
): Promise<void> {
  const { transport } = context
  const { sizeBytes } = file.entry
  const hash = hexText(file.entry.hash)
  const directory = dirname(target)
  await withProgress(context, directory, async (progress) => {
    progress.expect({ fileCount: 1, sizeBytes })
    const staging = new Staging(directory)
    try {
      staging.clear('unknown')
      const left = resume ? staging.adopt(hash) : undefined
      const offsetBytes =
        left === undefined ? 0 : await matchingStart(left, listChunks(transport, file))
      using unfinished =
        left === undefined
          ? UnfinishedFile.create(staging.pathOf(hash), target)
          : UnfinishedFile.resume(left, target, offsetBytes)
      progress.skipBytes(offsetBytes)
      if (offsetBytes < sizeBytes) {
        await append(unfinished, readFile(transport, file, { offsetBytes }), progress)
      }
      if (unfinished.sizeBytes !== sizeBytes) throw changed(file, unfinished.sizeBytes)
      unfinished.finish()
      staging.forget(hash)
      progress.addFile()
    } finally {
      staging.close()
    }
  })
}

/** Removes what is left of a file that is whole by now. */
function forgetParts(target: string, { entry }: KnownFile): void {
  const staging = new Staging(dirname(target))
  staging.forget(hexText(entry.hash))
  staging.close()
}

function changed({ path, entry }: KnownFile, sizeBytes: number): FailedPreconditionError {
  return new FailedPreconditionError(
    `${path} has ${sizeBytes} bytes now, and had ${entry.sizeBytes} before: its commit is open, and somebody writes to it; get it again`,
  )
}

async function append(
  file: UnfinishedFile,
  bytes: AsyncIterable<Uint8Array>,
  progress: Progress,
): Promise<void> {
  for await (const slice of bytes) {
    file.write([slice])
    progress.addBytes(slice.length)
  }
}

async function withProgress(
  context: CommandContext,
  directory: string,
  work: (progress: Progress) => Promise<void>,
): Promise<void> {
  const progress = new Progress(context, 'got')
  try {
    await work(progress)
  } catch (error) {
    throw localError(error, directory)
  } finally {
    await progress.end()
  }
}

/** At once: a wait for each of thousands of slices costs more than writing them. */
function writeWhole(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at)
}

/** To a pipe, a device or the like, which is opened when there is something to say, or nothing more. */
async function writeThrough(context: CommandContext, file: FileRef, path: string): Promise<void> {
  const progress = new Progress(context, 'got')
  try {
    const slices = readFile(context.transport, file)
    let next = await slices.next()
    await using opened = await openStream(path)
    for (; next.done !== true; next = await slices.next()) {
      writeWhole(opened.fd, next.value)
      progress.addBytes(next.value.length)
    }
    progress.addFile()
  } catch (error) {
    if (!isDiskFull(error)) throw error
    throw new ResourceExhaustedError(`${path} has no room for more`, { cause: error })
  } finally {
    await progress.end()
  }
}
