import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { InvalidArgumentError } from '../base/errors.ts'
import type { CommitId } from '../base/names.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { AncestorNotFoundError, CommitNotFoundError, RepoNotFoundError } from './errors.ts'
import { ancestryStepsMax, parseAncestry } from './records/commit-ancestry.ts'

const lineLength = 6

let world: TestVersioning
/** Of `master` in repo `line`, the newest first. */
let line: readonly CommitId[]

beforeAll(async () => {
  world = await openTestVersioning()
  await world.versioning.repos.create({ name: 'line' })
  const made: CommitId[] = []
  for (let count = 0; count < lineLength; count += 1) made.unshift(await commit('line', 'master'))
  line = made
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

async function commit(repo: string, branch: string): Promise<CommitId> {
  const { id } = await world.versioning.commits.start({ repo, branch })
  await world.versioning.commits.finish(repo, id)
  return id
}

async function resolve(name: string, repo = 'line'): Promise<CommitId> {
  return (await world.versioning.commits.inspect(repo, name)).id
}

/** A branch whose name may no longer be given. */
async function importBranch(repo: string, name: string, head: CommitId): Promise<void> {
  await world.database.transact((tx) =>
    tx.run(
      'INSERT INTO branches (repo, name, head, written) VALUES (?, ?, ?, 0)',
      repo,
      name,
      head,
    ),
  )
}

test.each([
  ['master^', 1],
  ['master~', 1],
  ['master^^', 2],
  ['master^2', 2],
  ['master~3', 3],
  ['master~2^', 3],
  ['master^~2~', 4],
  ['master~0', 0],
  ['master^0', 0],
  ['master~05', 5],
])('%s is %i commits before the head of master', async (name, steps) => {
  expect(await resolve(name)).toBe(line[steps])
})

test('any steps from a branch, a tag or an id go as far back as their sum', async () => {
  await world.versioning.commitTags.set({ repo: 'line', commit: 'master', tag: 'v1', move: false })
  const parts = fc.array(
    fc.oneof(
      fc.constant({ text: '^', steps: 1 }),
      fc.constant({ text: '~', steps: 1 }),
      fc.nat(3).map((steps) => ({ text: `^${steps}`, steps })),
      fc.nat(3).map((steps) => ({ text: `~${steps}`, steps })),
    ),
    { maxLength: 5 },
  )
  const property = fc.asyncProperty(
    fc.constantFrom('master', 'v1', line[0] ?? ''),
    parts,
    async (base, chosen) => {
      const steps = chosen.reduce((sum, part) => sum + part.steps, 0)
      const name = base + chosen.map(({ text }) => text).join('')
      const found: unknown = await resolve(name).catch((error: unknown) => error)
      const tooFar = expect.objectContaining({ ancestorCount: lineLength - 1 }) as unknown
      expect(found).toEqual(line[steps] ?? tooFar)
    },
  )
  await expect(fc.assert(property, { numRuns: 200 })).resolves.toBeUndefined()
})

test('a name that goes past the first commit is not found, and says how many there are', async () => {
  const last = line.at(-1) ?? ''
  await expect(resolve('master~6')).rejects.toThrow(
    `pachyderm_pfs/commits/line/ master~6 not found: commit ${line[0]} has only 5 ancestors`,
  )
  await expect(resolve('master~4^2')).rejects.toBeInstanceOf(AncestorNotFoundError)
  await expect(resolve(`${line[4]}~2`)).rejects.toThrow(`has only 1 ancestor`)
  await expect(resolve(`${last}^`)).rejects.toThrow('no ancestors: it is the first of its line')
})

test('a name whose beginning means nothing is not found', async () => {
  await expect(resolve('nope^')).rejects.toBeInstanceOf(CommitNotFoundError)
  await expect(resolve(`${'0'.repeat(32)}~1`)).rejects.toBeInstanceOf(CommitNotFoundError)
  await expect(resolve('master^', 'nowhere')).rejects.toBeInstanceOf(RepoNotFoundError)
  await world.versioning.repos.create({ name: 'other' })
  await expect(resolve(`${line[0]}^`, 'other')).rejects.toBeInstanceOf(CommitNotFoundError)
})

test.each(['master~x', '~3', '^', '^^', 'master^x~1', 'master~-1', 'master~1.5', 'master~ 1'])(
  '%s is malformed',
  async (name) => {
    await expect(resolve(name)).rejects.toBeInstanceOf(InvalidArgumentError)
    await expect(resolve(name)).rejects.toThrow(`commit name "${name}" makes no sense`)
  },
)

test('how far back, and in how many steps, has bounds', async () => {
  expect(parseAncestry(`a~${ancestryStepsMax}`)?.bases).toEqual([
    { name: 'a', steps: ancestryStepsMax },
  ])
  await expect(resolve(`master~${ancestryStepsMax}`)).rejects.toBeInstanceOf(AncestorNotFoundError)
  const tooFar = [`master~${ancestryStepsMax}^`, 'master~99999999999', `master~${'9'.repeat(500)}`]
  for (const name of tooFar) {
    await expect(resolve(name)).rejects.toThrow('goes back too far: at most 10000 commits')
  }
  expect(parseAncestry(`a${'^'.repeat(64)}`)?.bases).toHaveLength(64)
  await expect(resolve(`master${'^'.repeat(65)}`)).rejects.toThrow('has 65 steps, and at most 64')
  await expect(resolve('~'.repeat(1_000_000))).rejects.toThrow('makes no sense')
})

test('a branch or tag of exactly that name comes first, the longest name that there is', async () => {
  const { branches, commits, repos } = world.versioning
  await repos.create({ name: 'odd' })
  const made: CommitId[] = []
  for (let count = 0; count < 4; count += 1) made.unshift(await commit('odd', 'master'))
  const [, second, third, fourth] = made
  if (second === undefined || third === undefined) throw new Error('four commits were made')
  await importBranch('odd', 'master~1', third)
  await importBranch('odd', '^', second)
  expect(await resolve('master~1', 'odd')).toBe(third)
  expect(await resolve('master^', 'odd')).toBe(second)
  expect(await resolve('master~1^', 'odd')).toBe(fourth)
  expect(await resolve('^', 'odd')).toBe(second)
  expect(await resolve('^^', 'odd')).toBe(third)
  // It goes on under its name.
  await branches.set('odd', 'master~1', second)
  const { id } = await commits.start({ repo: 'odd', branch: 'master~1' })
  expect((await commits.inspect('odd', id)).parent).toBe(second)
})

test.each(['a^', 'a~1', 'a@b', 'a:b'])('no branch is made with the name %s', async (name) => {
  const { branches, commits } = world.versioning
  const before = await branches.list('line')
  await expect(branches.set('line', name, 'master')).rejects.toThrow(
    `branch name ("${name}") invalid: ${name.slice(1, 2)} is not allowed`,
  )
  await expect(commits.start({ repo: 'line', branch: name })).rejects.toThrow('is not allowed')
  expect(await branches.list('line')).toEqual(before)
})

test('every call that takes a commit takes such a name', async () => {
  const { branches, commits, files, repos, subscriptions, writes } = world.versioning
  await repos.create({ name: 'all' })
  const first = await commit('all', 'master')
  const { id } = await commits.start({ repo: 'all', branch: 'master' })
  await writes.put({ repo: 'all', commit: 'master~0', path: 'f' }, utf8('1'))
  await writes.put({ repo: 'all', commit: `${id}^0`, path: 'large' }, new Uint8Array(100_000))
  await writes.delete({ repo: 'all', commit: 'master~0', path: 'gone' })
  await using bulk = await writes.bulk('all', 'master~0')
  await bulk.put('g', utf8('2'))
  await bulk.commit()
  await commits.finish('all', 'master~0')
  expect(await world.paths('all', 'master~0')).toEqual(['/f', '/g', '/large'])
  expect(await world.paths('all', 'master^')).toEqual([])
  await expect(
    writes.put({ repo: 'all', commit: 'master^', path: 'f' }, utf8('1')),
  ).rejects.toThrow(`commit ${first} is not open`)
  await expect(writes.delete({ repo: 'all', commit: 'master~2', path: 'f' })).rejects.toThrow(
    'has only 1 ancestor',
  )
  const after = { repo: 'all', commit: 'master', path: '/' }
  const before = { repo: 'all', commit: 'master^', path: '/' }
  const diff = await Array.fromAsync(files.diff({ after, before, shallow: false }))
  expect(diff).toHaveLength(3)
  const listed = await Array.fromAsync(
    commits.list({ repo: 'all', to: 'master~0', from: 'master^' }),
  )
  expect(listed.map((info) => info.id)).toEqual([id])
  await branches.set('all', 'back', 'master^')
  expect(await resolve('back', 'all')).toBe(first)
  const forked = await commits.start({ repo: 'all', parent: 'master^' })
  expect((await commits.inspect('all', forked.id)).parent).toBe(first)
  await commits.delete('all', `${forked.id}~0`)
  const signal = AbortSignal.abort()
  const subscribed = subscriptions.subscribe({
    repo: 'all',
    branch: 'master',
    from: 'master^',
    signal,
  })
  expect(await subscribed.next()).toMatchObject({ value: { id } })
  const flushed = subscriptions.flush({ commits: [{ repo: 'all', commit: 'master~9' }], signal })
  await expect(flushed.next()).rejects.toBeInstanceOf(AncestorNotFoundError)
})

test('what is said of a commit at its start stays, unless something is said at its finish', async () => {
  const { commits, repos } = world.versioning
  await repos.create({ name: 'said' })
  const start = async (message?: string): Promise<CommitId> =>
    (await commits.start({ repo: 'said', message })).id
  const one = await start('raw data')
  expect((await commits.inspect('said', one)).message).toBe('raw data')
  expect((await commits.finish('said', one)).message).toBe('raw data')
  const two = await start('first')
  expect(await commits.finish('said', two, { message: 'second' })).toMatchObject({
    message: 'second',
  })
  const three = await start()
  expect((await commits.finish('said', three, { message: '' })).message).toBe('')
  const all = await Array.fromAsync(commits.list({ repo: 'said' }))
  expect(all.map(({ message }) => message)).toEqual(['', 'second', 'raw data'])
})

test('a message has at most 4,096 bytes, and no null characters', async () => {
  const { commits, repos } = world.versioning
  await repos.create({ name: 'long' })
  const { id } = await commits.start({ repo: 'long', message: 'é'.repeat(2048) })
  for (const message of ['é'.repeat(2049), 'x'.repeat(100_000), 'a\0b']) {
    await expect(commits.start({ repo: 'long', message })).rejects.toThrow(/^the commit's message/)
    await expect(commits.finish('long', id, { message })).rejects.toThrow(/^the commit's message/)
  }
  expect(await Array.fromAsync(commits.list({ repo: 'long' }))).toMatchObject([
    { id, message: 'é'.repeat(2048), state: { kind: 'open' } },
  ])
})

test('names that are looked up together go back as far as one may, together', async () => {
  const { deletions, subscriptions } = world.versioning
  const { signal } = new AbortController()
  const names = [1, 2, 3, 4].map((steps) => ({ repo: 'line', commit: `master~${2000 * steps}` }))
  const refusal = 'go back 20000 commits together, and at most 10000 are counted in one request'
  await expect(deletions.delete(names, { dryRun: true, signal })).rejects.toThrow(refusal)
  await expect(subscriptions.flush({ commits: names, signal }).next()).rejects.toThrow(refusal)
  const few = names.slice(0, 2)
  await expect(deletions.delete(few, { dryRun: true, signal })).rejects.toThrow(
    AncestorNotFoundError,
  )
})

test.each([
  ['side@x', 'where commit x of repo side is meant, write side@x in place of both'],
  ['@x', 'see list-commit line'],
  ['side@', 'see list-commit line'],
])('%s is looked for in its repo, and what may be meant is told', async (name, advice) => {
  const call = world.versioning.commits.inspect('line', name)
  await expect(call).rejects.toThrow(`pachyderm_pfs/commits/line/ ${name} not found; `)
  await expect(world.versioning.commits.inspect('line', name)).rejects.toThrow(advice)
})
