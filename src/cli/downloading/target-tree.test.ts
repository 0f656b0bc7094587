import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import { LocalDiskFullError, localError, reasonNotStored } from './local-errors.ts'
import { Staging, stagingName } from './staging.ts'
import { TargetTree } from './target-tree.ts'

let home: TemporaryDirectory
let root: string
beforeEach(async () => {
  home = await TemporaryDirectory.create()
  root = home.join('target')
})
afterEach(async () => {
  await home[Symbol.asyncDispose]()
})

function text(...names: readonly string[]): string {
  return readFileSync(join(root, ...names), 'utf8')
}

/** Claims and stores files, as a download does. */
function storeAll(tree: TargetTree, paths: readonly string[]): readonly string[] {
  return paths.filter((path) => tree.claim(path) && tree.store(path, [utf8(path)]))
}

describe('a target directory', () => {
  test('gets what is stored, and keeps nothing unfinished', () => {
    {
      using tree = TargetTree.open(root)
      expect(tree.makeDirectory('empty')).toBe(true)
      expect(storeAll(tree, ['a', 'd/e/f', 'd/e/g', 'd/h'])).toHaveLength(4)
      expect(tree.store('split', [utf8('one '), new Uint8Array(), utf8('two')])).toBe(true)
      const large = tree.begin('large')
      large?.write([utf8('be')])
      large?.write([utf8('gun'), utf8('!')])
      expect(readdirSync(root)).not.toContain('large')
      if (large !== undefined) tree.finish('large', large)
    }
    expect(text('d', 'e', 'f')).toBe('d/e/f')
    expect([text('split'), text('large')]).toEqual(['one two', 'begun!'])
    expect(readdirSync(root).toSorted()).toEqual(['a', 'd', 'empty', 'large', 'split'])
  })

  test('keeps what it had when a file does not come to its end', () => {
    mkdirSync(root)
    writeFileSync(join(root, 'a'), 'old')
    {
      using tree = TargetTree.open(root)
      using file = tree.begin('a')
      file?.write([utf8('new')])
    }
    expect(text('a')).toBe('old')
    expect(readdirSync(root)).toEqual(['a'])
  })

  test('has files replaced, and links to files, without following them', () => {
    mkdirSync(root)
    writeFileSync(home.join('elsewhere'), 'precious')
    symlinkSync(home.join('elsewhere'), join(root, 'link'))
    writeFileSync(join(root, 'file'), 'old')
    using tree = TargetTree.open(root)
    expect(storeAll(tree, ['file', 'link'])).toHaveLength(2)
    expect([text('file'), text('link')]).toEqual(['file', 'link'])
    expect(readFileSync(home.join('elsewhere'), 'utf8')).toBe('precious')
  })

  test('lets nothing through links to directories', () => {
    mkdirSync(root)
    mkdirSync(home.join('elsewhere'))
    symlinkSync(home.join('elsewhere'), join(root, 'd'))
    using tree = TargetTree.open(root)
    expect(tree.makeDirectory('d')).toBe(false)
    expect(storeAll(tree, ['d/a', 'd/e/f', 'ok'])).toEqual(['ok'])
    expect(readdirSync(home.join('elsewhere'))).toEqual([])
    expect(tree.notStored).toEqual([
      { path: 'd', reason: expect.stringContaining('a link') as string },
    ])
    expect(tree.notStoredCount).toBe(3)
  })

  test('may itself be behind a link', () => {
    mkdirSync(home.join('elsewhere'))
    symlinkSync(home.join('elsewhere'), root)
    using tree = TargetTree.open(root)
    expect(storeAll(tree, ['a'])).toEqual(['a'])
    expect(readFileSync(home.join('elsewhere', 'a'), 'utf8')).toBe('a')
  })

  test.each(['../a', 'd/../../a', '..', '.', 'd/.', '/etc/a', 'd//a', 'a\0b', ''])(
    'has no place for %j',
    (path) => {
      using tree = TargetTree.open(root)
      expect(storeAll(tree, [path])).toEqual([])
      expect(tree.notStoredCount).toBe(1)
      expect(readdirSync(home.path)).toEqual(['target'])
    },
  )

  test('passes over what something else is in the place of, and says so', () => {
    mkdirSync(join(root, 'directory', 'sub'), { recursive: true })
    writeFileSync(join(root, 'file'), 'old')
    using tree = TargetTree.open(root)
    const long = 'n'.repeat(256)
    expect(storeAll(tree, ['directory', 'file/below', long, 'last'])).toEqual(['last'])
    expect(tree.begin('directory')).toBeUndefined()
    expect(tree.notStored).toEqual([
      { path: 'directory', reason: 'a directory is in its place' },
      { path: 'file/below', reason: 'a file is in the place of the directory' },
      { path: long, reason: 'its name is too long for this file system' },
      { path: 'directory', reason: 'a directory is in its place' },
    ])
    expect(text('file')).toBe('old')
  })

  test('has no room for the place of unfinished files, nor for names that it takes for one', () => {
    using tree = TargetTree.open(root, { ignoresCase: true, ignoresForm: true })
    const paths = [stagingName, `${stagingName}/x`, 'A', 'a', 'sub/x', 'sub/X']
    expect(storeAll(tree, paths)).toEqual(['A', 'sub/x'])
    expect(tree.notStored.map(({ path }) => path)).toEqual([stagingName, 'a', 'sub/X'])
  })

  test('tells names apart as its file system does', () => {
    mkdirSync(root)
    const { ignoresCase } = new Staging(root).nameForms()
    writeFileSync(join(root, 'PROBE'), '')
    expect(readdirSync(root).includes('PROBE')).toBe(true)
    using tree = TargetTree.open(root)
    expect(storeAll(tree, ['A', 'a'])).toHaveLength(ignoresCase ? 1 : 2)
  })

  test('tells at most ten of what it could not store', () => {
    using tree = TargetTree.open(root)
    storeAll(
      tree,
      Array.from({ length: 25 }, (_, index) => `..${'x'.repeat(300)}${index}`),
    )
    expect([tree.notStored.length, tree.notStoredCount]).toEqual([10, 25])
  })
})

