import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { findCommand, loadFamilies } from '../src/cli/command-table.ts'
import { commonFlags } from '../src/cli/families/common-flags.ts'
import { referencePath, referenceText } from './cli-reference.ts'

test('docs/cli.md is what the command table says', async () => {
  // To write it anew: tools/node tools/cli-reference.ts
  expect(readFileSync(referencePath, 'utf8')).toBe(await referenceText())
})

test('every command of every family is found by its name, and its code loads', async () => {
  const families = await loadFamilies()
  for (const command of families.flatMap(({ commands }) => commands)) {
    expect(await findCommand(command.name)).toBe(command)
    expect(typeof (await command.load())).toBe('function')
  }
})

test('no two flags of a command have the same name or letter', async () => {
  const families = await loadFamilies()
  for (const { name, flags } of families.flatMap(({ commands }) => commands)) {
    const names = [...flags, ...commonFlags].flatMap((flag) => [flag.name, flag.short ?? []].flat())
    expect([name, ...new Set(names)]).toEqual([name, ...names])
  }
})
