import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { collectBytes, utf8, utf8Text } from '../base/bytes.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { FileNotFoundError } from './errors.ts'
import type { Selection } from './files.ts'

const mib = 1024 * 1024
const longBytes = seededBytes(9, 9 * mib)

let world: TestVersioning

beforeAll(async () => {
  world = await openTestVersioning()
  const { commits, repos, writes, copies } = world.versioning
  await repos.create({ name: 'r' })
  await commits.start({ repo: 'r', branch: 'master' })
  const put = async (path: string, bytes: Uint8Array): Promise<void> =>
    writes.put({ repo: 'r', commit: 'master', path }, bytes)
  for (const path of ['a', 'd/f', 'd/g', 'd/sub/h', 'z']) await put(path, utf8(`${path}.`))
  await put('d/long', longBytes)
  await put('e/gone', utf8('x'))
  await writes.delete({ repo: 'r', commit: 'master', path: 'e/gone' })
  for (let index = 0; index < 1500; index += 1) await put(`many/${index}`, utf8(`${index}`))
  await copies.copy(
    { repo: 'r', commit: 'master', path: 'd/f' },
    { repo: 'r', commit: 'master', path: 'd/copy' },
    { mode: 'refuse' },
  )
  await commits.finish('r', 'master')
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

/** What comes, as `path`, or `path: content` for short files. */
async function got(selection: Selection, contents = true): Promise<readonly string[]> {
  const lines: string[] = []
  const request = { repo: 'r', commit: 'master', selection, contents }
  for await (const { info, content } of world.versioning.files.download(request)) {
    const { path, sizeBytes } = info
    if (content === undefined) {
      lines.push(path)
      continue
    }
    const bytes = content instanceof Uint8Array ? content : await collectBytes(content, 10 * mib)
    expect(bytes.length).toBe(sizeBytes)
    const isLong = Buffer.compare(bytes, longBytes) === 0
    lines.push(`${path}: ${isLong ? 'long' : utf8Text(bytes.subarray(0, 1000))}`)
  }
  return lines
}

const belowD = [
  '/d',
  '/d/copy: d/f.',
  '/d/f: d/f.',
  '/d/g: d/g.',
  '/d/long: long',
  '/d/sub',
  '/d/sub/h: d/sub/h.',
]

describe('a download', () => {
  test('of a directory has it and all that is in it, in tree order', async () => {
    expect(await got({ kind: 'paths', paths: ['d/'], recursive: true })).toEqual(belowD)
  })

  test('of several paths has them in the order of the request, each as often as it is asked for', async () => {
    const paths = ['z', 'a', '/d/sub/h', 'z']
    expect(await got({ kind: 'paths', paths, recursive: false })).toEqual([
      '/z: z.',
      '/a: a.',
      '/d/sub/h: d/sub/h.',
      '/z: z.',
    ])
  })

  test('that is not recursive only tells directories', async () => {
    expect(await got({ kind: 'paths', paths: ['d', ''], recursive: false })).toEqual(['/d', ''])
  })

  test('of a pattern has what matches, with all in it where it is recursive', async () => {
    expect(await got({ kind: 'glob', pattern: '/[ad]', recursive: false })).toEqual([
      '/a: a.',
      '/d',
    ])
    const all = await got({ kind: 'glob', pattern: '/[ad]', recursive: true })
    expect(all).toEqual(['/a: a.', ...belowD])
    expect(await got({ kind: 'glob', pattern: '/none*', recursive: true })).toEqual([])
  })

  test('of many files has each with its own content', async () => {
    const all = await got({ kind: 'paths', paths: ['many'], recursive: true })
    const names = Array.from({ length: 1500 }, (_, index) => `${index}`).toSorted()
    expect(all).toEqual(['/many', ...names.map((name) => `/many/${name}: ${name}`)])
  })

  test('without contents tells the same files and directories', async () => {
    const told = await got({ kind: 'paths', paths: [''], recursive: true }, false)
    const withContents = await got({ kind: 'paths', paths: [''], recursive: true })
    expect(told).toEqual(withContents.map((line) => line.split(':')[0]))
    expect(told.slice(0, 2)).toEqual(['', '/a'])
    expect(told).toContain('/e')
  })

  test('comes to an end where a path is missing, or is none', async () => {
    const lines = got({ kind: 'paths', paths: ['a', 'none'], recursive: false })
    await expect(lines).rejects.toThrow(FileNotFoundError)
    await expect(got({ kind: 'paths', paths: ['../a'], recursive: false })).rejects.toThrow('..')
    await expect(got({ kind: 'glob', pattern: '[', recursive: false })).rejects.toThrow('malformed')
  })

  test('can be left at any time, and is cancelled by its signal', async () => {
    const selection = { kind: 'paths', paths: [''], recursive: true } as const
    const request = { repo: 'r', commit: 'master', selection, contents: true }
    for await (const { info } of world.versioning.files.download(request)) {
      if (info.path === '/d/f') break
    }
    const cancel = new AbortController()
    const entries = world.versioning.files.download(request, cancel.signal)
    await entries.next()
    cancel.abort()
    await expect(Array.fromAsync(entries)).rejects.toThrow('cancelled')
  })
})

test('the chunks of a file join to its size; a directory and a missing file have none', async () => {
  const { files } = world.versioning
  const chunksOf = async (path: string): Promise<readonly number[]> => {
    const chunks = await Array.fromAsync(files.chunks({ repo: 'r', commit: 'master', path }))
    return chunks.map(({ sizeBytes }) => sizeBytes)
  }
  expect(await chunksOf('a')).toEqual([2])
  const sizes = await chunksOf('d/long')
  expect(sizes.length).toBeGreaterThan(2)
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(longBytes.length)
  await expect(chunksOf('d')).rejects.toThrow('/d is a directory')
  await expect(chunksOf('none')).rejects.toThrow(FileNotFoundError)
})
