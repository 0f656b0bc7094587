import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { seenAt, seenOnPath } from './seen-files.ts'

let base = ''
let root = ''

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'seen-'))
  root = join(base, 'root')
  mkdirSync(join(root, 'usr/bin'), { recursive: true })
  writeFileSync(join(root, 'usr/bin/tool'), 'tool', { mode: 0o755 })
  writeFileSync(join(root, 'usr/bin/data'), 'data', { mode: 0o644 })
  writeFileSync(join(base, 'secret'), 'secret')
})

afterEach(() => {
  rmSync(base, { recursive: true, force: true })
})

test('links are followed as from the root, and lead nowhere else', () => {
  symlinkSync('usr/bin', join(root, 'bin'))
  symlinkSync('/bin/tool', join(root, 'absolute'))
  symlinkSync(join(base, 'secret'), join(root, 'out'))
  symlinkSync('../../../../secret', join(root, 'up'))
  symlinkSync('circle', join(root, 'circle'))
  for (const path of ['/bin/tool', '/absolute', '//usr/./bin/../bin/tool', '/../../usr/bin/tool']) {
    expect(seenAt(root, path)).toMatchObject({ kind: 'file', beginning: Buffer.from('tool') })
  }
  for (const path of ['/out', '/up', '/circle', '/none', '/usr/bin/tool/below']) {
    expect(seenAt(root, path)).toEqual({ kind: 'missing' })
  }
})

test('nothing is opened but files', () => {
  execFileSync('mkfifo', [join(root, 'pipe')])
  expect(seenAt(root, '/pipe')).toEqual({ kind: 'pipe' })
  expect(seenAt(root, '/usr')).toEqual({ kind: 'directory' })
  expect(seenAt('/', '/dev/null')).toEqual({ kind: 'other' })
  expect(seenAt('/none', '/')).toEqual({ kind: 'missing' })
})

test('what leads through too many names is not followed to its end', () => {
  mkdirSync(join(root, 'd'))
  symlinkSync('d', join(root, 'l9'))
  for (let index = 8; index >= 0; index -= 1) {
    symlinkSync(`l${index + 1}${'/../d'.repeat(150)}`, join(root, `l${index}`))
  }
  expect(seenAt(root, '/l7')).toEqual({ kind: 'directory' })
  expect(seenAt(root, '/l0')).toEqual({ kind: 'unknown' })
  expect(seenAt(root, 'd/../'.repeat(501))).toEqual({ kind: 'unknown' })
})

test('of a long way no more is open than leads from the root', () => {
  const script = `import { seenAt } from ${JSON.stringify(import.meta.resolve('./seen-files.ts'))}
    console.log(seenAt(${JSON.stringify(root)}, 'usr/../'.repeat(400)).kind)`
  const run = ['--input-type=module', '-e', script]
  const program = ['-c', 'ulimit -n 100; exec "$0" "$@"', process.execPath, ...run]
  expect(execFileSync('sh', program, { encoding: 'utf8' })).toBe('directory\n')
})

test('of a long file the beginning is read', () => {
  writeFileSync(join(root, 'long'), Buffer.alloc(1_000_000, 'x'))
  const seen = seenAt(root, '/long')
  expect(seen).toMatchObject({ kind: 'file', sizeBytes: 1_000_000 })
  expect('beginning' in seen && seen.beginning.length).toBe(65_536)
})

test('a program on a path is the first file that may be executed', () => {
  expect(seenOnPath(root, 'tool', '/none:/usr:/usr/bin')).toBe('/usr/bin/tool')
  expect(seenOnPath(root, 'data', '/usr/bin')).toBeUndefined()
})
