import { closeSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { SpareFiles } from './spare-files.ts'

let home = ''

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pachyderm-spares-'))
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

test('a file that is kept is taken once, and more than it may keep go', () => {
  const directory = join(home, 'spares')
  const spares = new SpareFiles(directory)
  expect(spares.take(join(home, 'none'))).toBeUndefined()
  expect(readdirSync(home)).toEqual([])
  for (let index = 0; index < 70; index += 1) {
    writeFileSync(join(home, `${index}`), '')
    spares.keep(join(home, `${index}`))
  }
  expect(readdirSync(home)).toEqual(['spares'])
  expect(readdirSync(directory)).toHaveLength(64)
  for (let index = 0; index < 64; index += 1) {
    const descriptor = spares.take(join(home, `${index}`))
    expect(existsSync(join(home, `${index}`))).toBe(true)
    if (descriptor !== undefined) closeSync(descriptor)
  }
  expect(spares.take(join(home, 'another'))).toBeUndefined()
  expect(readdirSync(directory)).toEqual([])
})
