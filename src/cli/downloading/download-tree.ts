import { hexText } from '../../base/bytes.ts'
import type { GetFilesPartFields } from '../../base/download-messages.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import { getFiles, listChunks, readFile } from '../../client/file-transfers.ts'
import { FileType } from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'
import { countText } from '../../base/counts.ts'
import { Progress } from '../printing/progress.ts'
import { visible } from '../printing/visible.ts'
import { matchingStart, mismatchOf } from './compare.ts'
import { LeftOut } from './left-out.ts'
import { Receiver } from './receiver.ts'
import { relativePath, type Selection } from './selection.ts'
import { TargetTree } from './target-tree.ts'

export interface TreeOptions {
  /** What is selected is stored below it. */
  readonly directory: string
  /** Directories with all that is in them; otherwise they are left out. */
  readonly recursive: boolean
  /** Keep what is there already and has the right content. */
  readonly resume: boolean
  /** Compare all with the commit afterwards. */
  readonly verify: boolean
}

/** Files that are asked for in one call, when only some are wanted. */
const batchFilesMax = 1000
const batchBytesMax = 16 * 1024 * 1024
/** From here on, a file that is there in part is gone on with. */
const resumedBytesMin = 4 * 1024 * 1024
/** Of what differs, so many are told. */
const toldMax = 10

/** Stores what is selected, file by file. */
export async function downloadTree(
  context: CommandContext,
  selection: Selection,
  options: TreeOptions,
): Promise<void> {
  using tree = TargetTree.open(options.directory)
  const progress = new Progress(context, 'got')
  const download = new TreeDownload(context, { selection, tree, options, progress })
  try {
    if (options.resume) await download.missing()
    else await download.all()
  } finally {
    await progress.end()
  }
  // Nothing that is left there will be gone on with.
  tree.staging.clear('all')
  await download.tell()
  if (options.verify) await verifyTree(context, selection, options)
  download.requireAll()
}

class TreeDownload {
  readonly #context: CommandContext
  readonly #selection: Selection
  readonly #tree: TargetTree
  readonly #options: TreeOptions
  readonly #progress: Progress
  readonly #leftOut = new LeftOut('-r')
  #sameCount = 0

  constructor(
    context: CommandContext,
    parts: {
      readonly selection: Selection
      readonly tree: TargetTree
      readonly options: TreeOptions
      readonly progress: Progress
    },
  ) {
    this.#context = context
    this.#selection = parts.selection
    this.#tree = parts.tree
    this.#options = parts.options
    this.#progress = parts.progress
    const { entry } = parts.selection
    if (entry?.fileType === FileType.DIR) this.#progress.expect(entry)
  }

  /** In one stream. */
  async all(): Promise<void> {
    this.#tree.staging.clear('all')
    const { commit, wanted, base } = this.#selection
    const { recursive } = this.#options
    using receiver = new Receiver(this.#tree, base, this.#progress)
    let isLeftOut = false
    for await (const { parts } of getFiles(this.#context.transport, {
      commit,
      ...wanted,
      recursive,
    })) {
      for (const part of parts) {
        // Only the first part of a file says what it is.
        if (part.fileType !== 0) isLeftOut = !this.#isWanted(part)
        if (!isLeftOut) receiver.take(part)
      }
    }
    receiver.end()
  }