describe('unfinished files', () => {
  const hash = 'ab'.repeat(32)
  /** No process has this number: it is above what systems allow. */
  const deadPid = 2 ** 30

  test('of a process that ended are taken over by their hash, or cleared away', () => {
    mkdirSync(join(root, stagingName), { recursive: true })
    const left = (mark: string, key: string): void =>
      writeFileSync(join(root, stagingName, `${mark}.${key}`), key)
    left(`${deadPid}.0123abcd`, hash)
    left(`${deadPid}.0123abcd`, '7')
    left(`${process.ppid}.0123abcd`, hash)
    writeFileSync(join(root, stagingName, 'of somebody else'), '')
    const staging = new Staging(root)
    const adopted = staging.adopt(hash)
    expect(adopted).toBe(staging.pathOf(hash))
    expect(readFileSync(adopted ?? '', 'utf8')).toBe(hash)
    expect(staging.adopt(hash)).toBeUndefined()
    staging.clear('unknown')
    expect(readdirSync(staging.directory)).toHaveLength(3)
    left(`${deadPid}.0123abcd`, hash)
    staging.clear('all')
    expect(readdirSync(staging.directory)).toHaveLength(3)
    staging.close()
    expect(readdirSync(root)).toEqual([stagingName])
  })

  test('of a process that was killed are taken over before its parent knows', async () => {
    // `sleep` is what the shell becomes, which never waits for its child.
    const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'])
    try {
      const [line] = (await once(parent.stdout, 'data')) as [Buffer]
      const pid = Number(line.toString())
      process.kill(pid, 'SIGKILL')
      mkdirSync(join(root, stagingName), { recursive: true })
      writeFileSync(join(root, stagingName, `${pid}.0123abcd.${hash}`), '')
      await expect.poll(() => new Staging(root).adopt(hash)).toContain(hash)
    } finally {
      parent.kill('SIGKILL')
    }
  })

  test('are removed when the file is whole otherwise', () => {
    mkdirSync(join(root, stagingName), { recursive: true })
    for (const key of [hash, 'cd'.repeat(32)]) {
      writeFileSync(join(root, stagingName, `${deadPid}.0123abcd.${key}`), '')
    }
    const staging = new Staging(root)
    staging.forget(hash)
    staging.close()
    expect(readdirSync(staging.directory)).toEqual([`${deadPid}.0123abcd.${'cd'.repeat(32)}`])
  })

  test('are kept only when much of them has come', () => {
    using tree = TargetTree.open(root)
    for (const [path, mebibytes] of [
      ['small', 1],
      ['large', 5],
    ] as const) {
      using file = tree.begin(path, path === 'large' ? hash : 'cd'.repeat(32))
      file?.write([new Uint8Array(mebibytes * 1024 * 1024)])
    }
    const kept = readdirSync(tree.staging.directory)
    expect(kept).toEqual([expect.stringMatching(new RegExp(`^\\d+\\.[0-9a-f]{8}\\.${hash}$`))])
  })

  test('are not kept behind a link', () => {
    mkdirSync(root)
    mkdirSync(home.join('elsewhere'))
    symlinkSync(home.join('elsewhere'), join(root, stagingName))
    expect(() => new Staging(root).newPath()).toThrow('is in the way')
    expect(() => TargetTree.open(root)).toThrow('remove it')
    expect(readdirSync(home.join('elsewhere'))).toEqual([])
  })
})

function failure(code: string): Error {
  return Object.assign(new Error(code), { code })
}

test('errors of the system are about one path, or about all', () => {
  expect(reasonNotStored(failure('ENAMETOOLONG'))).toContain('too long')
  for (const code of ['ENOSPC', 'EIO', 'EROFS', 'EMFILE', 'ENOENT']) {
    expect(reasonNotStored(failure(code))).toBeUndefined()
  }
  const full = localError(failure('EDQUOT'), '/data')
  expect(full).toBeInstanceOf(LocalDiskFullError)
  expect(String(full)).toContain('no room is left on the disk of /data')
  const other = failure('EIO')
  expect(localError(other, '/data')).toBe(other)
})
