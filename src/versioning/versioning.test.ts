import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { openTestVersioning } from '../testing/test-versioning.ts'

test('what is put can be read before and after the finish', async () => {
  await using world = await openTestVersioning()
  const { commits, files, repos, writes } = world.versioning
  await repos.create({ name: 'r' })
  const { id } = await commits.start({ repo: 'r', branch: 'master' })
  await writes.put({ repo: 'r', commit: 'master', path: 'a/b' }, utf8('one'))
  await writes.put({ repo: 'r', commit: 'master', path: '/a/b' }, utf8('two'))
  expect(await world.read('r', 'master', 'a/b')).toBe('onetwo')
  const finished = await commits.finish('r', 'master')
  expect(finished.id).toBe(id)
  expect(await world.read('r', id, 'a/b')).toBe('onetwo')
  expect((await files.inspect({ repo: 'r', commit: id, path: '/' })).sizeBytes).toBe(6)
})
