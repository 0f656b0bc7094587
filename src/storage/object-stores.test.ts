import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { ResourceExhaustedError, UnavailableError } from '../base/errors.ts'
import { describeObjectStore } from '../testing/object-store-conformance.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import type { FaultPoint } from './fault-point.ts'
import { LocalObjectStore } from './local-objects.ts'
import { MemoryObjectStore } from './memory-objects.ts'
import { parseObjectKey } from './object-store.ts'

describeObjectStore('memory', () =>
  Promise.resolve({
    objects: new MemoryObjectStore(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }),
)

describeObjectStore('directory', async () => {
  await using opened = new AsyncDisposableStack()
  const directory = opened.use(await TemporaryDirectory.create())
  const objects = opened.use(await LocalObjectStore.open(join(directory.path, 'objects')))
  const parts = opened.move()
  return { objects, [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose]() }
})

function failAt(step: string, code: string): FaultPoint {
  return (reached) => {
    if (reached === step) throw Object.assign(new Error(code), { code })
  }
}

const key = parseObjectKey('packs/one')

describe('objects in a directory', () => {
  test('a full disk is told as such, and leaves no draft', async () => {
    await using directory = await TemporaryDirectory.create()
    for (const step of ['object: write', 'object: before sync', 'object: synced']) {
      await using objects = await LocalObjectStore.open(directory.path, failAt(step, 'ENOSPC'))
      await expect(objects.putIfAbsent(key, [utf8('x')])).rejects.toThrow(ResourceExhaustedError)
      expect(await readdir(join(directory.path, '.incoming'))).toEqual([])
      expect(await Array.fromAsync(objects.list(''))).toEqual([])
    }
  })

  test('each name becomes visible only after its bytes are synced, and the put ends after its folder is', async () => {
    await using directory = await TemporaryDirectory.create()
    const steps: string[] = []
    await using objects = await LocalObjectStore.open(directory.path, (step) => steps.push(step))
    await objects.putIfAbsent(key, [utf8('x')])
    expect(steps).toEqual([
      'object: write',
      'object: before sync',
      'object: sync',
      'object: synced',
      'object: sync', // of the folder that holds the new folder
      'object: linked',
      'object: sync',
      'object: directory synced',
      'object: draft removed',
    ])
  })

  test('after a sync has failed, nothing more is taken', async () => {
    await using directory = await TemporaryDirectory.create()
    await using objects = await LocalObjectStore.open(directory.path, failAt('object: sync', 'EIO'))
    await expect(objects.putIfAbsent(key, [utf8('x')])).rejects.toThrow(UnavailableError)
    await expect(objects.putIfAbsent(key, [utf8('x')])).rejects.toThrow('failed to sync')
    expect(await Array.fromAsync(objects.list(''))).toEqual([])
  })

  test('drafts that a crash left are removed when the store is opened', async () => {
    await using directory = await TemporaryDirectory.create()
    const incoming = join(directory.path, '.incoming')
    await mkdir(incoming)
    await writeFile(join(incoming, '1'), 'left over')
    await using objects = await LocalObjectStore.open(directory.path)
    expect(await readdir(incoming)).toEqual([])
    expect(await objects.putIfAbsent(key, [utf8('x')])).toBe(true)
  })
})

test('a full memory store is told as such', async () => {
  const objects = new MemoryObjectStore(5)
  await objects.putIfAbsent(key, [utf8('1234')])
  await expect(objects.putIfAbsent(parseObjectKey('two'), [utf8('12')])).rejects.toThrow(
    ResourceExhaustedError,
  )
  await objects.delete(key)
  expect(await objects.putIfAbsent(parseObjectKey('two'), [utf8('12')])).toBe(true)
})
