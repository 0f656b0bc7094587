import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { CancelledError } from '../base/errors.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { FileNotFoundError } from './errors.ts'
import type { FileChange } from './files.ts'

let world: TestVersioning
let repoCount = 0

beforeAll(async () => {
  world = await openTestVersioning()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

/** What a commit puts at a path; null deletes. */
type Step = Readonly<Record<string, string | null>>

/** A repo with a commit on `master` for each step, named `c0`, `c1` … by its message. */
async function repoOf(steps: readonly Step[]): Promise<string> {
  const { commits, repos, writes } = world.versioning
  repoCount += 1
  const repo = `history-${repoCount}`
  await repos.create({ name: repo })
  for (const [index, step] of steps.entries()) {
    await commits.start({ repo, branch: 'master', message: `c${index}` })
    for (const [path, text] of Object.entries(step)) {
      const file = { repo, commit: 'master', path }
      if (text === null) await writes.delete(file)
      else await writes.put(file, utf8(text), { overwrite: true })
    }
    await commits.finish(repo, 'master')
  }
  return repo
}

async function changes(
  repo: string,
  path: string,
  options: { readonly commit?: string; readonly countMax?: number } = {},
): Promise<readonly FileChange[]> {
  const { commit = 'master', ...rest } = options
  const pages = await Array.fromAsync(world.versioning.files.history({ repo, commit, path }, rest))
  return pages.flat()
}

async function words(...args: Parameters<typeof changes>): Promise<readonly string[]> {
  const found = await changes(...args)
  return found.map(({ kind, commit, after }) =>
    `${commit.message} ${kind} ${after?.sizeBytes ?? ''}`.trim(),
  )
}

test('a file was added, changed, removed and added again', async () => {
  const repo = await repoOf([
    { other: '1' },
    { 'd/f': 'one' },
    { other: '2' },
    { 'd/f': 'four' },
    { 'd/f': 'four' },
    { 'd/f': null },
    { other: '3' },
    { 'd/f': 'again' },
  ])
  expect(await words(repo, '/d/f')).toEqual([
    'c7 added 5',
    'c5 removed',
    'c3 changed 4',
    'c1 added 3',
  ])
  expect(await words(repo, 'd/f', { countMax: 2 })).toEqual(['c7 added 5', 'c5 removed'])
  expect(await words(repo, 'd/f', { commit: 'master~3' })).toEqual(['c3 changed 4', 'c1 added 3'])
})

test('a directory changes with what is in it', async () => {
  const repo = await repoOf([{ 'd/a': '1', 'd/b': '1' }, { e: '1' }, { 'd/b': null }, { d: null }])
  expect(await words(repo, 'd')).toEqual(['c3 removed', 'c2 changed 1', 'c0 added 2'])
  expect(await words(repo, '/')).toEqual([
    'c3 changed 1',
    'c2 changed 2',
    'c1 changed 3',
    'c0 added 2',
  ])
})

test('a file that becomes a directory has changed', async () => {
  const repo = await repoOf([{ p: 'x' }, { p: null, 'p/q': 'x' }])
  expect(await words(repo, 'p')).toEqual(['c1 changed 1', 'c0 added 1'])
  expect(await words(repo, 'p/q')).toEqual(['c1 added 1'])
})

test('what is staged in an open commit is its change', async () => {
  const repo = await repoOf([{ f: '1' }, { f: '2' }])
  const { commits, writes } = world.versioning
  await commits.start({ repo, branch: 'master', message: 'open' })
  expect(await words(repo, 'f')).toEqual(['c1 changed 1', 'c0 added 1'])
  await writes.put({ repo, commit: 'master', path: 'f' }, utf8('345'))
  expect(await words(repo, 'f')).toEqual(['open changed 4', 'c1 changed 1', 'c0 added 1'])
  const [first] = await changes(repo, 'f')
  expect(first?.commit.state.kind).toBe('open')
})

test('a path that no commit ever had is not found', async () => {
  const repo = await repoOf([{ f: '1' }, { g: '1' }])
  await expect(changes(repo, 'nope')).rejects.toBeInstanceOf(FileNotFoundError)
  await expect(changes(repo, 'f/below')).rejects.toThrow(/not found .* nor in any before it/)
  await expect(changes(repo, '../f')).rejects.toThrow('leads out of')
})

test('history is read in stretches of 100 commits, and stops when it is cancelled', async () => {
  const count = 250
  const repo = await repoOf(
    Array.from({ length: count }, (_, index) =>
      index % 60 === 0 ? { f: `${index}` } : { g: `${index}` },
    ),
  )
  const file = { repo, commit: 'master', path: 'f' }
  const pages = await Array.fromAsync(world.versioning.files.history(file))
  expect(pages.map((page) => page.map(({ commit }) => commit.message))).toEqual([
    ['c240', 'c180'],
    ['c120', 'c60'],
    ['c0'],
  ])
  const cancel = new AbortController()
  const history = world.versioning.files.history(file, { signal: cancel.signal })
  await history.next()
  cancel.abort()
  await expect(history.next()).rejects.toBeInstanceOf(CancelledError)
})

test('a commit costs one look-up, none if its tree is that of the next, and none behind the last wanted', async () => {
  const steps = Array.from({ length: 150 }, (_, index) => ({ [`g${index}`]: '1' }))
  const repo = await repoOf([{ f: '1' }, ...steps, {}, {}, {}, { f: '2' }])
  const lookUp = vi.spyOn(world.ports.trees, 'get')
  expect(await words(repo, 'f')).toEqual(['c154 changed 1', 'c0 added 1'])
  // The empty commits have the tree of the one before them.
  expect(lookUp).toHaveBeenCalledTimes(steps.length + 3 - 1)
  lookUp.mockClear()
  expect(await words(repo, 'f', { countMax: 1 })).toEqual(['c154 changed 1'])
  expect(lookUp.mock.calls.length).toBeLessThanOrEqual(101)
  lookUp.mockRestore()
})

test('the history of a path is where neighbouring commits differ', async () => {
  const steps = fc.array(
    fc.dictionary(fc.constantFrom('a', 'd/b', 'd/c'), fc.constantFrom('', 'x', 'yy', null), {
      maxKeys: 2,
      noNullPrototype: true,
    }),
    { minLength: 1, maxLength: 8 },
  )
  const property = fc.asyncProperty(steps, async (chosen) => {
    const repo = await repoOf(chosen)
    const texts: (string | undefined)[] = []
    const expected: string[] = []
    let text: string | undefined
    for (const [index, step] of chosen.entries()) {
      const before = text
      const now = step['d/b']
      if (now !== undefined) text = now ?? undefined
      texts.push(text)
      if (before === text) continue
      const kind = text === undefined ? 'removed' : before === undefined ? 'added' : 'changed'
      expected.unshift(`c${index} ${kind}`)
    }
    const found = await changes(repo, 'd/b').catch((error: unknown) => {
      if (error instanceof FileNotFoundError) return []
      throw error
    })
    expect(found.map(({ commit, kind }) => `${commit.message} ${kind}`)).toEqual(expected)
    for (const { commit, after } of found) {
      const index = Number(commit.message.slice(1))
      expect(after?.sizeBytes).toBe(texts[index]?.length)
    }
  })
  await expect(fc.assert(property, { numRuns: 60 })).resolves.toBeUndefined()
})
