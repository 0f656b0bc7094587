import { join } from 'node:path'
import type { Benchmark } from '../benchmark.ts'
import type { Pachd } from '../pachd.ts'
import { runShell, timed } from '../processes.ts'
import { putFile } from '../../src/client/file-transfers.ts'

const lengths = [10, 10_000] as const
const turns = 20
const label = (length: number): string =>
  `start, put, finish on ${length.toLocaleString('en')} commits`
const git = 'git add, git commit'
const list = 'list all commits'

export const manyCommits: Benchmark = {
  name: 'many-commits',
  title: `a commit of one file on a long branch, mean of ${turns}`,
  unit: 'ms',
  prepare: async ({ directory, startPachd, say }) => {
    const pachd = await startPachd()
    for (const length of lengths) {
      await pachd.pfs.createRepo({ repo: { name: repoOf(length) } })
      const ms = await timed(async () => commitTimes(pachd, repoOf(length), length))
      say(`${length} commits made in ${Math.round(ms)} ms`)
    }
    await runShell('git init -q plain', directory)
    const plain = join(directory, 'plain')
    const commit =
      'git -c user.name=bench -c user.email=bench@example.com -c gc.auto=0 commit -q -m one'
    const oneTurn = `date +%N%s > file && git add . && ${commit}`
    return {
      contenders: [
        ...lengths.map((length) => ({
          label: label(length),
          run: async () =>
            (await timed(async () => commitTimes(pachd, repoOf(length), turns))) / turns,
        })),
        {
          label: git,
          run: async () => {
            const loop = `for turn in $(seq ${turns}); do ${oneTurn}; done`
            return (await runShell(loop, plain)) / turns
          },
        },
        {
          label: list,
          run: async () =>
            timed(async () => {
              const repo = { name: repoOf(lengths[1]) }
              const { commitInfo } = await pachd.pfs.listCommit({ repo })
              if (commitInfo.length < lengths[1]) throw new Error('commits are missing')
            }),
        },
      ],
      comparisons: [
        {
          ours: label(lengths[1]),
          baseline: label(lengths[0]),
          budget: { kind: 'slower', atMost: 2 },
        },
        { ours: label(lengths[1]), baseline: git },
      ],
    }
  },
}

function repoOf(length: number): string {
  return `branch-of-${length}`
}

async function commitTimes(pachd: Pachd, repo: string, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    const commit = await pachd.startCommit(repo)
    const file = { commit: { repo, id: commit.id }, path: '/file' }
    await putFile(pachd.transport, file, only(`${index}\n`))
    await pachd.pfs.finishCommit({ commit })
  }
}

async function* only(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text)
}
