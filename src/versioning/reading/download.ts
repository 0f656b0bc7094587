import type { ByteStream } from '../../base/bytes.ts'
import { parseGlob } from '../../base/globs.ts'
import { parseFilePath } from '../../base/paths.ts'
import {
  type Content,
  type Contents,
  contentSizeBytes,
  type SmallContent,
} from '../../storage/contents.ts'
import type { DirectoryEntry, FileTrees, PathEntry } from '../../storage/file-trees.ts'
import { checkCancelled } from '../records/cancellation.ts'

/** What to take from a tree: what is at each of the paths, in their order, or what matches. */
export type Selection =
  | { readonly kind: 'paths'; readonly paths: readonly string[]; readonly recursive: boolean }
  | { readonly kind: 'glob'; readonly pattern: string; readonly recursive: boolean }

/** Bytes of small files that are read at once, but for the last of them; as many are read ahead. */
const windowBytes = 2 * 1024 * 1024
const windowEntriesMax = 1024

/**
 * The files and directories that `selection` means, each with all that is in it where it is recursive.
 * `onMissing` makes the error for a path that is not there.
 *
 * @throws {InvalidArgumentError} for a malformed path or pattern, at the first pull.
 */
export async function* selectEntries(
  trees: FileTrees,
  root: DirectoryEntry,
  {
    selection,
    signal,
  }: { readonly selection: Selection; readonly signal: AbortSignal | undefined },
  onMissing: (path: string) => Error,
): AsyncGenerator<PathEntry> {
  if (selection.kind === 'glob') {
    for await (const found of trees.glob(root, parseGlob(selection.pattern), { signal })) {
      if (!selection.recursive || found.entry.kind === 'file') yield found
      else yield* trees.walk(root, { path: found.path, directories: true, signal })
    }
    return
  }
  for (const path of selection.paths.map(parseFilePath)) {
    const entry = await trees.get(root, path)
    if (entry === undefined) throw onMissing(path)
    if (!selection.recursive || entry.kind === 'file') yield { path, entry }
    else yield* trees.walk(root, { path, directories: true, signal })
  }
}

/** An entry with its content: whole when it is small, a stream otherwise, nothing for a directory. */
export interface EntryContent {
  readonly found: PathEntry
  readonly content: Uint8Array | ByteStream | undefined
}

/**
 * Reads the contents of entries as they come. Those of small files are read many at once and ahead of
 * the reader, who reads each stream before it takes the next entry.
 */
export async function* withContents(
  contents: Contents,
  entries: AsyncIterable<PathEntry>,
  signal: AbortSignal | undefined,
): AsyncGenerator<EntryContent> {
  let window: PathEntry[] = []
  let bytes = 0
  let ahead: Promise<readonly EntryContent[]> = Promise.resolve([])
  const turn = (): Promise<readonly EntryContent[]> => {
    const ready = ahead
    ahead = readWindow(contents, window)
    ahead.catch(() => undefined) // the reader may be gone when it fails
    window = []
    bytes = 0
    return ready
  }
  for await (const found of entries) {
    checkCancelled(signal)
    const content = contentOf(found)
    if (content?.kind === 'list') {
      yield* await turn()
      yield* await turn()
      yield { found, content: contents.read(content) }
      continue
    }
    window.push(found)
    bytes += content === undefined ? 0 : contentSizeBytes(content)
    if (bytes >= windowBytes || window.length >= windowEntriesMax) yield* await turn()
  }
  yield* await turn()
  yield* await ahead
}

function contentOf({ entry }: PathEntry): Content | undefined {
  return entry.kind === 'file' ? entry.content : undefined
}

async function readWindow(
  contents: Contents,
  window: readonly PathEntry[],
): Promise<readonly EntryContent[]> {
  const small = window.flatMap((found): SmallContent[] => {
    const content = contentOf(found)
    return content === undefined || content.kind === 'list' ? [] : [content]
  })
  const read = await contents.readMany(small)
  let next = 0
  return window.map((found) => {
    if (found.entry.kind === 'directory') return { found, content: undefined }
    next += 1
    return { found, content: read[next - 1] }
  })
}
