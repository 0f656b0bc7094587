import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { array, assert, asyncProperty, constantFrom, nat } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { InvalidArgumentError, NotFoundError } from '../base/errors.ts'
import { type ObjectStore, parseObjectKey } from '../storage/object-store.ts'
import { seededBytes } from './seeded-random.ts'
import { TemporaryDirectory } from './temporary-directory.ts'

export type OpenObjectStore = () => Promise<{ readonly objects: ObjectStore } & AsyncDisposable>

const key = parseObjectKey

/** What every object store must do. */
export function describeObjectStore(store: string, open: OpenObjectStore): void {
  describe(`object store: ${store}`, () => {
    testBytes(open)
    testNames(open)
    testAbsence(open)
    testLists(open)
  })
}

function testBytes(open: OpenObjectStore): void {
  test('an object comes back whole and in ranges', async () => {
    await using opened = await open()
    const { objects } = opened
    const bytes = seededBytes(1, 100_000)
    expect(await objects.putIfAbsent(key('a/b'), [bytes.subarray(0, 7), bytes.subarray(7)])).toBe(
      true,
    )
    expect(await objects.sizeBytes(key('a/b'))).toBe(bytes.length)
    for (const [offset, length] of [
      [0, 100_000],
      [0, 0],
      [5, 10],
      [99_990, 100],
      [100_000, 5],
      [200_000, 5],
    ] as const) {
      const read = await objects.get(key('a/b'), offset, length)
      const wanted = bytes.subarray(offset, offset + length)
      expect(Buffer.compare(read, wanted)).toBe(0)
      const memory = new Uint8Array(length)
      const filled = await objects.getInto(key('a/b'), offset, memory)
      expect(Buffer.compare(memory.subarray(0, filled), wanted)).toBe(0)
    }
  })

  test('an object may be empty, and may come from a stream', async () => {
    await using opened = await open()
    const { objects } = opened
    await objects.putIfAbsent(key('empty'), [])
    await objects.putIfAbsent(key('stream'), twoParts())
    expect(await objects.sizeBytes(key('empty'))).toBe(0)
    expect(Buffer.from(await objects.get(key('stream'), 0, 100)).toString()).toBe('one two')
  })
}

function testNames(open: OpenObjectStore): void {
  test('an object that exists is never replaced', async () => {
    await using opened = await open()
    const { objects } = opened
    expect(await objects.putIfAbsent(key('x'), [utf8('first')])).toBe(true)
    expect(await objects.putIfAbsent(key('x'), [utf8('second')])).toBe(false)
    expect(Buffer.from(await objects.get(key('x'), 0, 100)).toString()).toBe('first')
  })

  test('of several puts at once exactly one wins, and its bytes are there', async () => {
    await using opened = await open()
    const { objects } = opened
    const stored = await Promise.all(
      Array.from({ length: 16 }, (_, at) => objects.putIfAbsent(key('race'), [utf8(`put ${at}`)])),
    )
    expect(stored.filter(Boolean)).toHaveLength(1)
    const winner = Buffer.from(await objects.get(key('race'), 0, 100)).toString()
    expect(winner).toBe(`put ${stored.indexOf(true)}`)
  })

  test('a local file is taken over', async () => {
    await using directory = await TemporaryDirectory.create()
    await using opened = await open()
    const { objects } = opened
    for (const stored of [true, false]) {
      const path = join(directory.path, 'file')
      await writeFile(path, 'from a file')
      expect(await objects.putFileIfAbsent(key('deep/er/file'), path)).toBe(stored)
      await expect(access(path)).rejects.toThrow('ENOENT')
      const read = await objects.get(key('deep/er/file'), 5, 100)
      expect(Buffer.from(read).toString()).toBe('a file')
    }
  })
}

function testAbsence(open: OpenObjectStore): void {
  test('a put whose stream fails leaves nothing to be seen', async () => {
    await using opened = await open()
    const { objects } = opened
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield utf8('some bytes')
      await expect(objects.sizeBytes(key('half'))).rejects.toThrow(NotFoundError)
      throw new Error('the line was cut')
    }
    await expect(objects.putIfAbsent(key('half'), failing())).rejects.toThrow('the line was cut')
    await expect(objects.sizeBytes(key('half'))).rejects.toThrow(NotFoundError)
    expect(await Array.fromAsync(objects.list(''))).toEqual([])
    expect(await objects.putIfAbsent(key('half'), [utf8('whole')])).toBe(true)
  })

  test('a missing object is not found, and deleting it does nothing', async () => {
    await using opened = await open()
    const { objects } = opened
    await expect(objects.get(key('no/such'), 0, 1)).rejects.toThrow(NotFoundError)
    await expect(objects.sizeBytes(key('no'))).rejects.toThrow(NotFoundError)
    await objects.delete(key('no/such'))
  })

  test('a deleted object is gone at once, and its name is free', async () => {
    await using opened = await open()
    const { objects } = opened
    await objects.putIfAbsent(key('d/x'), [utf8('old')])
    expect((await objects.get(key('d/x'), 0, 10)).length).toBe(3)
    await objects.delete(key('d/x'))
    await expect(objects.get(key('d/x'), 0, 10)).rejects.toThrow(NotFoundError)
    expect(await objects.putIfAbsent(key('d/x'), [utf8('newer')])).toBe(true)
    expect(Buffer.from(await objects.get(key('d/x'), 0, 10)).toString()).toBe('newer')
  })
}

function testLists(open: OpenObjectStore): void {
  test('a list is what was put, in byte order, whatever the prefix', async () => {
    const names = constantFrom(
      'a',
      'a-',
      'a.b',
      'a0',
      'a/b',
      'a/b-c',
      'a/b/c',
      'a/0',
      'b',
      'B',
      '_',
    )
    await assert(
      asyncProperty(
        array(names, { maxLength: 8 }),
        constantFrom('', 'a', 'a/', 'a/b', 'a/b/', 'b', 'c', 'a/b/c/d'),
        nat(3),
        async (puts, prefix, deleted) => {
          await using opened = await open()
          const { objects } = opened
          const model = new Map<string, number>()
          // A name cannot be an object and a folder at once in a directory.
          for (const name of puts.map((put, at) => `${put}/file-${at}`)) {
            model.set(name, name.length)
            await objects.putIfAbsent(key(name), [utf8(name)])
          }
          for (const name of [...model.keys()].slice(0, deleted)) {
            model.delete(name)
            await objects.delete(key(name))
          }
          const listed = await Array.fromAsync(objects.list(prefix))
          const expected = [...model.keys()].filter((each) => each.startsWith(prefix))
          expect(listed).toEqual(
            expected
              .toSorted((left, right) => Buffer.compare(utf8(left), utf8(right)))
              .map((each) => ({ key: each, sizeBytes: model.get(each) })),
          )
        },
      ),
      { numRuns: 40 },
    )
  })

  test('a key that could leave the store is refused', () => {
    const bad = [
      '',
      '/',
      '/a',
      'a/',
      'a//b',
      '.',
      '..',
      'a/../b',
      '../a',
      'a/.b',
      'a\0',
      'a b',
      'ä',
    ]
    for (const text of [...bad, 'x'.repeat(513)]) {
      expect(() => key(text)).toThrow(InvalidArgumentError)
    }
  })
}

async function* twoParts(): AsyncGenerator<Uint8Array> {
  yield utf8('one ')
  await Promise.resolve()
  yield utf8('two')
}
