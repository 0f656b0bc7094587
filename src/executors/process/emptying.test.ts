import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { emptyDirectory } from './emptying.ts'

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'pachyderm-emptying-'))
})

afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(directory, { recursive: true, force: true })
})

test('a directory of many files is emptied on a machine without find', async () => {
  vi.stubEnv('PATH', '/nonexistent')
  for (const name of ['a', 'b']) {
    mkdirSync(join(directory, name))
    writeFileSync(Buffer.from(`${directory}/${name}/\xff`, 'latin1'), '')
  }
  await emptyDirectory(directory, 0o755, 1)
  expect(readdirSync(directory)).toEqual([])
})
