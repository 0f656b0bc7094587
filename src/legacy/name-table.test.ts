import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import { NameTable } from './name-table.ts'

test('names of any number are found with their values, and others are not', () => {
  const table = new NameTable(32)
  const count = 20_000
  const valueOf = (at: number): Uint8Array => hash('sha256', `value ${at}`, 'buffer')
  for (let at = 0; at < count; at += 1) table.add(`name ${at}`, valueOf(at))
  expect(table.size).toBe(count)
  for (let at = 0; at < count; at += 1) {
    const found = table.get(`name ${at}`)
    if (found === undefined || Buffer.compare(found, valueOf(at)) !== 0) {
      expect([at, found]).toEqual([at, valueOf(at)])
    }
    if (table.has(`other ${at}`)) expect(`other ${at}`).toBe('no name')
  }
  expect(table.get('other')).toBeUndefined()
  expect(table.memoryBytes / count).toBeLessThan(90)
})

test('a name that is added again has its last value, and counts once', () => {
  const table = new NameTable(1)
  table.add('a', Uint8Array.of(1))
  table.add('a', Uint8Array.of(2))
  expect([table.size, table.get('a')]).toEqual([1, Uint8Array.of(2)])
})
