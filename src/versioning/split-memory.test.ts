import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { pachdFlags } from '../testing/pachd-flags.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'

const child = fileURLToPath(new URL('../testing/split-memory-child.ts', import.meta.url))

test.each(['line', 'sql'])(
  'a stream of %s records that is larger than the bound on memory is split within it',
  async (format) => {
    await using directory = await TemporaryDirectory.create()
    const args = [...pachdFlags(), child, directory.path, format, '512']
    const { stdout } = await promisify(execFile)(process.execPath, args)
    expect(Number(stdout) / 1024).toBeLessThan(340)
  },
  90_000,
)
