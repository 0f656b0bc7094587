import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmark } from '../benchmark.ts'
import { clientProgram, type Pachd } from '../pachd.ts'
import { peakMemoryMib, runProgram, runShell } from '../processes.ts'
import { smallChanges, writeLargeFile } from '../seeded-files.ts'

const sizeMib = 1024
const fileCount = 100_000

/** Measures one line of shell in a new mount each time, so that the kernel remembers nothing. */
async function inMount(
  { port }: Pachd,
  directory: string,
  { line, noteMemory }: { readonly line: string; readonly noteMemory: (mib: number) => void },
): Promise<number> {
  const path = join(directory, 'pfs')
  await mkdir(path, { recursive: true })
  const env = { ...process.env, ADDRESS: `127.0.0.1:${port}` }
  const child: ChildProcess = spawn(clientProgram, ['mount', path], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  try {
    if (child.stdout !== null) await Promise.race([once(child.stdout, 'data'), ended])
    const ms = await runShell(line, directory)
    noteMemory(peakMemoryMib(child.pid ?? 0) ?? 0)
    return ms
  } finally {
    await runProgram(clientProgram, ['unmount', path], { env })
    await ended
  }
}

export const mountRead: Benchmark = {
  name: 'mount-read',
  title: '1 GiB file read through a mount',
  unit: 'ms',
  prepare: async ({ directory, startPachd, noteClientMemory }) => {
    requireFuse()
    const pachd = await startPachd()
    await pachd.pfs.createRepo({ repo: { name: 'large' } })
    const input = join(directory, 'input')
    await writeLargeFile(input, sizeMib, 0)
    await pachd.pachctl('put-file', 'large', 'master', '/file', '-c', '-f', input)
    await rename(input, join(directory, 'plain'))
    const mounted = 'cat in mount'
    return {
      contenders: [
        {
          label: mounted,
          run: async () =>
            inMount(pachd, directory, {
              line: 'cat pfs/large/master/file | cat >/dev/null',
              noteMemory: noteClientMemory,
            }),
        },
        {
          label: 'pachctl get-file',
          run: async () =>
            runShell(`${pachd.clientLine} get-file large master /file | cat >/dev/null`, directory),
        },
        { label: 'cat', run: async () => runShell('cat plain | cat >/dev/null', directory) },
      ],
      comparisons: [
        { ours: mounted, baseline: 'pachctl get-file', budget: { kind: 'faster', atLeast: 0.5 } },
        { ours: mounted, baseline: 'cat' },
      ],
    }
  },
}

export const mountList: Benchmark = {
  name: 'mount-list',
  title: 'list 100,000 files in a mount, with type and size',
  unit: 'ms',
  prepare: async ({ directory, startPachd, noteClientMemory }) => {
    requireFuse()
    const pachd = await startPachd()
    await pachd.createRepo('wide', smallChanges('/d', fileCount, 0))
    const plain = join(directory, 'd')
    await mkdir(plain)
    for (const { path } of smallChanges('', fileCount, 0)) await writeFile(join(plain, path), '')
    return {
      contenders: [
        {
          label: 'find in mount',
          run: async () =>
            inMount(pachd, directory, {
              line: findLine('pfs/wide/master/d'),
              noteMemory: noteClientMemory,
            }),
        },
        {
          label: 'pachctl list-file',
          run: async () => (await pachd.pachctl('list-file', 'wide', 'master', '/d')).ms,
        },
        { label: 'find', run: async () => runShell(findLine('d'), directory) },
      ],
      comparisons: [
        { ours: 'find in mount', baseline: 'pachctl list-file' },
        { ours: 'find in mount', baseline: 'find' },
      ],
    }
  },
}

function findLine(where: string): string {
  return `find ${where} -printf '%p\\t%y\\t%s\\n' >/dev/null`
}

function requireFuse(): void {
  if (!existsSync('/dev/fuse') || process.geteuid?.() !== 0) {
    throw new Error('a mount needs /dev/fuse and root')
  }
}
