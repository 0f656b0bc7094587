import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { SystemClock } from '../../base/clock.ts'
import { EmptiedDirectory } from './emptied-directory.ts'
import { EmptiedTree } from './emptied-tree.ts'

const clock = new SystemClock()
const isRoot = process.geteuid?.() === 0
/** Whatever a directory's change time is, it may have changed since. */
const longAgo = 0
/** A file system's clock ticks at least once in this time. */
const tickMs = 15

let home = ''

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pachyderm-emptied-'))
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

/** Since then user code has run, if all that is there now is old. */
function laterOn(): number {
  return clock.now() + 3_600_000_000
}

function entriesOf(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => `/${name}`)
    .toSorted()
}

const paths = ['a', 'a/b', 'a/b/c', 'd', 'd/e', 'out']
const path = fc.constantFrom(...paths)
const action = fc.oneof(
  fc.record({ kind: fc.constantFrom('mkdir', 'write', 'link', 'remove', 'lock'), path }),
  fc.record({ kind: fc.constant('rename'), path, to: path }),
)
type Action = typeof action extends fc.Arbitrary<infer Value> ? Value : never

/** Does what user code might; what is not possible is left. */
function act(directory: string, step: Action): void {
  const at = join(directory, step.path)
  try {
    if (step.kind === 'mkdir') mkdirSync(at, { recursive: true })
    else if (step.kind === 'write') writeFileSync(at, 'x')
    else if (step.kind === 'link') symlinkSync('nowhere', at)
    else if (step.kind === 'remove') rmSync(at, { recursive: true })
    else if (step.kind === 'lock') chmodSync(at, 0)
    else if ('to' in step) renameSync(at, join(directory, step.to))
  } catch {
    // Then not.
  }
}

test('whatever is done in it, only directories are left, and it knows which', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(action), { maxLength: 4 }), async (runs) => {
      const directory = mkdtempSync(join(home, 'tree-'))
      const tree = new EmptiedTree(directory, 0o755)
      for (const steps of runs) {
        for (const step of steps) act(directory, step)
        await tree.empty(longAgo)
        expect([...tree.directories].toSorted()).toEqual(entriesOf(directory))
        for (const left of tree.directories) {
          expect(lstatSync(directory + left).mode & 0o40700).toBe(0o40700)
        }
      }
    }),
    { numRuns: 100 },
  )
})

test('where it is known what was placed, only that and what came into one directory goes', async () => {
  const placed = {
    copies: ['/in/f'],
    otherFiles: ['/in/d/g'],
    directories: new Set(['/in', '/in/d', '/out']),
  }
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(action), { maxLength: 4 }), async (runs) => {
      const directory = mkdtempSync(join(home, 'tree-'))
      mkdirSync(join(directory, 'out'))
      const tree = new EmptiedTree(directory, 0o755, 'out')
      for (const steps of runs) {
        mkdirSync(join(directory, 'in/d'), { recursive: true })
        for (const file of ['/in/f', '/in/d/g']) writeFileSync(directory + file, '')
        for (const step of steps) act(join(directory, 'out'), step)
        await tree.emptyPlaced(longAgo, placed)
        expect([...tree.directories].toSorted()).toEqual(entriesOf(directory))
        expect(tree.directories.has('/out')).toBe(true)
      }
    }),
    { numRuns: 50 },
  )
})

test('when what was placed is not there any more, everything is looked at', async () => {
  mkdirSync(join(home, 'out'))
  const tree = new EmptiedTree(home, 0o755, 'out')
  writeFileSync(join(home, 'renamed'), '')
  await tree.emptyPlaced(longAgo, {
    copies: ['/f'],
    otherFiles: [],
    directories: new Set(['/out']),
  })
  expect(entriesOf(home)).toEqual(['/out'])
})

test('that nothing came into the kept directory is only said when it is certain', async () => {
  const out = join(home, 'out')
  mkdirSync(out)
  const tree = new EmptiedTree(home, 0o755, 'out')
  expect(tree.isKeptUntouched(laterOn())).toBe(false)
  await tree.empty(laterOn())
  expect(tree.isKeptUntouched(laterOn())).toBe(true)
  expect(tree.isKeptUntouched(clock.now())).toBe(false)
  for (const name of ['f', 'd/']) {
    await tree.empty(laterOn())
    await clock.sleep(tickMs)
    if (name === 'f') writeFileSync(join(out, name), '')
    else mkdirSync(join(out, name))
    expect(tree.isKeptUntouched(laterOn())).toBe(false)
    rmSync(join(out, name), { recursive: true })
    expect(tree.isKeptUntouched(laterOn())).toBe(false)
  }
})

test('a link is removed, and what it leads to is not', async () => {
  const victim = join(home, 'victim')
  const directory = join(home, 'tree')
  for (const made of [victim, directory]) mkdirSync(made)
  writeFileSync(join(victim, 'f'), '')
  for (const emptied of [
    new EmptiedTree(directory, 0o755),
    new EmptiedDirectory(directory, 0o755),
  ]) {
    symlinkSync(victim, join(directory, 'a'))
    await emptied.empty(longAgo)
    expect(entriesOf(home)).toEqual(['/tree', '/victim', '/victim/f'])
  }
})

test('what has long been as it was is left alone, and a change shows', async () => {
  const tree = new EmptiedTree(home, 0o755)
  mkdirSync(join(home, 'in/d'), { recursive: true })
  for (const change of ['', 'in/f', 'in/d/f', 'g', 'in/d/e/', '']) {
    await tree.empty(laterOn())
    await clock.sleep(tickMs)
    if (change !== '') mkdirSync(dirname(join(home, change)), { recursive: true })
    if (change.endsWith('/')) mkdirSync(join(home, change))
    else if (change !== '') writeFileSync(join(home, change), '')
    await tree.empty(laterOn())
    const kept = change.endsWith('/') ? ['/in', '/in/d', '/in/d/e'] : ['/in', '/in/d']
    expect([...tree.directories].toSorted().slice(0, kept.length)).toEqual(kept)
    expect(entriesOf(home)).toEqual([...tree.directories].toSorted())
  }
})

test('rights and owner of the directory itself are as they were', async () => {
  const tree = new EmptiedTree(home, 0o755)
  const other = new EmptiedDirectory(home, 0o1777)
  for (const [emptied, mode] of [
    [tree, 0o755],
    [other, 0o1777],
  ] as const) {
    chmodSync(home, 0o300)
    if (isRoot) chownSync(home, 5, 5)
    await emptied.empty(longAgo)
    const stats = lstatSync(home)
    expect(stats.mode & 0o7777).toBe(mode)
    expect(stats.uid).toBe(process.geteuid?.())
  }
})

test('a directory that must be empty is, whenever something came', async () => {
  const directory = new EmptiedDirectory(home, 0o1777)
  for (let round = 0; round < 3; round += 1) {
    await directory.empty(laterOn())
    await clock.sleep(tickMs)
    mkdirSync(join(home, 'a'))
    writeFileSync(join(home, 'a/b'), '')
    await directory.empty(round === 0 ? longAgo : laterOn())
    expect(existsSync(join(home, 'a'))).toBe(false)
  }
})
