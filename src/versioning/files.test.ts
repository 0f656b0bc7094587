import { afterAll, beforeAll, expect, test } from 'vitest'
import { collectBytes, utf8, utf8Text } from '../base/bytes.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'

let world: TestVersioning

beforeAll(async () => {
  world = await openTestVersioning()
  const { commits, repos, writes } = world.versioning
  await repos.create({ name: 'r' })
  await commits.start({ repo: 'r', branch: 'first' })
  for (const path of ['a', 'd/f', 'd/g', 'd/sub/h']) {
    await writes.put({ repo: 'r', commit: 'first', path }, utf8(`${path}.`))
  }
  await commits.finish('r', 'first')
  await commits.start({ repo: 'r', branch: 'master', parent: 'first' })
  const file = { repo: 'r', commit: 'master' }
  await writes.put({ ...file, path: 'd/f' }, utf8('more'))
  await writes.put({ ...file, path: 'new' }, utf8('new'))
  await writes.delete({ ...file, path: 'd/sub' })
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

/** A test that holds for the open commit must hold for the finished one. */
const states = ['open', 'finished'] as const

for (const state of states) {
  test(`an ${state} commit shows its parent’s files and its own`, async () => {
    const { files } = world.versioning
    if (state === 'finished') await world.versioning.commits.finish('r', 'master')
    const master = { repo: 'r', commit: 'master' }
    expect(await world.paths('r', 'master')).toEqual(['/a', '/d/f', '/d/g', '/new'])
    const listed = await Array.fromAsync(files.list({ ...master, path: 'd/' }))
    expect(listed.map(({ path, sizeBytes }) => [path, sizeBytes])).toEqual([
      ['/d/f', 8],
      ['/d/g', 4],
    ])
    const globbed = await Array.fromAsync(files.glob({ ...master, pattern: '*/[fg]' }))
    expect(globbed).toEqual(listed)
    const root = await Array.fromAsync(files.glob({ ...master, pattern: '/' }))
    expect(root.map(({ path }) => path)).toEqual([''])
    expect(await diffPaths({ ...master, path: '' }, false)).toEqual([
      ['/d/f', 4, 8],
      ['/d/sub/h', 8, undefined],
      ['/new', undefined, 3],
    ])
    expect(await diffPaths({ ...master, path: '' }, true)).toEqual([
      ['/d', 16, 12],
      ['/new', undefined, 3],
    ])
    const tree = await files.tree('r', 'master')
    expect(tree.commit.state.kind).toBe(state)
    expect(tree.tree).toMatchObject({ sizeBytes: 17, fileCount: 4 })
  })
}

async function diffPaths(
  file: { readonly repo: string; readonly commit: string; readonly path: string },
  shallow: boolean,
): Promise<unknown> {
  const found = await Array.fromAsync(world.versioning.files.diff({ after: file, shallow }))
  return found.map(({ path, before, after }) => [path, before?.sizeBytes, after?.sizeBytes])
}

test('two paths of different commits can be compared', async () => {
  const found = await Array.fromAsync(
    world.versioning.files.diff({
      after: { repo: 'r', commit: 'master', path: 'd/f' },
      before: { repo: 'r', commit: 'first', path: 'missing' },
      shallow: false,
    }),
  )
  expect(found.map(({ path, before, after }) => [path, before, after?.path])).toEqual([
    ['', undefined, '/d/f'],
  ])
})

test('a file is read in part or whole', async () => {
  const { files } = world.versioning
  const file = { repo: 'r', commit: 'first', path: '/d/f' }
  const read = async (range: { offset?: number; length?: number }): Promise<string> => {
    const { bytes } = await files.read(file, range)
    return utf8Text(await collectBytes(bytes, 100))
  }
  expect(await read({})).toBe('d/f.')
  expect(await read({ offset: 1 })).toBe('/f.')
  expect(await read({ offset: 1, length: 2 })).toBe('/f')
  expect(await read({ length: 0 })).toBe('d/f.')
  expect(await read({ offset: 9 })).toBe('')
})

test('what is not there is named in the error', async () => {
  const { files } = world.versioning
  const { id } = await world.versioning.commits.inspect('r', 'first')
  const file = { repo: 'r', commit: 'first', path: 'nope' }
  const missing = `file /nope not found in repo r at commit ${id}`
  await expect(files.read(file)).rejects.toThrow(missing)
  await expect(files.inspect(file)).rejects.toThrow(missing)
  await expect(Array.fromAsync(files.walk(file))).rejects.toThrow(missing)
  await expect(Array.fromAsync(files.list(file))).rejects.toThrow('no node at "/nope"')
  await expect(Array.fromAsync(files.list({ ...file, path: 'a' }))).rejects.toThrow(
    'the file at "/a" is not a directory',
  )
  await expect(files.read({ ...file, path: 'd' })).rejects.toThrow('/d is a directory')
  await expect(files.inspect({ ...file, commit: 'none' })).rejects.toThrow(
    'pachyderm_pfs/commits/r/ none not found; see list-commit r, or',
  )
  const glob = { repo: 'r', commit: 'first', pattern: '/[' }
  await expect(Array.fromAsync(files.glob(glob))).rejects.toThrow('malformed')
})

test('equal contents have equal hashes, whatever their history', async () => {
  const { commits, files, writes } = world.versioning
  const { id } = await commits.start({ repo: 'r' })
  await writes.put({ repo: 'r', commit: id, path: 'x/d/f' }, utf8('d/'))
  await writes.put({ repo: 'r', commit: id, path: 'x/d/f' }, utf8('f.'))
  for (const path of ['g', 'sub/h']) {
    await writes.put({ repo: 'r', commit: id, path: `x/d/${path}` }, utf8(`d/${path}.`))
  }
  const here = await files.inspect({ repo: 'r', commit: id, path: 'x/d' })
  const there = await files.inspect({ repo: 'r', commit: 'first', path: 'd' })
  expect(here.hash).toEqual(there.hash)
  await commits.delete('r', id)
  await expect(files.inspect({ repo: 'r', commit: id, path: 'x' })).rejects.toThrow('not found')
})
