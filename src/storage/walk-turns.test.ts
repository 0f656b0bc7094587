import { expect, test } from 'vitest'
import { CancelledError } from '../base/errors.ts'
import { parseGlob } from '../base/globs.ts'
import { parseFilePath, rootPath } from '../base/paths.ts'
import { Turns } from '../base/turns.ts'
import { fileOf } from '../testing/tree-model.ts'
import { type DirectoryEntry, FileTrees } from './file-trees.ts'
import { MemoryChunkStore } from './memory-chunks.ts'

/** So deep that a walk ends by itself, if after a while: one that nobody can stop is seen to. */
const depth = 12
/** Turns of the event loop that are waited for before a walk is stopped. */
const turnsBefore = 5

interface World {
  readonly trees: FileTrees
  /** Looks at the clock, each of which takes a millisecond; one in sixteen steps takes one. */
  looks: number
}

function makeWorld(): World {
  const clock = {
    now: () => 0,
    monotonicMs: () => {
      world.looks += 1
      return world.looks
    },
    sleep: () => Promise.reject(new Error('nobody sleeps here')),
  }
  const turns = new Turns(clock, setImmediate)
  const world = { trees: new FileTrees(new MemoryChunkStore(), { turns }), looks: 0 }
  return world
}

/** A tree of few nodes and many paths: each directory holds the one below it twice. */
async function doublingTree(trees: FileTrees, file: string | undefined): Promise<DirectoryEntry> {
  const empty = await trees.emptyRoot()
  let root = empty
  if (file !== undefined) {
    const put = { path: parseFilePath('/f'), entry: fileOf(file) }
    root = await trees.edit(empty, [put], { emptied: 'keep' })
  }
  for (let level = 0; level < depth; level += 1) {
    const edits = ['/a', '/b'].map((path) => ({ path: parseFilePath(path), entry: root }))
    root = await trees.edit(empty, edits, { emptied: 'keep' })
  }
  return root
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

const walks: Readonly<
  Record<string, (trees: FileTrees, signal: AbortSignal) => Promise<() => Promise<unknown>>>
> = {
  'a glob that matches nothing': async (trees, signal) => {
    const tree = await doublingTree(trees, 'x')
    const glob = parseGlob(`${'/*'.repeat(depth)}/q`)
    return () => drain(trees.glob(tree, glob, { signal }))
  },
  'a walk of empty directories': async (trees, signal) => {
    const tree = await doublingTree(trees, undefined)
    return () => drain(trees.walk(tree, { signal }))
  },
  'a list': async (trees, signal) => {
    // Long ones, for there is one look for each leaf.
    const names = Array.from({ length: 5000 }, (_, at) => `/${10_000 + at}${'x'.repeat(60)}`)
    const puts = names.map((name) => ({ path: parseFilePath(name), entry: fileOf(name) }))
    const tree = await trees.edit(await trees.emptyRoot(), puts, { emptied: 'keep' })
    return () => drain(trees.list(tree, rootPath, { signal }))
  },
  'a comparison': async (trees, signal) => {
    const [before, after] = [await doublingTree(trees, undefined), await doublingTree(trees, 'y')]
    return () => drain(trees.diff(before, after, { signal }))
  },
  'a comparison with sums': async (trees, signal) => {
    const [before, after] = [await doublingTree(trees, 'x'), await doublingTree(trees, 'y')]
    return () => drain(trees.diff(before, after, { lone: 'whole', signal }))
  },
  'a merge': async (trees, signal) => {
    const [ours, theirs] = [await doublingTree(trees, 'x'), await doublingTree(trees, 'y')]
    return () => trees.merge(undefined, ours, theirs, { signal })
  },
}

for (const [name, prepare] of Object.entries(walks)) {
  test(`${name} leaves turns to others, and ends once it is stopped`, async () => {
    const world = makeWorld()
    const stop = new AbortController()
    const walk = await prepare(world.trees, stop.signal)
    const start = world.looks
    let stoppedAt = 0
    let turnCount = 0
    const others = (): void => {
      turnCount += 1
      if (turnCount < turnsBefore) {
        setImmediate(others)
        return
      }
      stoppedAt = world.looks
      stop.abort()
    }
    setImmediate(others)
    await expect(walk()).rejects.toThrow(CancelledError)
    expect(turnCount).toBe(turnsBefore)
    // Of ten milliseconds a turn; what builds the tree may have used some of the first.
    expect(stoppedAt - start).toBeLessThanOrEqual(turnsBefore * 11)
    expect(world.looks - stoppedAt).toBeLessThanOrEqual(1)
  })
}

test('a directory that only one side has is a difference of its own where it is to be whole', async () => {
  const { trees } = makeWorld()
  const below = await doublingTree(trees, 'x')
  const edit = (edits: Parameters<FileTrees['edit']>[1]): Promise<DirectoryEntry> =>
    trees.edit(before, edits, { emptied: 'keep' })
  let before = await trees.emptyRoot()
  const at = parseFilePath
  before = await edit([
    { path: at('/both/f'), entry: fileOf('old') },
    { path: at('/was-directory'), entry: below },
    { path: at('/was-file'), entry: fileOf('file') },
  ])
  const after = await edit([
    { path: at('/both/f'), entry: fileOf('new') },
    { path: at('/made'), entry: below },
    { path: at('/was-directory'), entry: undefined },
    { path: at('/was-directory'), entry: fileOf('file') },
    { path: at('/was-file'), entry: undefined },
    { path: at('/was-file'), entry: below },
  ])
  const found = await Array.fromAsync(trees.diff(before, after, { lone: 'whole' }))
  expect(found.map((each) => [each.path, each.before?.kind ?? '', each.after?.kind ?? ''])).toEqual(
    [
      ['/both/f', 'file', 'file'],
      ['/made', '', 'directory'],
      ['/was-directory', '', 'file'],
      ['/was-directory', 'directory', ''],
      ['/was-file', 'file', ''],
      ['/was-file', '', 'directory'],
    ],
  )
})
