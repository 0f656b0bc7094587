import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { HeldDirectory, HeldTree, openHeldFile } from './held-directories.ts'

let home = ''

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pachyderm-held-'))
  mkdirSync(join(home, 'tree/a/b'), { recursive: true })
  mkdirSync(join(home, 'elsewhere/b'), { recursive: true })
  for (const directory of ['tree/a', 'elsewhere', 'tree/a/b', 'elsewhere/b']) {
    writeFileSync(join(home, directory, 'f'), directory)
  }
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

/** As those do who want to lead the server elsewhere. */
function swap(): void {
  renameSync(join(home, 'tree/a'), join(home, 'tree/moved'))
  symlinkSync(join(home, 'elsewhere'), join(home, 'tree/a'))
}

function namesIn(directory: HeldDirectory): readonly string[] {
  return directory
    .entries()
    .map(({ name }) => name.toString())
    .toSorted()
}

/** Of what is below `directory`: other tests, in other threads, open things meanwhile. */
function openCount(directory: string): number {
  const links = readdirSync('/proc/self/fd').map((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`)
    } catch {
      return ''
    }
  })
  return links.filter((link) => link.startsWith(directory)).length
}

describe.skipIf(process.platform !== 'linux')('where descriptors name directories', () => {
  test('what is called by a name is in the directory that was opened, whatever is in its place', () => {
    using root = HeldDirectory.open(join(home, 'tree'))
    using directory = root.open('a')
    swap()
    expect(namesIn(directory)).toEqual(['b', 'f'])
    expect(readFileSync(directory.pathOf('f'), 'utf8')).toBe('tree/a')
    using below = directory.open(Buffer.from('b'))
    expect(readFileSync(below.pathOf('f'), 'utf8')).toBe('tree/a/b')
    unlinkSync(directory.bytesPathOf(Buffer.from('f')))
    expect(existsSync(join(home, 'elsewhere/f'))).toBe(true)
    directory.restore(0o711)
    expect(lstatSync(join(home, 'tree/moved')).mode & 0o777).toBe(0o711)
    expect(lstatSync(join(home, 'elsewhere')).mode & 0o777).not.toBe(0o711)
  })

  test('a tree is gone down by names none of which is followed', () => {
    using tree = new HeldTree(join(home, 'tree'))
    expect(readFileSync(tree.pathOf(['a', 'b', 'f']), 'utf8')).toBe('tree/a/b')
    swap()
    expect(readFileSync(tree.pathOf(['a', 'f']), 'utf8')).toBe('tree/a')
    expect(lstatSync(tree.pathOf(['a'])).isSymbolicLink()).toBe(true)
    tree.directory([])
    expect(() => tree.pathOf(['a', 'f'])).toThrow(/ENOTDIR|ELOOP/)
    expect(lstatSync(tree.pathOf([])).isDirectory()).toBe(true)
  })

  test('of the way into a deep tree only a part is open, and all of it can be asked for again', () => {
    const names = Array.from({ length: 300 }, (_, index) => `${index}`)
    mkdirSync(join(home, 'tree', ...names), { recursive: true })
    const tree = new HeldTree(join(home, 'tree'))
    for (let depth = 0; depth <= names.length; depth += 1) tree.directory(names.slice(0, depth))
    expect(openCount(home)).toBeGreaterThan(1)
    expect(openCount(home)).toBeLessThan(40)
    for (let depth = names.length; depth > 0; depth -= 1) {
      const below = namesIn(tree.directory(names.slice(0, depth)))
      expect(below).toEqual(names.slice(depth, depth + 1))
    }
    expect(openCount(home)).toBeLessThan(40)
    tree[Symbol.dispose]()
    expect(openCount(home)).toBe(0)
  })

  test('rights that were taken away come back to what is opened, and not to what a link leads to', () => {
    const other = join(home, 'elsewhere/f')
    chmodSync(other, 0o400)
    chmodSync(join(home, 'tree/a/f'), 0)
    chmodSync(join(home, 'tree/a'), 0o100)
    const script = `import { HeldDirectory, openHeldFile } from ${JSON.stringify(import.meta.resolve('./held-directories.ts'))}
      import { closeSync, readFileSync } from 'node:fs'
      using root = HeldDirectory.open(process.argv[1])
      using directory = root.open('a')
      const file = openHeldFile(directory.pathOf('f'))
      console.log(readFileSync(file, 'utf8'))
      closeSync(file)`
    // Root may do without rights.
    const without = ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--']
    const run = ['--input-type=module', '-e', script, join(home, 'tree')]
    const command = [...(process.geteuid?.() === 0 ? without : []), process.execPath, ...run]
    const [program = '', ...rest] = command
    expect(execFileSync(program, rest, { encoding: 'utf8' })).toBe('tree/a\n')
    expect(lstatSync(join(home, 'tree/a/f')).mode & 0o777).toBe(0o600)
    expect(lstatSync(other).mode & 0o777).toBe(0o400)
  })
})

test('whatever is opened as a file, nobody is waited for, and no link is followed', () => {
  const directory = join(home, 'tree/a')
  execFileSync('mkfifo', [join(directory, 'pipe')])
  symlinkSync(join(home, 'elsewhere/f'), join(directory, 'link'))
  using held = HeldDirectory.open(directory)
  const pipe = openHeldFile(held.pathOf('pipe'))
  expect(fstatSync(pipe).isFIFO()).toBe(true)
  closeSync(pipe)
  expect(() => openHeldFile(held.pathOf('link'))).toThrow('ELOOP')
  for (const name of ['pipe', 'link', 'f']) expect(() => held.open(name)).toThrow(/ENOTDIR|ELOOP/)
})

test('rights can be left as they are', () => {
  chmodSync(join(home, 'tree/a'), 0o500)
  chmodSync(join(home, 'tree'), 0o500)
  const rights = (): readonly number[] =>
    ['tree', 'tree/a'].map((name) => lstatSync(join(home, name)).mode & 0o777)
  for (const kept of [true, false]) {
    using root = HeldDirectory.open(join(home, 'tree'), kept ? 'as they are' : 'given back')
    using directory = root.open('a')
    expect(namesIn(directory)).toEqual(['b', 'f'])
    expect(rights()).toEqual(kept ? [0o500, 0o500] : [0o700, 0o700])
  }
})

test('a link in the place of the directory itself is not followed', () => {
  swap()
  expect(() => HeldDirectory.open(join(home, 'tree/a'))).toThrow(/ENOTDIR|ELOOP/)
  expect(() => new HeldTree(join(home, 'tree/a'))).toThrow(/ENOTDIR|ELOOP/)
})
