import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { expect, test } from 'vitest'

import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import { type BuildFolder, readBuildFolder } from './folder.ts'

async function folderOf(files: Readonly<Record<string, string>>): Promise<TemporaryDirectory> {
  const directory = await TemporaryDirectory.create()
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(directory.join(path)), { recursive: true })
    writeFileSync(directory.join(path), text)
  }
  return directory
}

function read(path: string): BuildFolder {
  return readBuildFolder(path, () => {})
}

/** What another program finds in the archive: rights and names. */
async function listing(folder: string): Promise<readonly string[]> {
  const pieces = await Array.fromAsync(readBuildFolder(folder, () => {}).archive())
  const out = execFileSync('tar', ['-tvf', '-'], { input: Buffer.concat(pieces) }).toString()
  const lines = out.trimEnd().split('\n')
  return lines.map((line) => [line.slice(0, 10), line.split(' ').at(-1)].join(' ')).toSorted()
}

test('the archive holds the files, and which of them are programs', async () => {
  await using folder = await folderOf({
    Dockerfile: 'FROM x\n',
    'bin/tool': 'text',
    empty: '',
    '.git/config': 'x',
    'left/out': 'x',
    'other/left': 'x',
    '.dockerignore': '# what is not needed\nleft\n/other/left\n',
  })
  chmodSync(folder.join('bin/tool'), 0o755)
  symlinkSync('/etc', folder.join('link'))
  expect(await listing(folder.path)).toEqual([
    '-rw-r--r-- .dockerignore',
    '-rw-r--r-- Dockerfile',
    '-rw-r--r-- empty',
    '-rwxr-xr-x bin/tool',
  ])
})

test('a link to a file of the folder is that file, and one that leads out is told and left out', async () => {
  await using elsewhere = await folderOf({ secret: 'x' })
  await using folder = await folderOf({ Dockerfile: 'FROM x\n', 'd/a': 'a' })
  symlinkSync('d/a', folder.join('inner'))
  symlinkSync(elsewhere.join('secret'), folder.join('evil'))
  symlinkSync(`../../${basename(elsewhere.path)}/secret`, folder.join('d/relative'))
  expect(await listing(folder.path)).toEqual([
    '-rw-r--r-- Dockerfile',
    '-rw-r--r-- d/a',
    '-rw-r--r-- inner',
  ])
  const told: string[] = []
  readBuildFolder(folder.path, (text) => told.push(text))
  expect(told.toSorted()).toEqual(
    ['d/relative', 'evil'].map(
      (path) => `left out: ${folder.join(path)} (a link out of the folder)`,
    ),
  )
})

test('a Dockerfile is added where there is none', async () => {
  await using folder = await folderOf({ 'main.py': 'print(1)\n' })
  expect(await listing(folder.path)).toEqual(['-rw-r--r-- Dockerfile', '-rw-r--r-- main.py'])
})

test('the same folder has the same archive', async () => {
  await using folder = await folderOf({ Dockerfile: 'FROM x\n', a: 'a' })
  const archive = async (): Promise<Buffer> =>
    Buffer.concat(await Array.fromAsync(readBuildFolder(folder.path, () => {}).archive()))
  const first = await archive()
  chmodSync(folder.join('a'), 0o600)
  writeFileSync(folder.join('a'), 'a')
  expect((await archive()).equals(first)).toBe(true)
})

test('what is no folder is refused, and patterns that are not known are', async () => {
  await using folder = await folderOf({ '.dockerignore': '**/*.log\n', Dockerfile: 'FROM x\n' })
  expect(() => read(folder.path)).toThrow('"**/*.log" has a wildcard')
  expect(() => read(folder.join('Dockerfile'))).toThrow('is no folder')
  expect(() => read(folder.join('none'))).toThrow('is no folder')
})
