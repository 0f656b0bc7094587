import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { openStoredVersioning } from '../testing/stored-versioning.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { openTestVersioning } from '../testing/test-versioning.ts'
import type { Versioning } from './versioning.ts'

const branch = 'master'

async function put({ writes }: Versioning, path: string, isPart: boolean): Promise<void> {
  await using bulk = await writes.bulk('r', branch, { isPart })
  await bulk.put(path, utf8(path))
  await bulk.commit()
}

async function expectNoFailure(versioning: Versioning): Promise<void> {
  await versioning.commits.giveUpHeld((_commit, error) => expect.fail(String(error)))
}

test.each([
  ['nothing', [], undefined],
  ['a part', [true], undefined],
  ['parts', [true, true], undefined],
  ['what is whole', [false], ['/0']],
  ['a part, and what completes it', [true, false], ['/0', '/1']],
] as const)('a commit that is given up with %s in it', async (_what, puts, paths) => {
  await using world = await openTestVersioning()
  const { versioning } = world
  const { commits, repos } = versioning
  await repos.create({ name: 'r' })
  const { id: before } = await commits.start({ repo: 'r', branch })
  await commits.finish('r', branch)
  const { id } = await commits.hold({ repo: 'r', branch })
  for (const [index, isPart] of puts.entries()) await put(versioning, `/${index}`, isPart)
  await commits.giveUp('r', id)
  const head = await commits.inspect('r', branch)
  expect(head.id).toBe(paths === undefined ? before : id)
  expect(head.state.kind).toBe('finished')
  expect(await world.paths('r', branch)).toEqual(paths ?? [])
  // Once more is nothing: it has ended.
  await commits.giveUp('r', id)
  expect(await world.paths('r', branch)).toEqual(paths ?? [])
})

test('a commit that its holder has finished stays when it is let go of', async () => {
  await using world = await openTestVersioning()
  const { commits, repos } = world.versioning
  await repos.create({ name: 'r' })
  const { id } = await commits.hold({ repo: 'r', branch })
  await put(world.versioning, '/a', true)
  await commits.finish('r', id)
  await commits.giveUp('r', id)
  expect(await world.paths('r', id)).toEqual(['/a'])
  expect(await world.database.read((tx) => tx.all('SELECT id FROM held_commits'))).toEqual([])
})

test('what a process held is given up after its end, and what it only started stays open', async () => {
  await using directory = await TemporaryDirectory.create()
  const ids: Record<string, string> = {}
  {
    await using opened = await openStoredVersioning(directory.path)
    const { commits, repos } = opened.versioning
    await repos.create({ name: 'r' })
    ids['part'] = (await commits.hold({ repo: 'r', branch })).id
    await put(opened.versioning, '/a', true)
    ids['whole'] = (await commits.hold({ repo: 'r', branch: 'whole' })).id
    const file = { repo: 'r', commit: 'whole', path: '/b' }
    await opened.versioning.writes.put(file, utf8('b'))
    ids['started'] = (await commits.start({ repo: 'r', branch: 'started' })).id
  }
  await using opened = await openStoredVersioning(directory.path)
  await expectNoFailure(opened.versioning)
  const { commits } = opened.versioning
  await expect(commits.inspect('r', ids['part'] ?? '')).rejects.toThrow('not found')
  expect((await commits.inspect('r', ids['whole'] ?? '')).state.kind).toBe('finished')
  expect((await commits.inspect('r', ids['started'] ?? '')).state.kind).toBe('open')
  expect(await opened.database.read((tx) => tx.all('SELECT id FROM held_commits'))).toEqual([])
  expect(await opened.database.read((tx) => tx.all('SELECT id FROM staged_writes'))).toEqual([])
})

test('one that cannot be finished is told of, and looked at again by the next start', async () => {
  await using world = await openTestVersioning()
  const { commits, repos, writes } = world.versioning
  await repos.create({ name: 'r' })
  const { id } = await commits.hold({ repo: 'r', branch })
  await writes.put({ repo: 'r', commit: id, path: '/a' }, utf8('x'))
  await writes.put({ repo: 'r', commit: id, path: '/a/b' }, utf8('x'))
  const failures: unknown[] = []
  await commits.giveUpHeld((commit, error) => failures.push([commit, error]))
  expect(failures).toEqual([[{ repo: 'r', id }, expect.any(Error)]])
  await writes.delete({ repo: 'r', commit: id, path: '/a' })
  await expectNoFailure(world.versioning)
  expect((await commits.inspect('r', id)).state.kind).toBe('finished')
})
