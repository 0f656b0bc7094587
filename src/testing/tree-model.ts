import * as fc from 'fast-check'
import { compareBytes, utf8 } from '../base/bytes.ts'
import { type FilePath, parentPath, parseFilePath, pathKey } from '../base/paths.ts'
import { chunkIdOf } from '../storage/chunk-id.ts'
import { type Content, inlineBytesMax } from '../storage/contents.ts'
import type { FileEntry } from '../storage/file-trees.ts'

/** A file tree in the plainest form: files by path with their text, directories with undefined. */
export type TreeModel = ReadonlyMap<FilePath, string | undefined>

/** Sets a file to its text, replaces a whole directory, or removes what is there. */
export type ModelEdit = { readonly path: FilePath } & (
  | { readonly kind: 'put'; readonly text: string }
  | { readonly kind: 'graft'; readonly tree: TreeModel }
  | { readonly kind: 'remove' }
)

/** What the naive edit throws where the real one throws `FileDirectoryConflictError`. */
export class ModelConflict extends Error {}

const root = parseFilePath('')

// Few names, so that paths meet, and some that make nodes split.
const names = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('a', 'b', 'ab', 'a-', 'a0', 'ü', '𝒳', '*', '{a}') },
  { weight: 2, arbitrary: fc.nat(60).map((number) => `n${String(number).padStart(3, '0')}`) },
  { weight: 1, arbitrary: fc.constantFrom('x'.repeat(400), 'y'.repeat(500), 'z'.repeat(600)) },
)
export const texts: fc.Arbitrary<string> = fc
  .tuple(fc.nat(3), fc.constantFrom(0, 1, 10, 64, 65, 500))
  .map(([kind, size]) => String(kind).repeat(size))
export const paths: fc.Arbitrary<FilePath> = fc
  .array(names, { minLength: 1, maxLength: 4 })
  .map((parts) => parseFilePath(parts.slice(0, 3).join('/')))

export const treeModels: fc.Arbitrary<TreeModel> = fc
  .array(fc.tuple(paths, fc.option(texts, { nil: undefined, freq: 8 })), {
    maxLength: 60,
    size: 'max',
  })
  .map((entries) => {
    const model = new Map<FilePath, string | undefined>()
    for (const [path, text] of entries) {
      if (ancestors(path).some((above) => model.get(above) !== undefined)) continue
      if (model.has(path)) continue
      for (const above of ancestors(path)) if (above !== root) model.set(above, undefined)
      model.set(path, text)
    }
    return model
  })

/** Edits sorted as the real ones must be; a path may first be removed and then set. */
export const editLists: fc.Arbitrary<readonly ModelEdit[]> = fc
  .uniqueArray(
    fc.record({
      path: fc.oneof({ weight: 60, arbitrary: paths }, { weight: 1, arbitrary: fc.constant(root) }),
      removeFirst: fc.boolean(),
      set: fc.option(
        fc.oneof({ weight: 4, arbitrary: texts }, { weight: 1, arbitrary: treeModels }),
        {
          nil: undefined,
        },
      ),
    }),
    { maxLength: 12, selector: ({ path }) => path },
  )
  .map((edits) =>
    edits
      .toSorted((left, right) => compareBytes(pathKey(left.path), pathKey(right.path)))
      .flatMap(({ path, removeFirst, set }): ModelEdit[] => {
        const removal: ModelEdit[] =
          removeFirst || set === undefined ? [{ path, kind: 'remove' }] : []
        if (set === undefined) return removal
        if (typeof set === 'string') return [...removal, { path, kind: 'put', text: set }]
        return [...removal, { path, kind: 'graft', tree: set }]
      }),
  )

export function ancestors(path: FilePath): FilePath[] {
  const found: FilePath[] = []
  for (let above = path; above !== root;) {
    above = parentPath(above)
    found.push(above)
  }
  return found
}

function below(model: TreeModel, path: FilePath): FilePath[] {
  return [...model.keys()].filter((other) => other.startsWith(`${path}/`))
}

/** The naive edit. @throws {ModelConflict} */
export function editModel(
  before: TreeModel,
  edits: readonly ModelEdit[],
  emptied: 'keep' | 'remove',
): TreeModel {
  const model = new Map(before)
  const wasFilled = new Map<FilePath, boolean>()
  for (const edit of edits) {
    const { path } = edit
    for (const above of ancestors(path)) {
      if (!wasFilled.has(above)) wasFilled.set(above, below(model, above).length > 0)
    }
    applyEdit(model, edit)
  }
  if (emptied === 'remove') {
    const deepestFirst = [...wasFilled].toSorted(([left], [right]) => right.length - left.length)
    for (const [path, filled] of deepestFirst) {
      if (filled && path !== root && model.has(path) && below(model, path).length === 0) {
        model.delete(path)
      }
    }
  }
  return model
}

function applyEdit(model: Map<FilePath, string | undefined>, edit: ModelEdit): void {
  const { path } = edit
  if (edit.kind !== 'remove') {
    if (ancestors(path).some((above) => model.get(above) !== undefined)) throw new ModelConflict()
    const isDirectory = path === root || (model.has(path) && model.get(path) === undefined)
    if (edit.kind === 'put' && isDirectory) throw new ModelConflict()
    for (const above of ancestors(path)) if (above !== root) model.set(above, undefined)
  }
  if (edit.kind === 'put') {
    model.set(path, edit.text)
    return
  }
  for (const other of below(model, path)) model.delete(other)
  model.delete(path)
  if (edit.kind === 'remove') return
  if (path !== root) model.set(path, undefined)
  for (const [inside, text] of edit.tree) model.set(parseFilePath(path + inside), text)
}

/** In tree order. */
export function sortedModel(model: TreeModel): [FilePath, string | undefined][] {
  return [...model].toSorted(([left], [right]) => compareBytes(pathKey(left), pathKey(right)))
}

/** A file that holds `text`, of the kind that its size asks for. */
export function fileOf(text: string): FileEntry {
  const bytes = utf8(text)
  const content: Content =
    bytes.length <= inlineBytesMax
      ? { kind: 'inline', bytes }
      : { kind: 'chunk', chunk: chunkIdOf(bytes), sizeBytes: bytes.length }
  return { kind: 'file', content }
}
