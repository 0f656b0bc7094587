import { afterAll, beforeAll, expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'

let world: TestVersioning

beforeAll(async () => {
  world = await openTestVersioning()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

test('a repo is made from all that its provenance is made from', async () => {
  const { repos } = world.versioning
  await repos.create({ name: 'p-a', description: 'first' })
  await repos.create({ name: 'p-b', provenance: ['p-a'] })
  await repos.create({ name: 'p-c', provenance: ['p-b'] })
  expect(await repos.inspect('p-c')).toMatchObject({ provenance: ['p-a', 'p-b'], sizeBytes: 0 })
  expect(await repos.inspect('p-a')).toMatchObject({ description: 'first', provenance: [] })
})

test('missing and doubled repos are refused with the texts that clients know', async () => {
  const { repos } = world.versioning
  await repos.create({ name: 'foo' })
  await expect(repos.create({ name: 'foo' })).rejects.toThrow(
    'pachyderm_pfs/repoRefCounts/ foo already exists',
  )
  const missing = 'pachyderm_pfs/repos/ nope not found; see list-repo, or create'
  await expect(repos.inspect('nope')).rejects.toThrow(missing)
  await expect(repos.delete('nope', { force: false })).rejects.toThrow(missing)
  await expect(repos.create({ name: 'nope', update: true })).rejects.toThrow(missing)
  await expect(repos.create({ name: 'x', provenance: ['nope'] })).rejects.toThrow(missing)
  await expect(repos.list({ provenance: ['nope'] })).rejects.toThrow(missing)
  await expect(repos.create({ name: 'a b' })).rejects.toThrow('repo name (a b) invalid')
  await expect(repos.inspect('x')).rejects.toThrow('not found')
})

test('an update of provenance reaches what is further down', async () => {
  const { repos } = world.versioning
  for (const name of ['u-a', 'u-b']) await repos.create({ name })
  await repos.create({ name: 'u-c', provenance: ['u-a'] })
  await repos.create({ name: 'u-d', provenance: ['u-c'] })
  await repos.create({ name: 'u-e', provenance: ['u-d', 'u-c'] })
  await repos.create({ name: 'u-c', provenance: ['u-b'], update: true })
  expect((await repos.inspect('u-d')).provenance).toEqual(['u-b', 'u-c'])
  expect((await repos.inspect('u-e')).provenance).toEqual(['u-b', 'u-c', 'u-d'])
  await repos.delete('u-a', { force: false })
})

test('provenance that leads back to its start is refused', async () => {
  const { repos } = world.versioning
  await repos.create({ name: 'c-a' })
  await repos.create({ name: 'c-b', provenance: ['c-a'] })
  const update = repos.create({ name: 'c-a', provenance: ['c-b'], update: true })
  await expect(update).rejects.toThrow('repo c-a cannot have c-b as provenance')
  const itself = repos.create({ name: 'c-a', provenance: ['c-a'], update: true })
  await expect(itself).rejects.toThrow('cannot have c-a as provenance')
})

test('a repo that others are made from is deleted by force only', async () => {
  const { commits, repos } = world.versioning
  await repos.create({ name: 'd-a' })
  await repos.create({ name: 'd-b', provenance: ['d-a'] })
  const { id } = await commits.start({ repo: 'd-a', branch: 'master' })
  await expect(repos.delete('d-a', { force: false })).rejects.toThrow(
    'cannot delete the provenance of other repos',
  )
  await repos.delete('d-a', { force: true })
  await expect(commits.inspect('d-a', id)).rejects.toThrow('repos/ d-a not found')
  await repos.create({ name: 'd-a' })
  await expect(commits.inspect('d-a', id)).rejects.toThrow(
    `pachyderm_pfs/commits/d-a/ ${id} not found`,
  )
  expect(await world.versioning.branches.list('d-a')).toEqual([])
})

test('repos are listed latest written first, and by what they are made from', async () => {
  const { commits, repos } = world.versioning
  for (const name of ['l-a', 'l-b']) await repos.create({ name })
  await repos.create({ name: 'l-c', provenance: ['l-a', 'l-b'] })
  await repos.create({ name: 'l-d', provenance: ['l-a'] })
  const names = async (): Promise<readonly string[]> =>
    (await repos.list()).map(({ name }) => name).filter((name) => name.startsWith('l-'))
  expect(await names()).toEqual(['l-d', 'l-c', 'l-b', 'l-a'])
  await commits.start({ repo: 'l-a', branch: 'master' })
  expect(await names()).toEqual(['l-d', 'l-c', 'l-b', 'l-a'])
  await commits.finish('l-a', 'master')
  expect(await names()).toEqual(['l-a', 'l-d', 'l-c', 'l-b'])
  const both = await repos.list({ provenance: ['l-a', 'l-b'] })
  expect(both.map(({ name }) => name)).toEqual(['l-c'])
})

test('a repo grows by the full new size of what its commits add or change', async () => {
  const { commits, repos, writes } = world.versioning
  await repos.create({ name: 's' })
  const commit = async (change: () => Promise<void>): Promise<number> => {
    await commits.start({ repo: 's', branch: 'master' })
    await change()
    await commits.finish('s', 'master')
    return (await repos.inspect('s')).sizeBytes
  }
  const file = { repo: 's', commit: 'master' }
  const put = async (path: string, text: string): Promise<void> =>
    writes.put({ ...file, path }, utf8(text))
  expect(await commit(() => put('a', '12345'))).toBe(5)
  expect(await commit(() => put('a', '6'))).toBe(11)
  expect(await commit(() => put('d/b', '123'))).toBe(14)
  expect(await commit(() => writes.delete({ ...file, path: 'a' }))).toBe(14)
  expect(await commit(async () => undefined)).toBe(14)
})

test('an update that leaves provenance as it is, or turns near into far, is told as such', async () => {
  const { repos } = world.versioning
  for (const name of ['n-a', 'n-z']) await repos.create({ name })
  await repos.create({ name: 'n-b', provenance: ['n-a'] })
  await repos.create({ name: 'n-c', provenance: ['n-b', 'n-a', 'n-z'] })
  await repos.create({ name: 'n-c', provenance: ['n-b'], update: true, description: 'now' })
  expect(await repos.inspect('n-c')).toMatchObject({
    provenance: ['n-a', 'n-b'],
    description: 'now',
  })
  // What is far only goes with what is near.
  await repos.create({ name: 'n-b', update: true })
  expect((await repos.inspect('n-c')).provenance).toEqual(['n-b'])
})

test('a repo is made from at most 1,000, near and far', async () => {
  const { repos } = world.versioning
  const names = Array.from({ length: 600 }, (_, at) => `m-${at}`)
  await Promise.all(names.map((name) => repos.create({ name })))
  await repos.create({ name: 'm-all', provenance: names })
  const others = Array.from({ length: 400 }, (_, at) => `mm-${at}`)
  await Promise.all(others.map((name) => repos.create({ name })))
  const most = others.slice(0, 399)
  await repos.create({ name: 'm-most', provenance: ['m-all', ...most] })
  const all = repos.create({ name: 'm-too', provenance: ['m-all', ...others] })
  await expect(all).rejects.toThrow('m-too would be made from more than 1000 repos, near and far')
  // Nor by a change further up.
  const more = repos.create({ name: 'm-0', provenance: [others[399] ?? ''], update: true })
  await expect(more).rejects.toThrow('m-most would be made from more than 1000')
  expect(await repos.inspect('m-0')).toMatchObject({ provenance: [] })
})

test('a description has at most 4,096 bytes', async () => {
  const { repos } = world.versioning
  await repos.create({ name: 'text-a', description: 'a'.repeat(4096) })
  const refusal = "the repo's description is too long: at most 4096 bytes are allowed"
  const description = 'ü'.repeat(2049)
  await expect(repos.create({ name: 'text-b', description })).rejects.toThrow(refusal)
  await expect(repos.create({ name: 'text-a', description, update: true })).rejects.toThrow(refusal)
  expect((await repos.inspect('text-a')).description).toHaveLength(4096)
})

test('repos of many pages are all listed, the latest written first', async () => {
  await using own = await openTestVersioning()
  const { repos } = own.versioning
  const names = Array.from({ length: 1100 }, (_, at) => `l-${at}`)
  for (const name of names) await repos.create({ name })
  await repos.create({ name: 'l-7', update: true, description: 'later' })
  const listed = (await repos.list()).map(({ name }) => String(name))
  expect(listed).toEqual(['l-7', ...names.toReversed().filter((name) => name !== 'l-7')])
})
