import { spawn } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Benchmark } from '../benchmark.ts'
import { runShell } from '../processes.ts'
import { writeLargeFile } from '../seeded-files.ts'

const sizeMib = 512
const fileServer = fileURLToPath(new URL('../file-server.ts', import.meta.url))

/** A process that serves a file, and its port. */
async function startFileServer(path: string): Promise<AsyncDisposable & { readonly port: number }> {
  const child = spawn(process.execPath, [fileServer, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const port = await new Promise<number>((resolve) => {
    child.stdout.once('data', (text: Buffer) => resolve(Number(text.toString())))
  })
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      child.kill()
      await ended
    },
  }
}

export const putFrom: Benchmark = {
  name: 'put-from',
  title: `a ${sizeMib} MiB file from the web, and from another pachd`,
  unit: 'ms',
  roundsMax: 3,
  prepare: async ({ directory, startPachd, use, noteClientMemory }) => {
    const pachd = await startPachd()
    const other = await startPachd()
    await pachd.pfs.createRepo({ repo: { name: 'here' } })
    await other.pfs.createRepo({ repo: { name: 'there' } })
    const input = join(directory, 'input')
    await writeLargeFile(input, sizeMib, 0)
    const { port } = use(await startFileServer(input))
    const url = `http://127.0.0.1:${port}/input`
    const put = async (round: number, name: string, source: string): Promise<number> => {
      const path = `/${name}-${round}`
      const { ms, peakMib } = await pachd.pachctl(
        'put-file',
        'here',
        'master',
        path,
        '-c',
        '-f',
        source,
      )
      noteClientMemory(peakMib)
      return ms
    }
    const there = `pfs://127.0.0.1:${other.port}/there/master`
    return {
      contenders: [
        {
          label: 'pachctl put-file -f http://',
          run: async (round) => {
            // New contents each round: equal ones would be stored once only.
            await writeLargeFile(input, sizeMib, round * 2)
            return put(round, 'web', url)
          },
        },
        {
          label: 'curl to disk, fsync',
          run: async () => {
            const ms = await runShell(`curl -s -o copy ${url} && sync copy`, directory)
            await rm(join(directory, 'copy'))
            return ms
          },
        },
        {
          label: 'pachctl put-file -f pfs://',
          run: async (round) => {
            await writeLargeFile(input, sizeMib, round * 2 + 1)
            await other.pachctl('put-file', 'there', 'master', `/${round}`, '-c', '-f', input)
            return put(round, 'pfs', `${there}/${round}`)
          },
        },
        {
          label: 'the same again, which is here already',
          run: (round) => put(round, 'again', `${there}/${round}`),
        },
      ],
      comparisons: [
        {
          ours: 'pachctl put-file -f http://',
          baseline: 'curl to disk, fsync',
          budget: { kind: 'faster', atLeast: 0.5 },
        },
        { ours: 'pachctl put-file -f pfs://', baseline: 'curl to disk, fsync' },
        { ours: 'the same again, which is here already', baseline: 'pachctl put-file -f pfs://' },
      ],
    }
  },
}
