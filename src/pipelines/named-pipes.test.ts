import { lstatSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { FailedPreconditionError } from '../base/errors.ts'
import { makeNamedPipes } from './named-pipes.ts'

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'pachyderm-pipes-'))
})

afterEach(() => {
  rmSync(directory, { recursive: true })
})

test.each(['mkfifo', 'perl', 'python3'])('named pipes are made by %s alone', async (program) => {
  symlinkSync(join('/usr/bin', program), join(directory, program))
  const paths = ['a', "b c'd"].map((name) => join(directory, name))
  await makeNamedPipes(0o644, paths, directory)
  for (const path of paths) {
    const stats = lstatSync(path)
    expect([stats.isFIFO(), stats.mode & 0o777]).toEqual([true, 0o644])
  }
})

test('a machine on which no program makes named pipes is told what to install', async () => {
  const making = makeNamedPipes(0o600, [join(directory, 'a')], directory)
  await expect(making).rejects.toThrow(FailedPreconditionError)
  await expect(making).rejects.toThrow('install coreutils')
})
