import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { DuSums } from './disk-sums.ts'

let home = ''

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pachyderm-sums-'))
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

/** What a process prints that has no more rights than a file's owner. */
function printedAsOwner(body: string): unknown {
  const script = `import { DuSums } from ${JSON.stringify(import.meta.resolve('./disk-sums.ts'))}
    using sums = new DuSums()
    const sum = await sums.${body}
    console.log(JSON.stringify(sum))`
  const without = ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--']
  const run = [process.execPath, '--input-type=module', '-e', script, home]
  const [program = '', ...args] = [...(process.geteuid?.() === 0 ? without : []), ...run]
  return JSON.parse(execFileSync(program, args, { encoding: 'utf8' }))
}

test('what code takes from sight is counted, and stays out of sight', () => {
  const directory = join(home, 'd')
  mkdirSync(directory)
  for (const name of ['a', 'b']) writeFileSync(join(directory, name), Buffer.alloc(1024 ** 2))
  chmodSync(directory, 0)
  const bytes = printedAsOwner('bytesIn([process.argv[1]])')
  expect(bytes).toMatchObject({ isWhole: true })
  expect((bytes as { count: number }).count).toBeGreaterThanOrEqual(2 * 1024 ** 2)
  expect(printedAsOwner('filesIn([process.argv[1]])')).toEqual({ isWhole: true, count: 4 })
  expect(statSync(directory).mode & 0o777).toBe(0)
})

test('of nothing there is nothing, and what is missing is not whole', async () => {
  using sums = new DuSums()
  expect(await sums.bytesIn([])).toEqual({ count: 0, isWhole: true })
  expect(await sums.bytesIn([join(home, 'none')])).toEqual({ count: 0, isWhole: false })
})
