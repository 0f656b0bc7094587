import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { type FilePath, parseFilePath, pathKey } from '../base/paths.ts'
import { compareBytes } from '../base/bytes.ts'
import { FileTrees, type TreeEdit } from '../storage/file-trees.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { compareKeys, keysOf } from './key-listing.ts'

const trees = new FileTrees(new MemoryChunkStore())

/** Names that sort before and behind a slash, and where UTF-16 sorts otherwise than UTF-8. */
const name = fc
  .array(fc.constantFrom('a', 'b', '-', '.', '!', '0', '\uffee', '\u{1f600}'), {
    minLength: 1,
    maxLength: 4,
  })
  .map((parts) => parts.join(''))
  .filter((text) => text !== '.' && text !== '..')
const key = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'))
/** Also those that end in a slash, or name nothing. */
const anyKey = fc.oneof(
  key,
  key.map((text) => `${text}/`),
  fc.constant(''),
  name,
)

function keysThatFit(keys: readonly string[]): readonly string[] {
  const kept = new Set<string>()
  for (const one of keys) {
    const clashes = [...kept].some(
      (other) => `${one}/`.startsWith(`${other}/`) || other.startsWith(`${one}/`),
    )
    if (!clashes) kept.add(one)
  }
  return [...kept]
}

async function treeOf(keys: readonly string[]) {
  const edits: TreeEdit[] = keys.map((one) => ({
    path: parseFilePath(one),
    entry: { kind: 'file', content: { kind: 'inline', bytes: utf8(one.slice(0, 9)) } },
  }))
  edits.sort((left, right) => compareBytes(pathKey(left.path), pathKey(right.path)))
  return trees.edit(await trees.emptyRoot(), edits, { emptied: 'remove' })
}

/** What a listing of all keys, one after the other, would come to. */
function expected(
  keys: readonly string[],
  { prefix, after, isShallow }: { prefix: string; after?: string | undefined; isShallow: boolean },
): string[] {
  const listed = new Set<string>()
  for (const one of keys.toSorted(compareKeys)) {
    if (!one.startsWith(prefix)) continue
    const end = one.indexOf('/', prefix.length)
    const shown = isShallow && end !== -1 ? one.slice(0, end + 1) : one
    if (after === undefined || compareKeys(shown, after) > 0) listed.add(shown)
  }
  return [...listed]
}

test('keys are listed in the order of their bytes, from any prefix and behind any key', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(key, { maxLength: 25 }).map(keysThatFit),
      fc.oneof(fc.constant(''), anyKey),
      fc.option(anyKey, { nil: undefined }),
      fc.boolean(),
      async (keys, prefix, after, isShallow) => {
        const selection = { prefix, after, isShallow }
        const listed: string[] = []
        for await (const found of keysOf(trees, await treeOf(keys), selection)) {
          listed.push(found.key)
        }
        expect(listed).toEqual(expected(keys, selection))
      },
    ),
    { numRuns: 400 },
  )
})

test('what is no prefix of a path lists nothing, and an empty directory lists itself', async () => {
  const tree = await trees.edit(
    await treeOf(['d/a']),
    [{ path: '/e' as FilePath, entry: await trees.emptyRoot() }],
    { emptied: 'remove' },
  )
  const list = async (prefix: string, isShallow = false): Promise<string[]> => {
    const listed: string[] = []
    for await (const found of keysOf(trees, tree, { prefix, isShallow })) {
      listed.push(`${found.kind} ${found.key}`)
    }
    return listed
  }
  for (const prefix of ['/', '/d', 'd//', './', '../', 'd/../', 'd/a/', 'x/', 'd\0/', '\ud800/']) {
    expect(await list(prefix)).toEqual([])
  }
  expect(await list('')).toEqual(['file d/a', 'empty-directory e/'])
  expect(await list('', true)).toEqual(['prefix d/', 'prefix e/'])
  expect(await list('e/', true)).toEqual(['empty-directory e/'])
})
