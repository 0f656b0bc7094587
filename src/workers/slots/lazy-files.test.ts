import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

import { utf8 } from '../../base/bytes.ts'
import { SystemClock } from '../../base/clock.ts'
import { ChunkedContents } from '../../storage/chunked-contents.ts'
import { MemoryChunkStore } from '../../storage/memory-chunks.ts'
import { feedWhile, makePipes } from './lazy-files.ts'

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
    const feeding = feedWhile({ contents, clock }, { pfsDirectory }, files, async () => {
      await clock.sleep(500)
    })
    await expect(feeding).rejects.toThrow('EXDEV')
    await expect.poll(() => openIn(directory)).toEqual([])
  } finally {
    for (const reader of readers) reader.kill()
    for (const made of [spares, directory]) await rm(made, { recursive: true, force: true })
  }
})
