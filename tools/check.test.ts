import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../src/testing/temporary-directory.ts'

const program = fileURLToPath(new URL('./check.ts', import.meta.url))

test('a check whose tool is missing has failed', async () => {
  await using directory = await TemporaryDirectory.create()
  const { code, out } = await new Promise<{ code: unknown; out: string }>((resolve) => {
    execFile(process.execPath, [program], { cwd: directory.path }, (error, stdout) => {
      resolve({ code: error?.code, out: stdout })
    })
  })
  expect(code).toBe(1)
  expect(out).toContain('FAILED  lint')
  expect(out).toContain('node_modules/oxlint/bin/oxlint is missing; to install what is needed')
  // Seven steps, and the tests.
  expect(out).toMatch(/^0 passed, 8 failed$/m)
})
