import { InvalidArgumentError } from '../base/errors.ts'
import { shownSource } from '../base/source-urls.ts'
import { inOrder } from './in-order.ts'
import type { Source, SourceFile } from './source.ts'

/** A place to put files from, and where they go. */
export interface SourcePut {
  readonly url: string
  /** Of the file, or of the directory that gets what is below the source. */
  readonly path: string
  /** They go below `path`, under the name that the source has of its own. */
  readonly addsOwnName: boolean
}

export interface FoundFile {
  readonly file: SourceFile
  readonly id: string
  /** For people. */
  readonly name: string
  /** Where it goes. */
  readonly path: string
}

/** Finds the source of a URL. */
export interface SourceOpener {
  open(url: string, signal: AbortSignal): Promise<Source>
}

interface OpenedSource {
  readonly put: SourcePut
  readonly source: Source
  /** Where its files go. */
  readonly target: string
  readonly first: IteratorResult<SourceFile>
  /** Those behind the first. */
  readonly files: AsyncIterator<SourceFile>
}

/**
 * The files of all sources, in their order. As many as `count` sources are opened ahead, since each may
 * take requests to be found.
 */
export async function* foundFiles(
  opener: SourceOpener,
  {
    sources,
    isRecursive,
    count,
    signal,
  }: {
    readonly sources: readonly SourcePut[]
    readonly isRecursive: boolean
    readonly count: number
    readonly signal: AbortSignal
  },
): AsyncGenerator<FoundFile> {
  let until: AbortSignal | undefined
  const open = async (put: SourcePut, stop: AbortSignal): Promise<OpenedSource> => {
    until ??= AbortSignal.any([signal, stop])
    const source = await opener.open(put.url, until)
    const target = targetOf(put, source.ownName)
    const files = source.files(isRecursive, until)[Symbol.asyncIterator]()
    return { put, source, target, files, first: await files.next() }
  }
  for await (const opened of inOrder(eachOf(sources), count, open, count)) yield* filesOf(opened)
}

async function* filesOf({
  put,
  source,
  target,
  first,
  files,
}: OpenedSource): AsyncGenerator<FoundFile> {
  try {
    for (let next = first; next.done !== true; next = await files.next()) {
      const file = next.value
      const id = `${put.url}\0${file.path}`
      yield { file, id, name: `${source.name}${file.path}`, path: `${target}${file.path}` }
    }
  } finally {
    await files.return?.()
  }
}

async function* eachOf<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items
}

function targetOf({ path, addsOwnName, url }: SourcePut, ownName: string): string {
  if (!addsOwnName) return path
  if (ownName !== '' || !/^https?:/i.test(url)) return `${path}/${ownName}`
  throw new InvalidArgumentError(
    `${shownSource(url)} has no name that a file could go to: say where it goes, as in put-file REPO BRANCH PATH`,
  )
}
