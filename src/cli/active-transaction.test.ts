import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { ActiveTransaction } from './active-transaction.ts'

test('the active transaction is remembered for each address', async () => {
  await using home = await TemporaryDirectory.create()
  const environment = { HOME: home.path }
  const here = new ActiveTransaction(environment, 'here:1')
  const there = new ActiveTransaction(environment, 'there:1')
  expect(here.id).toBeUndefined()
  here.set('one')
  there.set('two')
  expect([here.id, there.id]).toEqual(['one', 'two'])
  here.clear('two')
  expect(here.id).toBe('one')
  here.clear('one')
  expect([here.id, there.id]).toEqual([undefined, 'two'])
  const text = await readFile(home.join('.pachyderm/transactions.json'), 'utf8')
  expect(JSON.parse(text)).toEqual({ active: { 'there:1': 'two' } })
})

test('a file that makes no sense is named, and an unset HOME is advised on', async () => {
  await using home = await TemporaryDirectory.create()
  const active = new ActiveTransaction({ HOME: home.path }, 'here:1')
  active.set('one')
  const path = home.join('.pachyderm/transactions.json')
  for (const text of ['{', '[]', '{"active": null}']) {
    await writeFile(path, text)
    expect(() => active.id).toThrow(`cannot read which transaction is active from ${path}`)
  }
  const homeless = new ActiveTransaction({}, 'here:1')
  expect(homeless.id).toBeUndefined()
  expect(() => homeless.set('one')).toThrow('--no-activate')
})
