import { join, posix } from 'node:path'
import { InvalidArgumentError } from '../../base/errors.ts'
import type { FileRef } from '../../base/file-refs.ts'
import { readFile } from '../../client/file-transfers.ts'
import { type FileInfo, FileType } from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'
import { fileOf } from '../commands/files.ts'
import { inParallel } from '../parallel.ts'
import { Progress } from '../printing/progress.ts'
import { filesClient, streamOrElse } from '../own-clients.ts'
import { pfsClient } from '../pfs-client.ts'
import { storeFile } from './store-file.ts'
import { makeTargetDirectory } from './target-directory.ts'

/** A subtree of a commit, and where to store it. */
export interface TreeRequest {
  readonly file: FileRef
  readonly directory: string
  readonly parallelism: number
}

/** Stores a directory with all in it below `directory`; of a file, that file as `directory`. */
export async function storeTree(context: CommandContext, request: TreeRequest): Promise<void> {
  const { file, directory, parallelism } = request
  const { repo, id } = file.commit
  // The branch may move meanwhile; what is stored is one commit.
  const root = await pfsClient(context).inspectFile({ file: fileOf(repo, id, file.path) })
  const commit = { repo, id: root.file?.commit?.id ?? id }
  const progress = new Progress(context, 'got')
  const store = async ({ path, target }: Found): Promise<void> =>
    storeFile(readFile(context.transport, { commit, path }), target, progress)
  if (root.fileType === FileType.FILE) await store({ path: file.path, target: directory })
  else {
    const tree = { commit, path: file.path }
    await inParallel(filesBelow(context, tree, directory), parallelism, store)
  }
  await progress.end()
}

interface Found {
  /** In the commit. */
  readonly path: string
  /** On this machine. */
  readonly target: string
}

/** Makes each directory before its files come. */
async function* filesBelow(
  context: CommandContext,
  { commit, path }: FileRef,
  target: string,
): AsyncGenerator<Found> {
  makeTargetDirectory(target)
  const file = fileOf(commit.repo, commit.id, path)
  const batches = streamOrElse<{ readonly fileInfo: readonly FileInfo[] }>(
    filesClient(context).listFiles({ file }),
    () => pfsClient(context).listFile({ file }),
  )
  for await (const { fileInfo } of batches) {
    for (const info of fileInfo) {
      const inner = info.file?.path ?? ''
      const found = { path: inner, target: join(target, safeName(inner)) }
      if (info.fileType === FileType.FILE) yield found
      else yield* filesBelow(context, { commit, path: inner }, found.target)
    }
  }
}

/** The last name of a path, which comes from the server, as a name in a local directory. */
function safeName(path: string): string {
  const name = posix.basename(path)
  if (name === '' || name === '.' || name === '..') {
    throw new InvalidArgumentError(`cannot store ${JSON.stringify(path)}: it is no file name here`)
  }
  return name
}
