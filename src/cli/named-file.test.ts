import { spawnSync } from 'node:child_process'
import { chmod, lstat, open, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { createNamedFile, namedFile } from './named-file.ts'

let home: TemporaryDirectory
beforeEach(async () => {
  home = await TemporaryDirectory.create()
})
afterEach(async () => {
  await home[Symbol.asyncDispose]()
})

async function write(path: string, text: string): Promise<void> {
  await using file = await createNamedFile(path)
  await file.write(text)
  await file.complete()
}

test('a file has its old content until all of the new one is there, and keeps its permissions', async () => {
  const path = home.join('file')
  await writeFile(path, 'old')
  await chmod(path, 0o600)
  {
    await using file = await createNamedFile(path)
    await file.write('given up')
    expect(await readFile(path, 'utf8')).toBe('old')
  }
  expect(await readFile(path, 'utf8')).toBe('old')
  await write(path, 'new')
  expect(await readFile(path, 'utf8')).toBe('new')
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(await readdir(home.path)).toEqual(['file'])
})

test('a named pipe stays one, and who reads it gets what is written', async () => {
  const path = home.join('pipe')
  expect(spawnSync('mkfifo', [path]).status).toBe(0)
  const read = readFile(path, 'utf8')
  await write(path, 'through')
  expect(await read).toBe('through')
  expect((await lstat(path)).isFIFO()).toBe(true)
  expect(await readdir(home.path)).toEqual(['pipe'])
})

test('a pipe that nobody reads any more is said to be that', async () => {
  const path = home.join('pipe')
  spawnSync('mkfifo', [path])
  const reading = open(path, 'r')
  await using file = await createNamedFile(path)
  await (await reading).close()
  await expect(file.write('x')).rejects.toThrow(/pipe: nobody reads/)
})

test('a device stays one', async ({ skip }) => {
  const path = home.join('device')
  // Of our own, like /dev/null.
  if (spawnSync('mknod', [path, 'c', '1', '3']).status !== 0) skip()
  const isUsable = await open(path, 'w').then(
    async (file) => {
      await file.close()
      return true
    },
    () => false,
  )
  if (!isUsable) skip()
  await write(path, 'gone')
  expect((await lstat(path)).isCharacterDevice()).toBe(true)
  expect(await readdir(home.path)).toEqual(['device'])
})

test.each([
  ['a file', async (path: string) => await writeFile(path, 'old')],
  ['no file yet', async () => {}],
])('of a link that leads to %s the target is written, and the link stays', async (_, prepare) => {
  await prepare(home.join('target'))
  await symlink('target', home.join('middle'))
  await symlink(home.join('middle'), home.join('link'))
  await write(home.join('link'), 'new')
  expect(await readFile(home.join('target'), 'utf8')).toBe('new')
  for (const name of ['link', 'middle']) {
    expect((await lstat(home.join(name))).isSymbolicLink()).toBe(true)
  }
})

test('behind a descriptor it is written on, whatever file that is', async () => {
  const path = home.join('log')
  await writeFile(path, 'before\n')
  await using descriptor = await open(path, 'a')
  const { ino } = await stat(path)
  await write(`/proc/self/fd/${descriptor.fd}`, 'more\n')
  await descriptor.writeFile('after\n')
  expect(await readFile(path, 'utf8')).toBe('before\nmore\nafter\n')
  expect((await stat(path)).ino).toBe(ino)
})

test('what can be no file is refused at once, with advice', async () => {
  await symlink('two', home.join('one'))
  await symlink('one', home.join('two'))
  expect(() => namedFile(home.path)).toThrow(/is a directory: name the file to be made/)
  expect(() => namedFile(home.join('no/file'))).toThrow(/no is no directory: make it first/)
  expect(() => namedFile(home.join('one'))).toThrow(/ELOOP/)
  await symlink('nowhere/file', home.join('astray'))
  expect(() => namedFile(home.join('astray'))).toThrow(/nowhere is no directory/)
  await expect(createNamedFile('/proc/none')).rejects.toThrow(/cannot write \/proc\/none/)
})
