import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

import { utf8 } from '../../base/bytes.ts'
import { SystemClock } from '../../base/clock.ts'
import { ChunkedContents } from '../../storage/chunked-contents.ts'
import { MemoryChunkStore } from '../../storage/memory-chunks.ts'
import { feedWhile, makePipes } from './lazy-files.ts'
import { LazyReaders } from './lazy-readers.ts'

const clock = new SystemClock()

/** Files below a directory that this process has open. */
async function openIn(directory: string): Promise<readonly string[]> {
  const descriptors = await readdir('/proc/self/fd')
  const links = descriptors.map((name) => readlink(join('/proc/self/fd', name)).catch(() => ''))
  return (await Promise.all(links)).filter((path) => path.startsWith(directory))
}

test('when no other pipe can take the name of one, nothing stays open', async () => {
  // On another disk than the pipes, so that none can be renamed to the place of one.
  const spares = await mkdtemp(join(resolve('node_modules'), '.pachyderm-lazy-'))
  const directory = await mkdtemp('/dev/shm/pachyderm-lazy-')
  const readers: ChildProcess[] = []
  try {
    const pfsDirectory = join(spares, 'pfs')
    await mkdir(pfsDirectory)
    const content = { kind: 'inline', bytes: utf8('hi') } as const
    const files = ['a', 'b', 'c'].map((name) => ({ path: join(directory, name), content }))
    await makePipes(files.map(({ path }) => path))
    for (const { path } of files) readers.push(spawn('cat', [path]))
    const contents = new ChunkedContents(new MemoryChunkStore())
    const feeding = feedWhile(
      { contents, clock, lazyReaders: new LazyReaders() },
      { pfsDirectory },
      files,
      async () => {
        await clock.sleep(500)
      },
    )
    await expect(feeding).rejects.toThrow('EXDEV')
    await expect.poll(() => openIn(directory)).toEqual([])
  } finally {
    for (const reader of readers) reader.kill()
    for (const made of [spares, directory]) await rm(made, { recursive: true, force: true })
  }
})

test('of more files than may be read at a time, each is read in its turn', async () => {
  const directory = await mkdtemp('/dev/shm/pachyderm-lazy-')
  const readers: ChildProcess[] = []
  try {
    const pfsDirectory = join(directory, 'pfs')
    await mkdir(pfsDirectory)
    // More than a pipe holds: a reader that does not read keeps its place.
    const content = { kind: 'inline', bytes: new Uint8Array(200_000) } as const
    const names = Array.from({ length: 20 }, (_, index) => `f${index}`)
    const files = names.map((name) => ({ path: join(directory, name), content }))
    await makePipes(files.map(({ path }) => path))
    const contents = new ChunkedContents(new MemoryChunkStore())
    // Eight descriptors: two for whoever comes first, beside the sixteen that each datum has.
    const lazyReaders = new LazyReaders(8)
    const counts: number[] = []
    const ports = { contents, clock, lazyReaders }
    const { bytes } = await feedWhile(ports, { pfsDirectory }, files, async () => {
      const held = files.map(({ path }) =>
        spawn('sh', ['-c', 'exec 4<"$0"; read -r _; exec cat <&4', path]),
      )
      readers.push(...held)
      await expect.poll(async () => (await openIn(directory)).length).toBe(18)
      await clock.sleep(100)
      counts.push((await openIn(directory)).length)
      const read = held.map(async (reader) => {
        let size = 0
        for await (const piece of reader.stdout) size += (piece as Buffer).length
        return size
      })
      for (const reader of held) reader.stdin.end('\n')
      counts.push(...new Set(await Promise.all(read)))
    })
    expect(counts).toEqual([18, content.bytes.length])
    expect(bytes).toBe(files.length * content.bytes.length)
    expect(lazyReaders.mayHaveMore(17)).toBe(true)
    await expect.poll(() => openIn(directory)).toEqual([])
  } finally {
    for (const reader of readers) reader.kill('SIGKILL')
    await rm(directory, { recursive: true, force: true })
  }
})
