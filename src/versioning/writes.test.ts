import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { utf8 } from '../base/bytes.ts'
import { SystemClock } from '../base/clock.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { createVersioning } from './versioning.ts'

let world: TestVersioning

beforeAll(async () => {
  world = await openTestVersioning()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

/** A new repo with an open commit on `master`. */
async function openCommit(repo: string): Promise<{
  readonly id: string
  readonly put: (path: string, text: string, overwrite?: boolean) => Promise<void>
  readonly remove: (path: string) => Promise<void>
}> {
  const { commits, repos, writes } = world.versioning
  await repos.create({ name: repo })
  const { id } = await commits.start({ repo, branch: 'master' })
  return {
    id,
    put: (path, text, overwrite = false) =>
      writes.put({ repo, commit: 'master', path }, utf8(text), { overwrite }),
    remove: (path) => writes.delete({ repo, commit: 'master', path }),
  }
}

test('what is put can be read before and after the finish', async () => {
  const { id, put } = await openCommit('w1')
  await put('a/b', 'one')
  expect(await world.read('w1', 'master', 'a/b')).toBe('one')
  await put('/a//b', 'two')
  expect(await world.read('w1', 'master', 'a/b')).toBe('onetwo')
  const finished = await world.versioning.commits.finish('w1', 'master')
  expect(finished.id).toBe(id)
  expect(await world.read('w1', id, 'a/b')).toBe('onetwo')
})

test('a file larger than a row goes to the chunk store and is appended to like any other', async () => {
  const { put } = await openCommit('w2')
  const large = 'x'.repeat(200_000)
  await put('f', 'a')
  await put('f', large)
  await put('f', 'z')
  expect(await world.read('w2', 'master', 'f')).toBe(`a${large}z`)
  await put('f', large, true)
  expect(await world.read('w2', 'master', 'f')).toBe(large)
  const rows = await world.database.read((tx) =>
    tx.all<{ readonly size: number }>(
      'SELECT length(payload) AS size FROM staged_writes ORDER BY sequence',
    ),
  )
  expect(Math.max(...rows.map(({ size }) => size))).toBeLessThan(100)
})

test('a put that streams from a reused buffer keeps every byte', async () => {
  await openCommit('w3')
  const buffer = new Uint8Array(1000)
  async function* reused(count: number): AsyncGenerator<Uint8Array> {
    for (let index = 0; index < count; index += 1) {
      buffer.fill(97 + (index % 26))
      yield buffer
    }
  }
  const file = { repo: 'w3', commit: 'master', path: 'f' }
  for (const count of [3, 100]) {
    await world.versioning.writes.put(file, reused(count), { overwrite: true })
    const text = await world.read('w3', 'master', 'f')
    expect(text.length).toBe(count * 1000)
    expect(text.slice(999, 1001)).toBe('ab')
  }
})

test('a put whose stream fails or is cancelled stages nothing', async () => {
  const { put } = await openCommit('w4')
  const file = { repo: 'w4', commit: 'master', path: 'f' }
  let closed = 0
  async function* failing(bytesBefore: number): AsyncGenerator<Uint8Array> {
    try {
      yield new Uint8Array(bytesBefore)
      throw new Error('the client has gone')
    } finally {
      closed += 1
    }
  }
  for (const size of [10, 100_000]) {
    const run = world.versioning.writes.put(file, failing(size))
    await expect(run).rejects.toThrow('the client has gone')
  }
  const cancelled = { signal: AbortSignal.abort() }
  await expect(world.versioning.writes.put(file, utf8('x'), cancelled)).rejects.toThrow('cancelled')
  expect(closed).toBe(2)
  await put('g', 'g')
  expect(await world.paths('w4', 'master')).toEqual(['/g'])
})

test('paths that are no file’s are refused', async () => {
  const { put, remove } = await openCommit('w5')
  await expect(put('/', 'x')).rejects.toThrow('root')
  await expect(put('../x', 'x')).rejects.toThrow('leads out of the root')
  await expect(put('a\0b', 'x')).rejects.toThrow('filename cannot contain null character')
  await remove('nothing/here')
  expect(await world.paths('w5', 'master')).toEqual([])
})

test('deleting the root deletes everything, inherited or staged', async () => {
  const { put } = await openCommit('w6')
  const { commits, files } = world.versioning
  await put('d/f', 'old')
  await commits.finish('w6', 'master')
  await commits.start({ repo: 'w6', branch: 'master' })
  await put('e', 'staged')
  await world.versioning.writes.delete({ repo: 'w6', commit: 'master', path: '/' })
  await put('d/g', 'new')
  await commits.finish('w6', 'master')
  expect(await world.paths('w6', 'master')).toEqual(['/d/g'])
  expect((await files.inspect({ repo: 'w6', commit: 'master', path: '' })).sizeBytes).toBe(3)
})

test('a directory that has lost its files stays, with 0 bytes', async () => {
  const { put, remove } = await openCommit('w7')
  const { commits, files } = world.versioning
  await put('d/e/f', 'x')
  await commits.finish('w7', 'master')
  await commits.start({ repo: 'w7', branch: 'master' })
  await remove('d/e/f')
  await put('n/m', 'y')
  await remove('n/m')
  await commits.finish('w7', 'master')
  for (const path of ['d/e', 'n']) {
    const info = await files.inspect({ repo: 'w7', commit: 'master', path })
    expect(info).toMatchObject({ entry: { kind: 'directory' }, sizeBytes: 0 })
  }
})

test('a conflict stops the finish, not the readers, and a delete repairs it', async () => {
  const { put, remove } = await openCommit('w8')
  const { commits } = world.versioning
  await put('d/f', 'x')
  await put('d', 'y')
  await put('d/f/g', 'z')
  expect(await world.read('w8', 'master', 'd/f')).toBe('x')
  await expect(commits.finish('w8', 'master')).rejects.toThrow(
    'could not put file at "/d"; a node of type directory is already there: take the directory away with delete-file',
  )
  await expect(commits.finish('w8', 'master')).rejects.toThrow('could not put file at "/d"')
  await remove('d')
  await put('d', 'now a file')
  await put('d/f', 'z')
  await expect(commits.finish('w8', 'master')).rejects.toThrow(
    /attempted to visit.*not a directory: .*delete-file: "\/d\/f" to go on.*then finish$/,
  )
  await remove('d/f')
  await commits.finish('w8', 'master')
  expect(await world.read('w8', 'master', 'd')).toBe('now a file')
})

test('a bulk write is seen whole or not at all', async () => {
  const { put } = await openCommit('b1')
  const { writes } = world.versioning
  await put('a', '1')
  await using abandoned = await writes.bulk('b1', 'master')
  await abandoned.put('lost', utf8('x'))
  await abandoned[Symbol.asyncDispose]()
  expect(() => abandoned.put('lost', utf8('x'))).toThrow('has ended')
  await using bulk = await writes.bulk('b1', 'master')
  await bulk.put('b', utf8('2'))
  await bulk.put('a', utf8('3'))
  await bulk.put('a', utf8('4'))
  await bulk.put('c', utf8('old'))
  await bulk.put('c', utf8('5'), { overwrite: true })
  expect(await world.paths('b1', 'master')).toEqual(['/a'])
  expect(await bulk.commit()).toEqual({ fileCount: 5, sizeBytes: 7 })
  await put('c', '6')
  expect(await world.read('b1', 'master', 'a')).toBe('134')
  expect(await world.read('b1', 'master', 'c')).toBe('56')
  await world.versioning.commits.finish('b1', 'master')
  expect(await world.paths('b1', 'master')).toEqual(['/a', '/b', '/c'])
})

test('a bulk write that conflicts is refused at once, and nothing of it stays', async () => {
  const { put } = await openCommit('b2')
  const { commits, writes } = world.versioning
  await put('d/f', 'x')
  for (const paths of [['d'], ['d/f/g'], ['n', 'd'], ['n', 'd/f/g'], ['n/m/o', 'n']]) {
    await using bulk = await writes.bulk('b2', 'master')
    for (const path of paths) await bulk.put(path, utf8('y'))
    await expect(bulk.commit()).rejects.toThrow('could not put file at')
  }
  await commits.finish('b2', 'master')
  expect(await world.paths('b2', 'master')).toEqual(['/d/f'])
})

test('a bulk write of one small file is a row, and needs no pack', async () => {
  const { id, put } = await openCommit('b4')
  const { commits, writes } = world.versioning
  const flush = vi.spyOn(world.ports.chunks, 'flush')
  await put('f', 'one')
  for (const [text, overwrite] of [
    ['two'.repeat(100), false],
    ['new', true],
    ['er', false],
  ] as const) {
    await using bulk = await writes.bulk('b4', 'master')
    await bulk.put('f', utf8(text), { overwrite })
    expect(await bulk.commit()).toEqual({ fileCount: 1, sizeBytes: text.length })
  }
  expect(flush).not.toHaveBeenCalled()
  flush.mockRestore()
  expect(await world.read('b4', id, 'f')).toBe('newer')
  await using bulk = await writes.bulk('b4', 'master')
  for (const text of ['1', '2']) await bulk.put('f', utf8(text))
  await bulk.commit()
  await commits.finish('b4', 'master')
  expect(await world.read('b4', id, 'f')).toBe('newer12')
})

test('files that come by path make the tree that they make in any order', async () => {
  const { commits, writes } = world.versioning
  const names = Array.from({ length: 2000 }, (_, index) => `d${index % 3}/f${index}`).toSorted()
  const orders: Record<string, readonly string[]> = {
    sorted: names,
    reversed: names.toReversed(),
    late: [...names.slice(1), ...names.slice(0, 1)],
  }
  const trees: unknown[] = []
  for (const [kind, order] of Object.entries(orders)) {
    await openCommit(`grown-${kind}`)
    await using bulk = await writes.bulk(`grown-${kind}`, 'master')
    for (const name of order) await bulk.put(name, utf8(name.repeat(20)))
    await bulk.commit()
    const { state } = await commits.finish(`grown-${kind}`, 'master')
    trees.push(state.kind === 'finished' ? state.tree : state)
  }
  expect(trees).toEqual([trees[0], trees[0], trees[0]])
  expect(trees[0]).toMatchObject({ fileCount: 2000 })
})

test('what is put while a bulk write comes is under it', async () => {
  const { put } = await openCommit('between')
  const { writes } = world.versioning
  await using bulk = await writes.bulk('between', 'master')
  for (let index = 0; index < 1000; index += 1) {
    await bulk.put(`d/f${String(index).padStart(4, '0')}`, utf8('b'))
    if (index === 700) await put('d/f0001', 'a')
  }
  await put('e', 'c')
  await bulk.commit()
  expect(await world.read('between', 'master', 'd/f0001')).toBe('ab')
  expect(await world.read('between', 'master', 'd/f0000')).toBe('b')
  expect(await world.read('between', 'master', 'e')).toBe('c')
  expect((await world.paths('between', 'master')).length).toBe(1001)
  await using refused = await writes.bulk('between', 'master')
  for (let index = 0; index < 1000; index += 1) await refused.put(`g/f${1000 + index}`, utf8('d'))
  await put('g', 'a file')
  await expect(refused.commit()).rejects.toThrow('could not put file at')
  expect((await world.paths('between', 'master')).length).toBe(1002)
})

test('a bulk write of many runs is one sorted tree', async () => {
  await openCommit('b3')
  const { commits, files, writes } = world.versioning
  const count = 70_000
  await using bulk = await writes.bulk('b3', 'master')
  // In an order that puts neighbours into different runs.
  for (let index = 0; index < count; index += 1) {
    const mixed = (index * 7919) % count
    await bulk.put(`d${mixed % 7}/f${mixed}`, utf8(String(mixed)))
  }
  await bulk.commit()
  const finished = await commits.finish('b3', 'master')
  expect(finished.state).toMatchObject({ tree: { fileCount: count } })
  expect(await world.read('b3', 'master', 'd3/f10')).toBe('10')
  expect(
    (await Array.fromAsync(files.list({ repo: 'b3', commit: 'master', path: 'd3' }))).length,
  ).toBe(count / 7)
})

test('puts that go on while a commit is finished are in it, or refused', async () => {
  const { id } = await openCommit('race')
  const { commits, writes } = world.versioning
  const acknowledged = new Set<string>()
  const refusals: string[] = []
  const putter = async (name: string): Promise<void> => {
    for (let index = 0; ; index += 1) {
      const path = `/${name}/${index}`
      try {
        await writes.put({ repo: 'race', commit: id, path }, utf8(path))
      } catch (error) {
        refusals.push(String(error))
        return
      }
      acknowledged.add(path)
    }
  }
  const bulkPutter = async (): Promise<void> => {
    for (let index = 0; ; index += 1) {
      const paths = [0, 1, 2].map((part) => `/bulk/${index}/${part}`)
      try {
        await using bulk = await writes.bulk('race', id)
        for (const path of paths) await bulk.put(path, utf8(path))
        await bulk.commit()
      } catch (error) {
        refusals.push(String(error))
        return
      }
      for (const path of paths) acknowledged.add(path)
    }
  }
  const putters = ['a', 'b', 'c', 'd', 'e'].map((name) => putter(name))
  putters.push(bulkPutter())
  while (acknowledged.size < 200) {
    await writes.put({ repo: 'race', commit: id, path: 'x' }, utf8('x'))
  }
  const finishes = await Promise.allSettled([
    commits.finish('race', id),
    commits.finish('race', id),
    commits.finish('race', id),
  ])
  await Promise.all(putters)
  expect(refusals).toHaveLength(6)
  expect(refusals.every((text) => text.includes('is not open'))).toBe(true)
  expect(finishes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  expect(new Set(await world.paths('race', id))).toEqual(new Set([...acknowledged, '/x']))
})

test('a sealed commit makes puts wait until it is finished', async () => {
  const { id } = await openCommit('seal')
  const { commits, writes } = world.versioning
  const sealedUntil = world.ports.clock.now() + 20_000_000
  await world.database.transact((tx) =>
    tx.run('UPDATE commits SET sealed_until = ? WHERE id = ?', sealedUntil, id),
  )
  const file = { repo: 'seal', commit: id, path: 'f' }
  const cancel = new AbortController()
  const given = writes.put(file, utf8('x'), { signal: cancel.signal })
  cancel.abort()
  await expect(given).rejects.toThrow('cancelled')
  await Promise.all([
    expect(writes.put(file, utf8('x'))).rejects.toThrow('is not open'),
    commits.finish('seal', id),
  ])
})

test('a reader that is cancelled does not wait for the build of another', async () => {
  const { id } = await openCommit('slow')
  const gate = Promise.withResolvers<undefined>()
  const { contents } = world.ports
  const slow = createVersioning({
    ...world.ports,
    contents: {
      write: (bytes) => contents.write(bytes),
      series: () => contents.series(),
      writeBytes: async (bytes) => {
        await gate.promise
        return contents.writeBytes(bytes)
      },
      append: (head, tail) => contents.append(head, tail),
      read: (content, range) => contents.read(content, range),
      readMany: (small) => contents.readMany(small),
      readAhead: (some) => contents.readAhead(some),
      chunks: (content) => contents.chunks(content),
      hash: (content) => contents.hash(content),
    },
  })
  await slow.writes.put({ repo: 'slow', commit: id, path: 'f' }, utf8('x'))
  const first = slow.files.tree('slow', id)
  const cancel = new AbortController()
  const second = slow.files.tree('slow', id, cancel.signal)
  const cancelled = second.then(
    () => 'it waited',
    (error: unknown) => String(error),
  )
  cancel.abort()
  expect(await cancelled).toContain('cancelled')
  gate.resolve(undefined)
  expect((await first).tree.fileCount).toBe(1)
})

test('appends of every size to one path in a bulk write are the bytes one after another', async () => {
  await openCommit('joined')
  const { writes } = world.versioning
  await using bulk = await writes.bulk('joined', 'master')
  let whole = ''
  for (let at = 0; at < 3000; at += 1) {
    // Some ride in the record, some are a chunk, and a few are too long to be gathered.
    const size = at % 1000 === 999 ? 200_000 : at % 100 === 99 ? 5000 : 1 + (at % 7)
    const text = String.fromCharCode(97 + (at % 26)).repeat(size)
    const overwrite = at === 1500
    whole = overwrite ? text : whole + text
    await bulk.put('f', utf8(text), { overwrite })
  }
  await bulk.put('g', utf8('other'))
  await bulk.commit()
  expect((await world.read('joined', 'master', 'f')) === whole).toBe(true)
  expect(await world.read('joined', 'master', 'g')).toBe('other')
})

test('others get their turns while thousands of files are put and staged', async () => {
  const clock = new SteppingClock()
  await using own = await openTestVersioning(undefined, clock)
  const { commits, repos, writes } = own.versioning
  await repos.create({ name: 'r' })
  await commits.start({ repo: 'r', branch: 'master' })
  await using bulk = await writes.bulk('r', 'master')
  const others = { turns: 0, areOver: false }
  const going = (async () => {
    for (; !others.areOver; others.turns += 1) await nextTurn()
  })()
  const fileCount = 20_000
  for (let at = 0; at < fileCount; at += 1) await bulk.put(`d/${at}`, utf8('x'))
  const turnsOfPuts = others.turns
  await bulk.commit()
  others.areOver = true
  await going
  // A look at the clock, which takes a millisecond, at each sixteenth put, and at each batch that is staged;
  // ten of these are a turn.
  expect(turnsOfPuts).toBeGreaterThan(fileCount / 16 / 12)
  expect(others.turns - turnsOfPuts).toBeGreaterThan(fileCount / 256 / 12)
})

/** Time goes on whenever somebody looks. */
class SteppingClock extends SystemClock {
  #nowMs = 0

  override monotonicMs(): number {
    this.#nowMs += 1
    return this.#nowMs
  }
}
