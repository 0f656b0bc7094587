import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import type { CommitInfo } from './commit-records.ts'
import type { Operation, StoredOperation } from './operations.ts'

let world: TestVersioning
let repoCount = 0

beforeAll(async () => {
  world = await openTestVersioning()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

async function freshRepo(): Promise<string> {
  repoCount += 1
  const name = `r${repoCount}`
  await world.versioning.repos.create({ name })
  return name
}

/** An open commit on `master`, with a file. Returns its id. */
async function openCommit(repo: string, text = 'one'): Promise<string> {
  const { id } = await world.versioning.commits.start({ repo, branch: 'master' })
  await world.versioning.writes.put({ repo, commit: id, path: '/a' }, utf8(text))
  return id
}

async function inspect(repo: string, commit: string): Promise<CommitInfo> {
  return world.versioning.commits.inspect(repo, commit)
}

function put(repo: string, path: string, text: string, overwrite = false): Operation {
  return { kind: 'put-file', repo, commit: 'master', path, bytes: utf8(text), overwrite }
}
function startOn(repo: string): StoredOperation {
  return { kind: 'start-commit', repo, branch: 'master' }
}
function finish(repo: string, commit = 'master'): StoredOperation {
  return { kind: 'finish-commit', repo, commit }
}
function create(name: string): StoredOperation {
  return { kind: 'create-repo', name, provenance: [], description: '', update: false }
}

/** The heads that became ready while `action` ran, by call. */
async function readyDuring(
  action: () => Promise<unknown>,
): Promise<readonly (readonly string[])[]> {
  const before = world.readyCalls.length
  await action()
  return world.readyCalls
    .slice(before)
    .map((heads) => heads.map(({ repo, branch }) => `${repo}/${branch}`))
}

describe('a batch', () => {
  test('keeps what is said of commits when they start and when they end', async () => {
    const [left, right] = [await freshRepo(), await freshRepo()]
    await world.versioning.transactions.run([
      { kind: 'start-commit', repo: left, branch: 'master', message: 'at its start' },
      { kind: 'finish-commit', repo: left, commit: 'master' },
      { kind: 'start-commit', repo: right, branch: 'master', message: 'at its start' },
      { kind: 'finish-commit', repo: right, commit: 'master', message: 'at its end' },
    ])
    expect((await inspect(left, 'master')).message).toBe('at its start')
    expect((await inspect(right, 'master')).message).toBe('at its end')
    const long = { kind: 'start-commit', repo: left, message: 'x'.repeat(5000) } as const
    await expect(world.versioning.transactions.run([long])).rejects.toThrow('too long')
  })

  test('finishes commits of several repos at one instant, and announces their heads once', async () => {
    const [left, right] = [await freshRepo(), await freshRepo()]
    const ids = [await openCommit(left), await openCommit(right, 'two')]
    const calls = await readyDuring(() =>
      world.versioning.transactions.run([finish(left), finish(right)]),
    )
    expect(calls).toEqual([[`${left}/master`, `${right}/master`]])
    const [one, other] = [await inspect(left, 'master'), await inspect(right, 'master')]
    expect([one.id, other.id]).toEqual(ids)
    expect(one.state).toMatchObject({ kind: 'finished', tree: { fileCount: 1 } })
    expect(other.state).toMatchObject({
      kind: 'finished',
      finishedAt: one.state.kind === 'finished' ? one.state.finishedAt : undefined,
    })
    expect(await world.read(right, 'master', '/a')).toBe('two')
    const { sizeBytes } = await world.versioning.repos.inspect(right)
    expect(sizeBytes).toBe(3)
  })

  test('builds commits that it starts on top of commits that it finishes', async () => {
    const repo = await freshRepo()
    await openCommit(repo)
    const results = await world.versioning.transactions.run([
      put(repo, '/b', 'b'),
      finish(repo),
      startOn(repo),
      put(repo, '/a', ' and two'),
      { kind: 'delete-file', repo, commit: 'master', path: '/b' },
      finish(repo),
      startOn(repo),
      finish(repo),
    ])
    expect(results.map((result) => result?.repo)).toEqual([
      undefined,
      repo,
      repo,
      undefined,
      undefined,
      repo,
      repo,
      repo,
    ])
    const [first, second, third] = [results[1], results[2], results[6]].map(
      (result) => result?.id ?? '',
    )
    expect(await world.paths(repo, first ?? '')).toEqual(['/a', '/b'])
    expect(await world.read(repo, second ?? '', '/a')).toBe('one and two')
    expect(await world.paths(repo, second ?? '')).toEqual(['/a'])
    expect((await inspect(repo, third ?? '')).parent).toBe(second)
    expect(await world.paths(repo, 'master')).toEqual(['/a'])
  })

  test('announces only heads that are ready in the end', async () => {
    const [repo, other] = [await freshRepo(), await freshRepo()]
    const calls = await readyDuring(() =>
      world.versioning.transactions.run([
        startOn(other),
        finish(other),
        startOn(repo),
        finish(repo),
        { kind: 'set-branch', repo, commit: 'master', branch: 'kept' },
        { kind: 'set-branch', repo, commit: 'master', branch: 'gone' },
        { kind: 'delete-branch', repo, branch: 'gone' },
        startOn(repo),
      ]),
    )
    expect(calls).toEqual([[`${other}/master`, `${repo}/kept`]])
    expect((await inspect(repo, 'master')).state.kind).toBe('open')
  })

  test('makes, fills and deletes repos', async () => {
    const [made, old] = ['made-in-batch', await freshRepo()]
    await world.versioning.transactions.run([
      create(made),
      startOn(made),
      put(made, '/x', 'x'),
      finish(made),
      { kind: 'delete-repo', name: old, force: false },
      create(old),
    ])
    expect(await world.read(made, 'master', '/x')).toBe('x')
    expect(await world.versioning.branches.list(old)).toEqual([])
  })

  test('that fails leaves nothing, and says which operation failed and why', async () => {
    const repo = await freshRepo()
    const id = await openCommit(repo)
    const calls = await readyDuring(() =>
      expect(
        world.versioning.transactions.run([
          create('never'),
          put(repo, '/b', 'b'),
          finish(repo),
          { kind: 'set-branch', repo, commit: 'nowhere', branch: 'x' },
        ]),
      ).rejects.toMatchObject({
        name: 'OperationFailedError',
        kind: 'not-found',
        index: 3,
        message: expect.stringMatching(
          new RegExp(
            `^operation 4 of 4 \\(set-branch ${repo}/x\\) failed, so nothing .* was done: .*nowhere not found`,
          ),
        ) as string,
      }),
    )
    expect(calls).toEqual([])
    expect(await world.paths(repo, id)).toEqual(['/a'])
    await expect(world.versioning.repos.inspect('never')).rejects.toThrow('not found')
  })

  test('names the finish of a commit in which a file is where a directory is', async () => {
    const [fine, torn] = [await freshRepo(), await freshRepo()]
    await openCommit(fine)
    await openCommit(torn)
    await expect(
      world.versioning.transactions.run([finish(fine), put(torn, '/a/b', 'x'), finish(torn)]),
    ).rejects.toMatchObject({ index: 2, kind: 'failed-precondition' })
    expect((await inspect(fine, 'master')).state.kind).toBe('open')
    expect(await world.paths(torn, 'master')).toEqual(['/a'])
  })

  test('refuses to finish one commit twice, and to write to what it has finished', async () => {
    const repo = await freshRepo()
    await openCommit(repo)
    const { transactions } = world.versioning
    await expect(transactions.run([finish(repo), finish(repo)])).rejects.toThrow(
      /operation 2 of 2 .*has already been finished/,
    )
    await expect(transactions.run([finish(repo), put(repo, '/b', 'b')])).rejects.toThrow(
      /operation 2 of 2 .*is not open/,
    )
  })

  test('is bounded in operations and in bytes', async () => {
    const { transactions } = world.versioning
    const repo = await freshRepo()
    const many = Array.from({ length: 257 }, () => create('x'))
    await expect(transactions.run(many)).rejects.toThrow('at most 256 are allowed')
    const large = put(repo, '/a', 'x'.repeat(65_537))
    await expect(transactions.run([startOn(repo), large])).rejects.toThrow(
      'operation 2 of 2 puts 65537 bytes',
    )
    const full = Array.from({ length: 129 }, () => put(repo, '/a', 'x'.repeat(65_536)))
    await expect(transactions.run([startOn(repo), ...full])).rejects.toThrow('8388608 at most')
    await transactions.run([startOn(repo), ...full.slice(1), finish(repo)])
    expect((await inspect(repo, 'master')).state).toMatchObject({
      tree: { sizeBytes: 8_388_608 },
    })
  })

  test('that puts keep outrunning makes them wait', async () => {
    const [left, right] = [await freshRepo(), await freshRepo()]
    await openCommit(left)
    await openCommit(right)
    const { chunks } = world.ports
    const flush = chunks.flush.bind(chunks)
    const puts: Promise<void>[] = []
    chunks.flush = async () => {
      const file = { repo: right, commit: 'master', path: `/p${puts.length}` }
      puts.push(world.versioning.writes.put(file, utf8('x')))
      if (puts.length <= 3) await puts.at(-1)
      // Time enough for a put that need not wait.
      else
        for (let turn = 0; turn < 5; turn += 1)
          await world.versioning.branches.set(left, 'turn', 'master')
      await flush()
    }
    await world.versioning.transactions.run([finish(left), finish(right)])
    chunks.flush = flush
    expect(puts).toHaveLength(4)
    await expect(puts.at(-1)).rejects.toThrow('is not open')
    expect(await world.paths(right, 'master')).toEqual(['/a', '/p0', '/p1', '/p2'])
  })

  test('that only copies into what puts keep changing makes them wait no longer than itself', async () => {
    const repo = await freshRepo()
    await openCommit(repo)
    const { chunks } = world.ports
    const flush = chunks.flush.bind(chunks)
    const puts: Promise<void>[] = []
    chunks.flush = async () => {
      const file = { repo, commit: 'master', path: `/p${puts.length}` }
      puts.push(world.versioning.writes.put(file, utf8('x')))
      if (puts.length <= 3) await puts.at(-1)
      await flush()
    }
    const to = { repo, commit: 'master', path: '/b' }
    await world.versioning.transactions.run([
      { kind: 'move-file', repo, commit: 'master', path: '/a', to, mode: 'refuse' },
    ])
    chunks.flush = flush
    await Promise.all(puts)
    expect(puts).toHaveLength(4)
    expect(await world.paths(repo, 'master')).toEqual(['/b', '/p0', '/p1', '/p2', '/p3'])
    await world.versioning.commits.finish(repo, 'master')
  })

  test('that is outrun and then fails makes nobody wait any more', async () => {
    const repo = await freshRepo()
    await openCommit(repo)
    const { chunks } = world.ports
    const flush = chunks.flush.bind(chunks)
    let count = 0
    chunks.flush = async () => {
      count += 1
      if (count > 3) throw new Error('the disk is full')
      const file = { repo, commit: 'master', path: `/p${count}` }
      await world.versioning.writes.put(file, utf8('x'))
    }
    const run = world.versioning.transactions.run([finish(repo)])
    await expect(run).rejects.toThrow('the disk is full')
    chunks.flush = flush
    const signal = AbortSignal.timeout(5000)
    const file = { repo, commit: 'master', path: '/after' }
    await world.versioning.writes.put(file, utf8('x'), { signal })
  })

  test('takes a put that comes between its plan and its end', async () => {
    const repo = await freshRepo()
    const id = await openCommit(repo)
    const { chunks } = world.ports
    const flush = chunks.flush.bind(chunks)
    chunks.flush = async () => {
      chunks.flush = flush
      await world.versioning.writes.put({ repo, commit: id, path: '/late' }, utf8('x'))
      await flush()
    }
    await world.versioning.transactions.run([put(repo, '/own', 'x'), finish(repo)])
    expect(await world.paths(repo, id)).toEqual(['/a', '/late', '/own'])
  })
})

describe('a stored transaction', () => {
  test('checks each operation against those before it, and does nothing before its finish', async () => {
    const { transactions } = world.versioning
    const repo = await freshRepo()
    const { id } = await transactions.start('two at once')
    await transactions.add(id, create('stored'))
    const started = await transactions.add(id, startOn('stored'))
    await transactions.add(id, finish('stored', started.id ?? ''))
    await expect(transactions.add(id, create('stored'))).rejects.toThrow(
      new RegExp(`^cannot add create-repo stored to transaction ${id}: .*already exists`),
    )
    await expect(transactions.add(id, finish(repo))).rejects.toThrow('not found')
    await expect(world.versioning.repos.inspect('stored')).rejects.toThrow('not found')
    expect(await transactions.inspect(id)).toMatchObject({
      description: 'two at once',
      finishedAt: undefined,
      operationCount: 3,
      steps: [{ operation: create('stored') }, { id: started.id, result: undefined }, {}],
    })
    const finished = await transactions.finish(id)
    expect(finished.steps.map(({ result }) => result)).toEqual([
      undefined,
      { repo: 'stored', id: started.id },
      { repo: 'stored', id: started.id },
    ])
    expect((await inspect('stored', started.id ?? '')).state.kind).toBe('finished')
  })

  test('that has finished answers the same again, and takes no more', async () => {
    const { transactions } = world.versioning
    const { id } = await transactions.start('')
    await transactions.add(id, create('once'))
    const calls = [transactions.finish(id), transactions.finish(id), transactions.finish(id)]
    const [first, ...others] = await Promise.all(calls)
    expect(first?.finishedAt).toBeDefined()
    for (const other of others) expect(other).toEqual(first)
    await expect(transactions.add(id, create('twice'))).rejects.toThrow('has already finished')
    await transactions.delete(id)
    await expect(transactions.finish(id)).rejects.toThrow('not found')
  })

  test('that cannot be finished stays open', async () => {
    const { transactions } = world.versioning
    const { id } = await transactions.start('')
    await transactions.add(id, create('taken'))
    await world.versioning.repos.create({ name: 'taken' })
    await expect(transactions.finish(id)).rejects.toThrow(/operation 1 of 1 .*already exists/)
    await expect(transactions.add(id, create('other'))).rejects.toThrow(
      /create-repo other .*: operation 1 of it \(create-repo taken\) cannot be done any more: .*already exists/,
    )
    await world.versioning.repos.delete('taken', { force: false })
    expect((await transactions.finish(id)).finishedAt).toBeDefined()
  })

  test('takes operations of many callers at once', async () => {
    const { transactions } = world.versioning
    const { id } = await transactions.start('')
    const names = Array.from({ length: 20 }, (_, index) => `many-${index}`)
    await Promise.all(names.map((name) => transactions.add(id, create(name))))
    const { steps } = await transactions.finish(id)
    expect(steps).toHaveLength(20)
    for (const name of names) await world.versioning.repos.inspect(name)
  })

  test('transactions are listed, the latest first, over more than one page', async () => {
    const { transactions } = world.versioning
    const ids: string[] = []
    for (let count = 0; count < 120; count += 1) ids.unshift((await transactions.start('')).id)
    const listed: string[] = []
    for await (const { id } of transactions.list()) listed.push(id)
    expect(listed.slice(0, 120)).toEqual(ids)
    for (const id of ids) await transactions.delete(id)
  })
})
