import { statSync } from 'node:fs'
import type { ByteStream } from '../../base/bytes.ts'
import type { SplitFields } from '../../base/content-messages.ts'
import { type FilePut, putFile, putFiles } from '../../client/file-transfers.ts'
import { isUnimplemented } from '../../client/rpc-error.ts'
import type { CommandContext } from '../command.ts'
import { inParallel } from '../../base/parallel.ts'
import { Progress } from '../printing/progress.ts'
import { findFiles, type LeftOut, readFileInto, readSlices } from './local-files.ts'
import { Restartable } from './restartable.ts'
import { requireKnown } from './split-flags.ts'
import type { Target } from './targets.ts'

/** What is left out is told in at most this many lines, and one that counts the rest. */
const leftOutLineCountMax = 10

/** Where to put what, and how. */
export interface UploadRequest {
  readonly repo: string
  /** A branch or an id. */
  readonly commit: string
  readonly targets: readonly Target[]
  readonly isRecursive: boolean
  readonly overwrite: boolean
  /** How each file is split into pieces, if at all. */
  readonly split?: SplitFields | undefined
  /** How many files to send at once, to a server that does not take them in one call. */
  readonly parallelism: number
  /** Whether the server is asked to end the commit with the call, if it knows how. */
  readonly endsCommit?: boolean
  /** Another call is to complete what is put. */
  readonly isPart?: boolean
  /** Called when it has. */
  readonly onEnded?: () => void
  /** Called when files have been stored, even if others are not. */
  readonly onStored?: () => void
}

/** Puts all files, or the only one. */
export async function upload(context: CommandContext, request: UploadRequest): Promise<void> {
  const progress = new Progress(context, 'put')
  const [only] = request.targets
  if (only !== undefined && request.targets.length === 1 && !isDirectory(only.source)) {
    await uploadOne(context, request, { target: only, progress })
  } else await uploadAll(context, request, progress)
  await progress.end()
}

function isDirectory(source: string): boolean {
  return source !== '-' && statSync(source).isDirectory()
}

/** As a bulk upload of one: the server then refuses a file where a directory is at once. */
async function uploadOne(
  { transport, input, out }: CommandContext,
  { repo, commit: id, overwrite, split, endsCommit = false, onEnded, onStored }: UploadRequest,
  { target: { source, path }, progress }: { readonly target: Target; readonly progress: Progress },
): Promise<void> {
  if (source === '-') await out.line('Reading from stdin.')
  // A pipe cannot be opened again, so what was sent in vain is kept.
  const sizeBytes = source === '-' ? undefined : sizeIfKnown(source)
  if (sizeBytes !== undefined) progress.expect({ fileCount: 1, sizeBytes })
  using content = new Restartable(source === '-' ? input.bytes() : readSlices(source))
  const put = { path, bytes: counted(content.bytes(), progress), overwrite }
  try {
    const done = await putFiles(transport, { repo, id }, [put], { split, endsCommit })
    if (done.endedCommit) onEnded?.()
  } catch (error) {
    if (!isUnimplemented(error)) throw error
    requireKnown(split)
    progress.restart()
    const file = { commit: { repo, id }, path }
    const options = { overwrite, split }
    await putFile(transport, file, counted(content.bytes(), progress), options)
  }
  onStored?.()
  progress.addFile()
}

/** Undefined for what has no size, such as a pipe. */
function sizeIfKnown(source: string): number | undefined {
  const info = statSync(source)
  return info.isFile() ? info.size : undefined
}

/** In one call with one acknowledgement, or one call for each file where the server wants that. */
async function uploadAll(
  context: CommandContext,
  request: UploadRequest,
  progress: Progress,
): Promise<void> {
  const { repo, commit: id, targets, isRecursive, split, endsCommit = false } = request
  let leftOut: LeftOut[] = []
  const find = (): Generator<Target> => {
    leftOut = []
    return findFiles(targets, isRecursive, (left) => leftOut.push(left))
  }
  try {
    const files = puts(find(), request, progress)
    const done = await putFiles(context.transport, { repo, id }, files, { split, endsCommit })
    if (done.endedCommit) request.onEnded?.()
    request.onStored?.()
  } catch (error) {
    if (!isUnimplemented(error)) throw error
    requireKnown(split)
    progress.restart()
    await uploadEach(context, find(), request, progress)
  }
  await tellLeftOut(context, leftOut)
}

async function tellLeftOut({ err }: CommandContext, leftOut: readonly LeftOut[]): Promise<void> {
  for (const { source, what } of leftOut.slice(0, leftOutLineCountMax)) {
    await err.line(`left out: ${source} is ${what}`)
  }
  const others = leftOut.length - leftOutLineCountMax
  if (others > 0) await err.line(`left out: ${others} others of that kind`)
}

function* puts(
  files: Iterable<Target>,
  { overwrite }: UploadRequest,
  progress: Progress,
): Generator<FilePut> {
  for (const file of files) {
    yield new LocalPut(file, overwrite, progress)
    progress.addFile()
  }
}

class LocalPut implements FilePut {
  readonly path: string
  readonly overwrite: boolean
  readonly #source: string
  readonly #progress: Progress

  constructor({ source, path }: Target, overwrite: boolean, progress: Progress) {
    this.path = path
    this.overwrite = overwrite
    this.#source = source
    this.#progress = progress
  }

  get small(): this {
    return this
  }

  readInto(into: Uint8Array, offset: number): number | undefined {
    const count = readFileInto(this.#source, into, offset)
    if (count !== undefined) this.#progress.addBytes(count)
    return count
  }

  get bytes(): ByteStream {
    return counted(readSlices(this.#source), this.#progress)
  }
}

async function uploadEach(
  { transport }: CommandContext,
  files: Iterable<Target>,
  { repo, commit: id, overwrite, split, parallelism, onStored }: UploadRequest,
  progress: Progress,
): Promise<void> {
  await inParallel(files, parallelism, async ({ source, path }) => {
    const bytes = counted(readSlices(source), progress)
    await putFile(transport, { commit: { repo, id }, path }, bytes, { overwrite, split })
    onStored?.()
    progress.addFile()
  })
}

async function* counted(bytes: ByteStream, progress: Progress): AsyncGenerator<Uint8Array> {
  for await (const slice of bytes) {
    progress.addBytes(slice.length)
    yield slice
  }
}