  /** What is not there yet, or is there with another content. */
  async missing(): Promise<void> {
    let batch: GetFilesPartFields[] = []
    let batchBytes = 0
    for await (const part of entriesOf(this.#context, this.#selection, this.#options)) {
      if (!this.#isWanted(part)) continue
      const local = relativePath(part.path, this.#selection.base)
      if (part.fileType === FileType.DIR) {
        this.#tree.makeDirectory(local)
        continue
      }
      const place = this.#tree.placeOf(local)
      if (place === undefined) continue
      if ((await mismatchOf(place, this.#expected(part))) === undefined) {
        this.#sameCount += 1
        this.#progress.addFile()
        this.#progress.skipBytes(part.sizeBytes)
        continue
      }
      if (part.sizeBytes >= resumedBytesMin && (await this.#goOn(local, part))) continue
      batch.push(part)
      batchBytes += part.sizeBytes
      if (batch.length < batchFilesMax && batchBytes < batchBytesMax) continue
      await this.#fetch(batch)
      batch = []
      batchBytes = 0
    }
    if (batch.length > 0) await this.#fetch(batch)
  }

  /** Says what was done of what was not simply all, and what was not done. */
  async tell(): Promise<void> {
    const { err, out } = this.#context
    if (this.#options.resume) {
      const storedCount = this.#progress.fileCount - this.#sameCount
      await out.line(`${countText(this.#sameCount, 'file')} there already, ${storedCount} stored`)
    }
    if (this.#leftOut.text !== undefined) await err.line(this.#leftOut.text)
    const { notStored, notStoredCount } = this.#tree
    for (const { path, reason } of notStored) {
      await err.line(`not stored: ${visible(path)}: ${visible(reason)}`)
    }
    const others = notStoredCount - notStored.length
    if (others > 0) await err.line(`not stored: ${others} more, below these or like these`)
  }

  /** @throws {FailedPreconditionError} when something could not be stored. */
  requireAll(): void {
    const { notStoredCount, directory } = this.#tree
    if (notStoredCount === 0) return
    const what = notStoredCount === 1 ? 'one path' : `${notStoredCount} paths`
    throw new FailedPreconditionError(
      `${what} could not be stored; everything else is in ${directory}`,
    )
  }

  /** False for what is left out, or cannot be stored. */
  #isWanted({ path, fileType }: GetFilesPartFields): boolean {
    if (fileType === FileType.DIR && !this.#options.recursive) {
      this.#leftOut.add(path)
      return false
    }
    const local = relativePath(path, this.#selection.base)
    return local === '' ? fileType === FileType.DIR : this.#tree.claim(local)
  }

  #expected({ path, sizeBytes, hash }: GetFilesPartFields): Parameters<typeof mismatchOf>[1] {
    return expectedFile(this.#context, this.#selection, { path, sizeBytes, hash })
  }

  /** Goes on with a large file of which another process has left a part. False when there is none. */
  async #goOn(local: string, part: GetFilesPartFields): Promise<boolean> {
    const unfinished = this.#tree.staging.adopt(hexText(part.hash))
    if (unfinished === undefined) return false
    const { transport } = this.#context
    const file = { commit: this.#selection.commit, path: part.path }
    const offsetBytes = await matchingStart(unfinished, listChunks(transport, file))
    using rest = this.#tree.resume(local, unfinished, offsetBytes)
    if (rest === undefined) return true
    this.#progress.skipBytes(offsetBytes)
    if (offsetBytes < part.sizeBytes) {
      for await (const slice of readFile(transport, file, { offsetBytes })) {
        this.#tree.append(local, rest, [slice])
        this.#progress.addBytes(slice.length)
      }
    }
    if (rest.sizeBytes !== part.sizeBytes) return false
    if (this.#tree.finish(local, rest)) this.#progress.addFile()
    return true
  }

  async #fetch(batch: readonly GetFilesPartFields[]): Promise<void> {
    const { commit, base } = this.#selection
    const paths = batch.map(({ path }) => path)
    using receiver = new Receiver(this.#tree, base, this.#progress)
    for await (const { parts } of getFiles(this.#context.transport, { commit, paths })) {
      for (const part of parts) receiver.take(part)
    }
    receiver.end()
  }
}

/** What is selected, without contents. */
async function* entriesOf(
  { transport }: CommandContext,
  { commit, wanted }: Selection,
  { recursive }: TreeOptions,
): AsyncGenerator<GetFilesPartFields> {
  const request = { commit, ...wanted, recursive, withoutContent: true }
  for await (const { parts } of getFiles(transport, request)) yield* parts
}

function expectedFile(
  { transport }: CommandContext,
  { commit }: Selection,
  { path, sizeBytes, hash }: Pick<GetFilesPartFields, 'path' | 'sizeBytes' | 'hash'>,
): Parameters<typeof mismatchOf>[1] {
  return { sizeBytes, hash, chunks: () => listChunks(transport, { commit, path }) }
}

/**
 * Reads what was stored back from the disk, and compares its hashes with those of the commit.
 *
 * @throws {FailedPreconditionError} when something differs.
 */
async function verifyTree(
  context: CommandContext,
  selection: Selection,
  options: TreeOptions,
): Promise<void> {
  const { out, err } = context
  using tree = TargetTree.open(options.directory)
  const progress = new Progress(context, 'verified')
  let count = 0
  let wrongCount = 0
  for await (const part of entriesOf(context, selection, options)) {
    const local = relativePath(part.path, selection.base)
    // What cannot be stored has been told.
    if (part.fileType === FileType.DIR || !tree.claim(local)) continue
    const place = tree.placeOf(local)
    if (place === undefined) continue
    count += 1
    const mismatch = await mismatchOf(place, expectedFile(context, selection, part))
    progress.addFile()
    progress.addBytes(part.sizeBytes)
    if (mismatch === undefined) continue
    wrongCount += 1
    if (wrongCount > toldMax) continue
    await progress.end()
    await err.line(`${visible(place)} is ${mismatch}`)
  }
  await progress.end()
  if (wrongCount === 0) {
    await out.line(
      `${countText(count, 'file')} verified: what is on the disk is what the commit has`,
    )
    return
  }
  throw new FailedPreconditionError(
    `${wrongCount} of ${countText(count, 'file')} in ${options.directory} differ from the commit: run the same command with --resume to store them again`,
  )
}
