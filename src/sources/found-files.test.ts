import { expect, test } from 'vitest'
import { type FoundFile, foundFiles, type SourceOpener } from './found-files.ts'
import type { Source, SourceFile } from './source.ts'

/** Sources of some files each, by URL, that take a while to be found; and how many were at once. */
class SlowSources implements SourceOpener {
  openedCount = 0
  closedCount = 0
  mostAtOnce = 0
  #running = 0

  async open(url: string): Promise<Source> {
    this.openedCount += 1
    this.#running += 1
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#running)
    await new Promise((resolve) => setTimeout(resolve, 1))
    this.#running -= 1
    if (url === 'missing') throw new Error('there is no such source')
    return { name: url, ownName: url, files: () => this.#files() }
  }

  async *#files(): AsyncGenerator<SourceFile> {
    try {
      for (const path of ['/a', '/b']) {
        yield { path, sizeBytes: 0, version: undefined, async *open() {} }
      }
    } finally {
      this.closedCount += 1
    }
  }
}

function found(opener: SourceOpener, urls: readonly string[]): AsyncGenerator<FoundFile> {
  const sources = urls.map((url) => ({ url, path: `/${url}`, addsOwnName: false }))
  const { signal } = new AbortController()
  return foundFiles(opener, { sources, isRecursive: true, count: 4, signal })
}

const urls = Array.from({ length: 20 }, (_, index) => `s${index}`)

test('sources are opened some ahead, and their files come in order', async () => {
  const opener = new SlowSources()
  const paths: string[] = []
  for await (const { path } of found(opener, urls)) {
    paths.push(path)
    expect(opener.openedCount - paths.length / 2).toBeLessThanOrEqual(5)
  }
  expect(paths).toEqual(urls.flatMap((url) => [`/${url}/a`, `/${url}/b`]))
  expect([opener.mostAtOnce, opener.closedCount]).toEqual([4, 20])
})

test('who leaves closes what is open, and nothing else is opened', async () => {
  const opener = new SlowSources()
  for await (const { path } of found(opener, urls)) if (path === '/s2/a') break
  const { openedCount } = opener
  expect(openedCount).toBeLessThanOrEqual(7)
  expect(opener.closedCount).toBe(3)
  await new Promise((resolve) => setTimeout(resolve, 10))
  expect(opener.openedCount).toBe(openedCount)
})

test('a source that is missing fails all', async () => {
  const reading = Array.fromAsync(found(new SlowSources(), ['s0', 's1', 'missing', 's3']))
  await expect(reading).rejects.toThrow('there is no such source')
})
