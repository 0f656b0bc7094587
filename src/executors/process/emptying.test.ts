import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { HeldDirectory } from '../../pipelines/held-directories.ts'
import { EmptiedTree } from './emptied-tree.ts'
import { emptyDirectory, removeTree } from './emptying.ts'
import { removeIn } from './removal.ts'

let directory = ''

/** As they are when nobody comes between. */
// oxlint-disable-next-line typescript/unbound-method -- they are called with a directory
const { entries, open } = HeldDirectory.prototype

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'pachyderm-emptying-'))
})

afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
  rmSync(directory, { recursive: true, force: true })
})

test('a directory of many files is emptied, without programs', async () => {
  vi.stubEnv('PATH', '/nonexistent')
  for (const name of ['a', 'b']) {
    mkdirSync(join(directory, name))
    writeFileSync(Buffer.from(`${directory}/${name}/\xff`, 'latin1'), '')
  }
  await emptyDirectory(directory, 0o755, 1)
  expect(readdirSync(directory)).toEqual([])
})

test('of very many files no more are listed than show that a thread must remove them', () => {
  for (let count = 0; count < 2000; count += 1)
    writeFileSync(join(directory, `${count}`.padStart(200)), '')
  const listed = vi.spyOn(HeldDirectory.prototype, 'entries')
  using tree = HeldDirectory.open(directory)
  expect(removeIn(tree, undefined, 10)).toBe('many')
  expect(listed.mock.results.map(({ value }) => (value as unknown[]).length)).toEqual([11])
  mkdirSync(join(directory, 'kept'))
  expect(removeIn(tree, 'kept', 1989)).toBe('many')
  expect(removeIn(tree, 'kept')).toBe('empty')
  expect(readdirSync(directory)).toEqual(['kept'])
})

test('of very many files some are listed at a time, and all are removed', () => {
  const below = join(directory, 'below')
  mkdirSync(below)
  for (const where of [directory, below]) {
    for (let count = 0; count < 2000; count += 1) {
      writeFileSync(join(where, `${count}`.padStart(200)), '')
    }
  }
  mkdirSync(join(directory, 'kept'))
  const listed = vi.spyOn(HeldDirectory.prototype, 'entries')
  using tree = HeldDirectory.open(directory)
  expect(removeIn(tree, 'kept', Number.POSITIVE_INFINITY, 700)).toBe('empty')
  const lengths = listed.mock.results.map(({ value }) => (value as unknown[]).length)
  expect(Math.max(...lengths)).toBeLessThan(1400)
  expect(readdirSync(directory)).toEqual(['kept'])
})

/** Has `change` come when the directories below have been looked at, so many of them. */
function changeAfter(count: number, change: () => void): void {
  let seenCount = 0
  vi.spyOn(HeldDirectory.prototype, 'entries').mockImplementation(function (this: HeldDirectory) {
    const found = entries.call(this)
    seenCount += 1
    if (seenCount === count) change()
    return found
  })
}

function swap(): void {
  renameSync(join(directory, 'tree/d'), join(directory, 'tree/moved'))
  symlinkSync(join(directory, 'other'), join(directory, 'tree/d'))
}

describe.runIf(process.platform === 'linux')('while others swap directories for links', () => {
  beforeEach(() => {
    for (const path of ['tree/d/k', 'other/k']) {
      mkdirSync(join(directory, path), { recursive: true })
      writeFileSync(join(directory, path, 'f'), '')
    }
  })

  test.each([
    ['the directory itself has been read', 1],
    ['one in it has been', 2],
    ['one in that has been', 3],
  ])('only what is in the directory is removed, when %s', async (_name, count) => {
    for (const empty of [
      (): Promise<void> => emptyDirectory(join(directory, 'tree'), 0o755),
      (): Promise<void> => new EmptiedTree(join(directory, 'tree'), 0o755).empty(0),
      (): Promise<void> => new EmptiedTree(join(directory, 'tree'), 0o755, 'kept').empty(0),
    ]) {
      changeAfter(count, swap)
      await empty()
      vi.restoreAllMocks()
      expect(existsSync(join(directory, 'other/k/f'))).toBe(true)
      expect(existsSync(join(directory, 'tree/moved/k/f'))).toBe(false)
      rmSync(join(directory, 'tree'), { recursive: true })
      mkdirSync(join(directory, 'tree/d/k'), { recursive: true })
      writeFileSync(join(directory, 'tree/d/k/f'), '')
    }
  })

  test('a directory in which files never end is given up', () => {
    let count = 0
    vi.spyOn(HeldDirectory.prototype, 'entries').mockImplementation(function (this: HeldDirectory) {
      const found = entries.call(this)
      count += 1
      writeFileSync(this.pathOf(`${count}`), '')
      return found
    })
    using tree = HeldDirectory.open(join(directory, 'tree'))
    expect(removeIn(tree)).toBe('changing')
    expect(existsSync(join(directory, 'tree'))).toBe(true)
  })
})

/** So many directories more, one in the other, above what is at `path`: paths that are longer are made from the bottom. */
function sink(path: string, levelCount: number): void {
  const above = join(directory, 'above')
  const bottom = join(above, ...Array.from({ length: levelCount - 1 }, () => 'd'))
  mkdirSync(bottom, { recursive: true })
  renameSync(path, join(bottom, 'e'))
  renameSync(above, path)
}

test('a tree that is deeper than paths and descriptors go is removed, whoever else is called as it moves them', async () => {
  const deep = join(directory, 'tree')
  mkdirSync(deep)
  for (const name of ['.moved-1', '.moved-2']) mkdirSync(join(deep, name, 'd'), { recursive: true })
  writeFileSync(join(deep, '.moved-3'), '')
  for (let count = 0; count < 60; count += 1) sink(deep, 50)
  await removeTree(deep)
  expect(readdirSync(directory)).toEqual([])
})

test('a tree of any depth is removed, and nobody is said to write in it', async () => {
  const deep = join(directory, 'tree')
  mkdirSync(deep)
  for (let count = 0; count < 340; count += 1) sink(deep, 100)
  await removeTree(deep)
  expect(readdirSync(directory)).toEqual([])
})

test('what is mounted in it stays, and is told of', () => {
  using tree = HeldDirectory.open(directory)
  mkdirSync(join(directory, 'd'))
  vi.spyOn(HeldDirectory.prototype, 'open').mockImplementation(function (
    this: HeldDirectory,
    name: string | Buffer,
  ) {
    const opened = open.call(this, name)
    return Object.defineProperty(opened, 'stats', { value: { ...opened.stats, dev: 0n } })
  })
  expect(() => removeIn(tree)).toThrow('another file system is mounted at "d"')
  expect(existsSync(join(directory, 'd'))).toBe(true)
})
