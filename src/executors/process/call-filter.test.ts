import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

import { filteredBy, filterLoaders, callFilter } from './call-filter.ts'

const x64 = {
  prctl: 157,
  keys: [
    { kind: 0xc000003e, first: 248, last: 250 },
    { kind: 0x40000003, first: 286, last: 288 },
  ],
}
const allowed = 0x7fff0000
const noSuchCall = 0x50026

/** What the kernel makes of a call: the machine that filters are written for. */
function answerOf(
  program: Buffer,
  call: { readonly kind: number; readonly number: number },
): number {
  let value = 0
  for (let at = 0; at < program.length; at += 8) {
    const code = program.readUInt16LE(at)
    const operand = program.readUInt32LE(at + 4)
    const jump = (isTrue: boolean): void =>
      void (at += 8 * program.readUInt8(at + (isTrue ? 2 : 3)))
    if (code === 0x06) return operand
    if (code === 0x20) value = operand === 4 ? call.kind : call.number
    else if (code === 0x54) value = (value & operand) >>> 0
    else if (code === 0x15) jump(value === operand)
    else if (code === 0x25) jump(value > operand)
    else if (code === 0x35) jump(value >= operand)
    else throw new Error(`unknown instruction ${code}`)
  }
  throw new Error('the program has no end')
}

test.each([
  ['x86-64', 0xc000003e, 0, [247, 251], [248, 249, 250]],
  ['x32', 0xc000003e, 0x40000000, [247, 251], [248, 249, 250]],
  ['i386', 0x40000003, 0, [248, 250, 285, 289], [286, 287, 288]],
])(
  'calls for keys, and clone3, of programs for %s are those that fail',
  (_name, kind, bit, others, keys) => {
    const program = callFilter(x64)
    const answers = (numbers: readonly number[]): readonly number[] =>
      numbers.map((number) => answerOf(program, { kind, number: bit + number }))
    expect(new Set(answers([...others, 0, 1, 434, 436]))).toEqual(new Set([allowed]))
    expect(new Set(answers([...keys, 435]))).toEqual(new Set([noSuchCall]))
  },
)

test('every call of a program of an unknown kind fails', () => {
  expect(answerOf(callFilter(x64), { kind: 0xc00000b7, number: 0 })).toBe(noSuchCall)
})

test('every loader of this machine has the kernel hold the filter, also as an ordinary user', () => {
  const path = '/usr/bin:/bin'
  const ends = filterLoaders(path).map((loader) => {
    const show = ['sed', '-n', 's/^Seccomp:\\s*//p', '/proc/self/status']
    const [program, ...rest] = [...filteredBy(loader), ...show]
    return spawnSync('unshare', ['--user', '--map-root-user', program ?? '', ...rest], {
      encoding: 'utf8',
      env: { PATH: path },
    })
  })
  expect(ends.length).toBeGreaterThan(0)
  for (const { stdout, stderr } of ends) expect([stdout, stderr]).toEqual(['2\n', ''])
})

test('a machine has the loaders that are on its path', () => {
  expect(filterLoaders('/nonexistent:relative')).toEqual([])
})
