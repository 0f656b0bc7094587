import type { Benchmark } from '../benchmark.ts'
import type { Pachd } from '../pachd.ts'
import { timed } from '../processes.ts'
import { smallChanges } from '../seeded-files.ts'
import { putFile } from '../../src/client/file-transfers.ts'

const sizes = [1000, 10_000, 100_000, 1_000_000] as const
const filesPerDirectory = 1000
const turns = 5
const label = (size: number): string => `finish, ${size.toLocaleString('en')} files`

export const finishCommit: Benchmark = {
  name: 'finish-commit',
  title: 'finish a commit of 10 changed files',
  unit: 'ms',
  prepare: async ({ startPachd, say }) => {
    const pachd = await startPachd()
    for (const size of sizes) {
      const ms = await timed(async () => pachd.createRepo(`repo-${size}`, filesOf(size)))
      say(`${size} files put in ${Math.round(ms)} ms`)
    }
    return {
      contenders: sizes.map((size) => ({
        label: label(size),
        run: async (round: number) => {
          // The mean of some: one alone is little more than two waits for the disk.
          let ms = 0
          for (let turn = 0; turn < turns; turn += 1) {
            ms += (await finishAfterPuts(pachd, size, round * turns + turn)) / turns
          }
          return ms
        },
      })),
      comparisons: sizes.slice(1).map((size) => ({
        ours: label(size),
        baseline: label(sizes[0]),
        budget: { kind: 'slower', atMost: 2 } as const,
      })),
    }
  },
}

/** Changes 10 files, all over the repo; gives what the finish took. */
async function finishAfterPuts(pachd: Pachd, size: number, version: number): Promise<number> {
  const repo = `repo-${size}`
  const commit = await pachd.startCommit(repo)
  for (let index = 0; index < 10; index += 1) {
    const number = Math.floor(((index + 0.5) * size) / 10)
    const directory = Math.floor(number / filesPerDirectory)
    const name = String(number % filesPerDirectory).padStart(7, '0')
    const file = { commit: { repo, id: commit.id }, path: `/d${directory}/${name}` }
    const text = new TextEncoder().encode(`${'changed '.repeat(12)}${version}/${index}`)
    await putFile(pachd.transport, file, only(text), { overwrite: true })
  }
  return timed(async () => pachd.pfs.finishCommit({ commit }))
}

function* filesOf(size: number): ReturnType<typeof smallChanges> {
  for (let directory = 0; directory * filesPerDirectory < size; directory += 1) {
    yield* smallChanges(`/d${directory}`, Math.min(size, filesPerDirectory), directory)
  }
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
