import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

import { programSizeFault } from './program-sizes.ts'

/** As the kernel finds it. */
function isTaken(
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
): boolean {
  const [program = '', ...args] = command
  return spawnSync(program, args, { env: environment }).status === 0
}

const longest = 'x'.repeat(131_071)
/** Two bytes each. */
const letters = 'é'.repeat(65_536)

test.each([
  [['true', longest], {}, undefined],
  [['true', `${longest}x`], {}, 'transform.cmd[1] has 131072 bytes'],
  [['true', letters], {}, 'transform.cmd[1] has 131072 bytes'],
  [['true'], { A: longest.slice(2) }, undefined],
  [['true'], { A: longest.slice(1) }, 'transform.env has 131072 bytes in "A"'],
])('what the kernel gives no program is refused, and nothing less', (command, variables, text) => {
  const environment = variables as Readonly<Record<string, string>>
  expect(isTaken(command, environment)).toBe(text === undefined)
  const fault = programSizeFault({ command, environment })
  expect(fault?.startsWith(text ?? '')).toBe(text === undefined ? undefined : true)
})

/** A program with so many long arguments. */
function many(count: number): readonly string[] {
  return ['true', ...Array.from({ length: count }, () => 'x'.repeat(100_000))]
}

test('all together have a bound, too', () => {
  expect(programSizeFault({ command: many(19), environment: {} })).toBeUndefined()
  expect(programSizeFault({ command: many(20), environment: {} }, 'err_cmd')).toMatch(
    /^transform\.err_cmd and transform\.env have 2000\d+ bytes together/,
  )
})
