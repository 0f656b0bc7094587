import type { GetFilesPartFields, GetFilesRequestFields } from '../../base/download-messages.ts'
import { DataLossError, NotFoundError } from '../../base/errors.ts'
import type { CommitRef, FileRef } from '../../base/file-refs.ts'
import { parseGlob } from '../../base/globs.ts'
import { Code } from '../../base/grpc-wire.ts'
import { parseFilePath } from '../../base/paths.ts'
import { getFiles } from '../../client/file-transfers.ts'
import { RpcError } from '../../client/rpc-error.ts'
import type { Transport } from '../../client/transport.ts'

/** What a path or a pattern stands for, in one commit. */
export interface Selection {
  /** With its id: the branch may move meanwhile. */
  readonly commit: CommitRef
  /** As `GetFiles` takes it. */
  readonly wanted: Pick<GetFilesRequestFields, 'paths' | 'pattern'>
  /** Paths of files are told from here: what is before is left out. */
  readonly base: string
  /** What is at the path; undefined for a pattern. */
  readonly entry: GetFilesPartFields | undefined
}

/**
 * Finds out what PATH means. It is a pattern when it has `*`, `?`, `[` or `\`, unless something has just
 * this name. What a pattern matches is told from the last directory that it names in full.
 *
 * @throws {RpcError} also when nothing is at the path, and UNIMPLEMENTED from servers of 1.5.
 */
export async function select(transport: Transport, { commit, path }: FileRef): Promise<Selection> {
  try {
    return await selectPath(transport, { commit, path })
  } catch (error) {
    const isMissing = error instanceof RpcError && error.code === Code.notFound
    if (!isMissing || !mayBePattern(path)) throw error
    return selectPattern(transport, { commit, pattern: path })
  }
}

/** Whether a path may be meant as a pattern. */
export function mayBePattern(path: string): boolean {
  return /[*?[\\]/.test(path)
}

async function selectPath(transport: Transport, { commit, path }: FileRef): Promise<Selection> {
  const wanted = { paths: [path] }
  const { found, entry } = await firstOf(transport, { commit, ...wanted })
  return { commit: found, wanted, base: parseFilePath(path), entry }
}

async function selectPattern(
  transport: Transport,
  { commit, pattern }: { readonly commit: CommitRef; readonly pattern: string },
): Promise<Selection> {
  const base = patternBase(pattern)
  const { found, entry } = await firstOf(transport, { commit, pattern })
  if (entry === undefined) {
    throw new NotFoundError(
      `no file matches ${JSON.stringify(pattern)} in repo ${commit.repo} at commit ${found.id}`,
    )
  }
  return { commit: found, wanted: { pattern }, base, entry: undefined }
}

/** The commit, and the first of what is wanted. */
async function firstOf(
  transport: Transport,
  request: GetFilesRequestFields,
): Promise<{ readonly found: CommitRef; readonly entry: GetFilesPartFields | undefined }> {
  for await (const { commit, parts } of getFiles(transport, { ...request, withoutContent: true })) {
    return { found: commit ?? request.commit, entry: parts[0] }
  }
  return { found: request.commit, entry: undefined }
}

function patternBase(pattern: string): string {
  let base = ''
  for (const { literal } of parseGlob(pattern).components.slice(0, -1)) {
    if (literal === undefined) break
    base += `/${literal}`
  }
  return base
}

/**
 * A path of the server as seen from the base: `a/b`, or empty for the base itself.
 *
 * @throws {DataLossError} for one that is not below it.
 */
export function relativePath(path: string, base: string): string {
  if (path === base) return ''
  if (path.startsWith(`${base}/`)) return path.slice(base.length + 1)
  throw new DataLossError(`the server sent ${JSON.stringify(path)}, which was not asked for`)
}
