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

type State = 'none' | 'open' | 'sealed' | 'finished'
type Event =
  | 'put'
  | 'delete file'
  | 'bulk'
  | 'finish'
  | 'put in a transaction'
  | 'finish in a transaction'
  | 'delete commit'
  | 'delete tagged commit'
  | 'delete repo'
  | 'expire'

/** `docs/states/commit.md`: the state after an event, with the text of a refusal. */
const moves: Readonly<
  Record<Exclude<State, 'none'>, Readonly<Record<Event, readonly [State, string?]>>>
> = {
  open: {
    put: ['open'],
    'delete file': ['open'],
    bulk: ['open'],
    finish: ['finished'],
    'put in a transaction': ['open'],
    'finish in a transaction': ['finished'],
    'delete commit': ['none'],
    'delete tagged commit': ['open', 'it is tagged'],
    'delete repo': ['none'],
    expire: ['open'],
  },
  sealed: {
    put: ['sealed', 'cancelled'],
    'delete file': ['sealed', 'cancelled'],
    bulk: ['sealed', 'cancelled'],
    finish: ['finished'],
    'put in a transaction': ['sealed'],
    'finish in a transaction': ['finished'],
    'delete commit': ['none'],
    'delete tagged commit': ['sealed', 'it is tagged'],
    'delete repo': ['none'],
    expire: ['open'],
  },
  finished: {
    put: ['finished', 'is not open'],
    'delete file': ['finished', 'has already finished'],
    bulk: ['finished', 'is not open'],
    finish: ['finished', 'has already been finished'],
    'put in a transaction': ['finished', 'is not open'],
    'finish in a transaction': ['finished', 'has already been finished'],
    'delete commit': ['finished', 'cannot delete finished commit'],
    'delete tagged commit': ['finished', 'cannot delete finished commit'],
    'delete repo': ['none'],
    expire: ['finished'],
  },
}

/** Less than a seal may last. */
const sealMicros = 20_000_000

async function setSeal(repo: string, until: number): Promise<void> {
  await world.database.transact((tx) =>
    tx.run(
      'UPDATE commits SET sealed_until = ? WHERE repo = ? AND finished_at IS NULL',
      until,
      repo,
    ),
  )
}

/** Calls; a call that waits for a sealed commit is cancelled. */
async function cause(event: Event, repo: string, waits: boolean): Promise<void> {
  const { commits, commitTags, repos, transactions, writes } = world.versioning
  const file = { repo, commit: 'master', path: 'f' }
  const cancel = new AbortController()
  const { signal } = cancel
  const calls: Readonly<Record<Event, () => Promise<unknown>>> = {
    put: () => writes.put(file, utf8('x'), { signal }),
    'delete file': () => writes.delete(file, signal),
    bulk: async () => {
      await using bulk = await writes.bulk(repo, 'master')
      await bulk.put('f', utf8('x'))
      await bulk.commit(signal)
    },
    finish: () => commits.finish(repo, 'master'),
    'put in a transaction': () =>
      transactions.run([{ kind: 'put-file', ...file, bytes: utf8('x'), overwrite: false }]),
    'finish in a transaction': () =>
      transactions.run([{ kind: 'finish-commit', repo, commit: 'master' }]),
    'delete commit': () => commits.delete(repo, 'master'),
    'delete tagged commit': async () => {
      await commitTags.set({ repo, commit: 'master', tag: 'v1', move: false })
      await commits.delete(repo, 'master')
    },
    'delete repo': () => repos.delete(repo, { force: false }),
    expire: () => setSeal(repo, world.ports.clock.now() - 1),
  }
  const running = calls[event]()
  if (waits) {
    // A reader that comes after the call has been refused room shows that it is waiting, not done.
    await world.database.transact((tx) => tx.emit('test', ''))
    cancel.abort()
  }
  await running
}

async function stateOf(repo: string): Promise<State> {
  const commit = await world.database.read((tx) =>
    tx.get<{ readonly finished_at: number | null; readonly sealed_until: number }>(
      'SELECT finished_at, sealed_until FROM commits WHERE repo = ?',
      repo,
    ),
  )
  if (commit === undefined) return 'none'
  if (commit.finished_at !== null) return 'finished'
  return commit.sealed_until > world.ports.clock.now() ? 'sealed' : 'open'
}

const cases = Object.entries(moves).flatMap(([from, events]) =>
  Object.entries(events).map(([event, [to, refusal]]) => ({ from, event, to, refusal })),
)

test.for(cases)('$from, $event: $to', async ({ from, event, to, refusal }) => {
  const { commits, repos, writes } = world.versioning
  const repo = `${from}-${event}`.replaceAll(' ', '-')
  await repos.create({ name: repo })
  await commits.start({ repo, branch: 'master' })
  await writes.put({ repo, commit: 'master', path: 'f' }, utf8('x'))
  if (from === 'finished') await commits.finish(repo, 'master')
  if (from === 'sealed') await setSeal(repo, world.ports.clock.now() + sealMicros)
  expect(await stateOf(repo)).toBe(from)
  const failure = await cause(event as Event, repo, refusal === 'cancelled').then(
    () => '',
    (error: unknown) => String(error),
  )
  expect(failure).toContain(refusal ?? '')
  expect(failure === '').toBe(refusal === undefined)
  expect(await stateOf(repo)).toBe(to)
})
