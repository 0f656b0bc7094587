import { expect, test } from 'vitest'
import { Stage } from './stage.ts'

test('what cannot be put is refused at once, and leaves no commit behind', async () => {
  await using stage = await Stage.open()
  await stage.quietly(['create-repo', 'data'])
  await stage.quietly(['put-file', 'data', 'master', 'd/a', '-c'], 'content')
  const before = await stage.quietly(['list-commit', 'data', '--raw'])
  const conflict = 'could not put file at "/d"; a node of type directory is already there'
  for (const [path, text] of [
    ['../x', 'leads out of the root'],
    ['q\ufffd', 'is not UTF-8'],
    ['/', 'cannot put a file at the root'],
    ['d', conflict],
  ] as const) {
    const { code, err } = await stage.quietly(['put-file', 'data', 'master', path, '-c'], 'x')
    expect(err).toContain(text)
    expect(code).toBe(1)
  }
  expect(await stage.quietly(['list-commit', 'data', '--raw'])).toEqual(before)
  // Nor does a conflict spoil a commit that others may have put to.
  await stage.quietly(['start-commit', 'data', 'master'])
  expect((await stage.quietly(['put-file', 'data', 'master', 'd'], 'x')).err).toContain(conflict)
  expect(await stage.quietly(['finish-commit', 'data', 'master'])).toMatchObject({ code: 0 })
})
