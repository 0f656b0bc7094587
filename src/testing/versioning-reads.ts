import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { compareBytes } from '../base/bytes.ts'
import { type FilePath, isWithin, parentPath, pathKey } from '../base/paths.ts'
import type { FileName } from '../versioning/files.ts'
import type { Versioning } from '../versioning/versioning.ts'
import type { ModelCommit } from './model-commit.ts'

/** What the model has at a path: the text of a file, null for a directory. */
function at({ files, directories }: ModelCommit, path: string): string | null | undefined {
  return files.get(path) ?? (directories.has(path) ? null : undefined)
}

type Reads = Pick<Versioning, 'files' | 'listingCounts'>

function allPaths({ files, directories }: ModelCommit): readonly string[] {
  return [...files.keys(), ...directories]
}

function inOrder(paths: Iterable<string>): readonly string[] {
  return [...new Set(paths)].toSorted((left, right) =>
    compareBytes(pathKey(left as FilePath), pathKey(right as FilePath)),
  )
}

/** The size of a file, or of all below a directory. */
function sizeAt(model: ModelCommit, path: string): number {
  let size = 0
  for (const [file, text] of model.files) {
    if (isWithin(file as FilePath, path as FilePath)) size += Buffer.byteLength(text)
  }
  return size
}

/** A directory is listed by name, with sizes; a file and a missing path are refused. */
export async function compareListing(
  { files, listingCounts }: Reads,
  file: FileName & { readonly path: FilePath },
  model: ModelCommit,
): Promise<void> {
  const { path } = file
  const here = at(model, path)
  const count = await listingCounts.list(file)
  const listing = Array.fromAsync(files.list(file))
  if (here !== null) {
    await rejects(listing, here === undefined ? /no node at/ : /is not a directory/)
    return equal(count, 0)
  }
  const listed = await listing
  equal(count, listed.length)
  const children = allPaths(model).filter((other) => {
    return other !== '' && parentPath(other as FilePath) === path
  })
  deepEqual(
    listed.map((info) => [info.path, info.entry.kind, info.sizeBytes]),
    inOrder(children).map((child) => [
      child,
      at(model, child) === null ? 'directory' : 'file',
      sizeAt(model, child),
    ]),
  )
}

/** A pattern of names, `*` and `?`, matched against every path. */
export async function compareGlob(
  { files, listingCounts }: Reads,
  options: { readonly repo: string; readonly commit: string; readonly pattern: string },
  model: ModelCommit,
): Promise<void> {
  const text = options.pattern.replaceAll('*', '[^/]*').replaceAll('?', '[^/]')
  const matcher = new RegExp(`^${text}$`, 'u')
  const found = await Array.fromAsync(files.glob(options))
  ok((await listingCounts.glob(options)) <= found.length)
  deepEqual(
    found.map(({ path }) => path),
    inOrder(allPaths(model).filter((path) => matcher.test(path))),
  )
}

interface DiffModels {
  readonly after: ModelCommit
  readonly before: ModelCommit | undefined
  readonly path: FilePath
}

/** Deep: every file whose text differs. Shallow: every child below which something does. */
export async function compareDiff(
  { files, listingCounts }: Reads,
  sides: { readonly after: FileName; readonly before: FileName | undefined },
  models: DiffModels,
): Promise<void> {
  const deep = await Array.fromAsync(files.diff({ ...sides, shallow: false }))
  const changed = changedFiles(models)
  deepEqual(
    deep.map(({ path, before, after }) => [path, before?.sizeBytes, after?.sizeBytes]),
    changed,
  )
  const shallow = await Array.fromAsync(files.diff({ ...sides, shallow: true }))
  for (const [isShallow, { length }] of [
    [false, deep],
    [true, shallow],
  ] as const) {
    ok((await listingCounts.diff({ ...sides, shallow: isShallow })) <= length)
  }
  const { path } = models
  const sidesHere = [models.before, models.after].map((model) => model && at(model, path))
  // A file, or nothing, is compared as itself.
  if (!sidesHere.every((side) => side === null)) return
  deepEqual(
    shallow.map((difference) => difference.path),
    changedChildren(models),
  )
}

/** Children that are not the same on both sides, in themselves or in what is below. */
function changedChildren({ after, before, path }: DiffModels): readonly string[] {
  const everything = (model: ModelCommit | undefined, child: string): string =>
    JSON.stringify(
      inOrder(model === undefined ? [] : allPaths(model))
        .filter((other) => isWithin(other as FilePath, `${path}${child}` as FilePath))
        .map((other) => [other, model && at(model, other)]),
    )
  const children = [before, after]
    .flatMap((model) => (model === undefined ? [] : allPaths(model)))
    .filter((other) => other !== path && isWithin(other as FilePath, path))
    .map((other) => `/${other.slice(path.length + 1).split('/')[0]}`)
  return inOrder(children).filter((child) => everything(before, child) !== everything(after, child))
}

function textBytes(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Buffer.byteLength(text)
}

function changedFiles({
  after,
  before,
  path,
}: DiffModels): readonly (readonly [string, ...unknown[]])[] {
  const below = (model: ModelCommit | undefined): ReadonlyMap<string, string> =>
    new Map(
      [...(model?.files ?? [])]
        .filter(([file]) => isWithin(file as FilePath, path))
        .map(([file, text]) => [file.slice(path.length), text]),
    )
  const [old, fresh] = [below(before), below(after)]
  const differing = [...old.keys(), ...fresh.keys()].filter(
    (file) => old.get(file) !== fresh.get(file),
  )
  return inOrder(differing).map((file) => [
    file,
    textBytes(old.get(file)),
    textBytes(fresh.get(file)),
  ])
}
