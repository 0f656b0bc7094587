import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { SystemClock } from '../../src/base/clock.ts'
import { NodeTransport } from '../../src/node-client/node-transport.ts'
import { putFile } from '../../src/client/file-transfers.ts'
import type { CommitRef } from '../../src/base/file-refs.ts'
import type { Benchmark } from '../benchmark.ts'
import type { Pachd } from '../pachd.ts'
import { timed } from '../processes.ts'
import { smallChanges } from '../seeded-files.ts'

const writers = 64
const connections = 4
const putCount = 10_000
const alone = 'one writer'
const together = `${writers} writers, one commit`
const apart = `${writers} writers, ${writers} repos`
const files = `${writers} writers of a Node program, write and fsync`
const fileCount = 2000

export const singlePuts: Benchmark = {
  name: 'single-puts',
  title: 'files of 100 bytes, each with a PutFile of its own that is durable when it is answered',
  unit: 'calls/s',
  prepare: async ({ directory, startPachd, use }) => {
    const pachd = await startPachd()
    const transports = Array.from({ length: connections }, () =>
      use(new NodeTransport({ host: '127.0.0.1', port: pachd.port }, new SystemClock())),
    )
    return {
      contenders: [
        {
          label: alone,
          run: async (round) => {
            const [commit] = await openCommits(pachd, `alone-${round}`, 1)
            return putRate(transports.slice(0, 1), [commit], { at: 1, count: putCount / 10 })
          },
        },
        {
          label: together,
          run: async (round) => {
            const commits = await openCommits(pachd, `together-${round}`, 1)
            return putRate(transports, commits, { at: writers, count: putCount })
          },
        },
        {
          label: apart,
          run: async (round) => {
            const commits = await openCommits(pachd, `apart-${round}`, writers)
            return putRate(transports, commits, { at: writers, count: putCount })
          },
        },
        { label: files, run: async (round) => fileRate(`${directory}/plain-${round}`) },
      ],
      comparisons: [
        { ours: together, baseline: files },
        { ours: apart, baseline: files },
        { ours: together, baseline: alone },
      ],
    }
  },
}

async function openCommits(
  pachd: Pachd,
  name: string,
  count: number,
): Promise<readonly (CommitRef | undefined)[]> {
  const commits: CommitRef[] = []
  for (let index = 0; index < count; index += 1) {
    const repo = `${name}-${index}`
    await pachd.pfs.createRepo({ repo: { name: repo } })
    commits.push({ repo, id: (await pachd.startCommit(repo)).id })
  }
  return commits
}

/** Puts acknowledged in a second, `at` of them on their way at once. */
async function putRate(
  transports: readonly NodeTransport[],
  commits: readonly (CommitRef | undefined)[],
  { at, count }: { readonly at: number; readonly count: number },
): Promise<number> {
  const puts = smallChanges('/d', count, count)
  const write = async (writer: number): Promise<void> => {
    const transport = transports[writer % transports.length]
    const commit = commits[writer % commits.length]
    if (transport === undefined || commit === undefined) throw new Error('nowhere to put')
    for (const { path, bytes } of puts) {
      await putFile(transport, { commit, path }, only(bytes))
    }
  }
  const ms = await timed(async () =>
    Promise.all(Array.from({ length: at }, (_, writer) => write(writer))),
  )
  return count / (ms / 1000)
}

/** Files that a program on its own makes durable in a second, one after another in each writer. */
async function fileRate(directory: string): Promise<number> {
  const program = fileURLToPath(new URL('../plain-writer.ts', import.meta.url))
  const child = fork(program, [directory, String(writers), String(fileCount)])
  const ms = await new Promise<number>((resolve, reject) => {
    child.once('message', (message) => resolve(Number(message)))
    child.once('exit', (code) => reject(new Error(`the plain writer ended with ${code}`)))
  })
  return fileCount / (ms / 1000)
}

async function* only(bytes: AsyncIterable<Uint8Array> | Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes instanceof Uint8Array) yield bytes
  else yield* bytes
}
