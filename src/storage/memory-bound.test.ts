import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { pachdFlags } from '../testing/pachd-flags.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'

const child = fileURLToPath(new URL('../testing/memory-child.ts', import.meta.url))

// About 95 MiB are Node's and SQLite's own.
test.each([
  { what: 'a content larger than the bound on memory', mib: 640, count: 1, mibMax: 350 },
  { what: 'many contents at once', mib: 6, count: 64, mibMax: 480 },
])('$what: written and read within it', async ({ mib, count, mibMax }) => {
  await using directory = await TemporaryDirectory.create()
  const args = [...pachdFlags(), child, directory.path, String(mib), String(count)]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  expect(Number(stdout) / 1024).toBeLessThan(mibMax)
})
