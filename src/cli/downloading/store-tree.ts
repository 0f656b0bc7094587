import { posix } from 'node:path'
import { FailedPreconditionError } from '../../base/errors.ts'
import type { FileRef } from '../../base/file-refs.ts'
import { readFile } from '../../client/file-transfers.ts'
import { type FileInfo, FileType } from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'
import { fileOf } from '../commands/files.ts'
import { inParallel } from '../../base/parallel.ts'
import { Progress } from '../printing/progress.ts'
import { pfsClient } from '../pfs-client.ts'
import { visible } from '../printing/visible.ts'
import { downloadUnknownFile } from './download-file.ts'
import { TargetTree } from './target-tree.ts'

/** A subtree of a commit, and where to store it. */
export interface TreeRequest {
  readonly file: FileRef
  readonly directory: string
  readonly parallelism: number
}

/**
 * Stores a directory with all in it below `directory`, or a file as `directory`, from a server of 1.5:
 * with a call for each directory and each file.
 */
export async function storeTree(context: CommandContext, request: TreeRequest): Promise<void> {
  const { file, directory, parallelism } = request
  const { repo, id } = file.commit
  // The branch may move meanwhile; what is stored is one commit.
  const root = await pfsClient(context).inspectFile({ file: fileOf(repo, id, file.path) })
  const commit = { repo, id: root.file?.commit?.id ?? id }
  if (root.fileType === FileType.FILE) {
    await downloadUnknownFile(context, { commit, path: file.path }, directory)
    return
  }
  using tree = TargetTree.open(directory)
  const progress = new Progress(context, 'got')
  const top = { path: file.path, local: '' }
  await inParallel(filesBelow(context, tree, { commit, ...top }), parallelism, async (found) => {
    using target = tree.begin(found.local)
    if (target === undefined) return
    for await (const slice of readFile(context.transport, { commit, path: found.path })) {
      tree.append(found.local, target, [slice])
      progress.addBytes(slice.length)
    }
    if (tree.finish(found.local, target)) progress.addFile()
  })
  await progress.end()
  for (const { path, reason } of tree.notStored) {
    await context.err.line(`not stored: ${visible(path)}: ${visible(reason)}`)
  }
  if (tree.notStoredCount > 0) {
    throw new FailedPreconditionError(
      `${tree.notStoredCount} paths could not be stored; everything else is in ${directory}`,
    )
  }
}

interface Found {
  /** In the commit. */
  readonly path: string
  /** In the directory. */
  readonly local: string
}

/** Makes each directory before its files come. */
async function* filesBelow(
  context: CommandContext,
  tree: TargetTree,
  { commit, path, local }: FileRef & Found,
): AsyncGenerator<Found> {
  const file = fileOf(commit.repo, commit.id, path)
  const { fileInfo } = await pfsClient(context).listFile({ file })
  for (const info of fileInfo) {
    const inner = innerOf(info, local)
    if (!tree.claim(inner.local)) continue
    if (info.fileType === FileType.FILE) yield inner
    else if (tree.makeDirectory(inner.local)) yield* filesBelow(context, tree, { commit, ...inner })
  }
}

function innerOf(info: FileInfo, local: string): Found {
  const path = info.file?.path ?? ''
  const name = posix.basename(path)
  return { path, local: local === '' ? name : `${local}/${name}` }
}
