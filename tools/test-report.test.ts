import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

import { TemporaryDirectory } from '../src/testing/temporary-directory.ts'
import { reportVariable, secondTries } from './test-report.ts'

const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
const reporter = fileURLToPath(new URL('./test-report.ts', import.meta.url))

const files = {
  'a.test.ts': `
    test('is run', () => {})
    test('is run, too', () => {})
    test.skip('needs a disk', () => {})
    test('is wrong', () => { throw new Error('of one line\\nand another') })
  `,
  'unsteady.test.ts': `
    let tries = 0
    test('is too slow once', () => { expect(++tries).toBe(2) })
    test('has a counterexample once', () => { if (++tries < 4) throw new Error('Property failed after 2 tests') })
  `,
  'b.test.ts': `
    describe('with an engine', () => {
      beforeAll(() => { throw new Error('that does not start') })
      test('is never begun', () => {})
    })
  `,
  'c.test.ts': `throw new Error('not loaded')`,
  'd.test.ts': `
    test('leaves something', () => { void Promise.reject(new Error('that nobody waits for')) })
  `,
}

test('a report counts and names what failed, in a test or outside of one, what passed only when tried again, and what was left out', async () => {
  await using directory = await TemporaryDirectory.create()
  for (const [name, text] of Object.entries(files)) await writeFile(directory.join(name), text)
  const report = directory.join('report.json')
  const args = [vitest, 'run', '--globals', '--root', directory.path, `--reporter=${reporter}`]
  const code = await new Promise((resolve) => {
    const env = { ...process.env, [reportVariable]: report }
    execFile(process.execPath, [...args, ...secondTries], { env, cwd: directory.path }, (error) =>
      resolve(error?.code),
    )
  })
  expect(code).toBe(1)
  const read = JSON.parse(await readFile(report, 'utf8')) as { failures: readonly string[] }
  expect({ ...read, failures: read.failures.toSorted() }).toEqual({
    passed: 4,
    failed: 5,
    unsteady: ['unsteady.test.ts: is too slow once: expected 1 to be 2 // Object.is equality'],
    failures: [
      'a.test.ts: is wrong: of one line',
      'b.test.ts: with an engine: that does not start',
      'c.test.ts: not loaded',
      'outside of any test: that nobody waits for',
      'unsteady.test.ts: has a counterexample once: Property failed after 2 tests',
    ],
    skipped: ['a.test.ts: needs a disk'],
  })
})
