import { expect, test } from 'vitest'
import { temporaryDatabase } from '../testing/temporary-database.ts'
import { pagesOf } from './pages.ts'

type Row = { readonly name: string }

test('a key that is no text ends the pages, which would else never end', async () => {
  await using held = await temporaryDatabase([
    { layer: 'test', steps: [['CREATE TABLE things (name TEXT NOT NULL PRIMARY KEY)']] },
  ])
  const { database } = held
  const add = async (value: string): Promise<number> =>
    database.transact((tx) => tx.run(`INSERT INTO things (name) VALUES (${value})`))
  for (const name of ['a', 'b', 'c']) await add(`'${name}'`)
  const pages = (): Promise<readonly (readonly Row[])[]> =>
    Array.fromAsync(
      pagesOf<Row>(database, {
        sql: 'SELECT name FROM things WHERE name > ? ORDER BY name',
        first: [''],
        keyOf: ({ name }) => [name],
        pageRows: 1,
      }),
    )
  expect((await pages()).flat().map(({ name }) => name)).toEqual(['a', 'b', 'c'])
  await add("CAST(x'ff22' AS TEXT)")
  await expect(pages()).rejects.toThrow('a key is stored that is no text')
})
