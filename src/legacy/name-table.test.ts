import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import { NameTable } from './name-table.ts'

const valueOf = (name: string): Uint8Array => hash('sha256', `value of ${name}`, 'buffer')

test('names of any number are found with their values, and others are not', () => {
  const table = new NameTable(32)
  const names = Array.from({ length: 20_000 }, (_, at) => `name ${at}`)
  for (const name of names) table.add(name, valueOf(name))
  expect(table.size).toBe(names.length)
  const isWrong = (name: string): boolean =>
    Buffer.compare(table.get(name) ?? new Uint8Array(0), valueOf(name)) !== 0
  expect(names.filter(isWrong)).toEqual([])
  expect(names.filter((name) => table.has(`another ${name}`))).toEqual([])
  expect(table.memoryBytes / names.length).toBeLessThan(90)
})

test('a name that is added again has its last value, and counts once', () => {
  const table = new NameTable(1)
  table.add('a', Uint8Array.of(1))
  table.add('a', Uint8Array.of(2))
  expect([table.size, table.get('a')]).toEqual([1, Uint8Array.of(2)])
})
