import type { Benchmark } from '../benchmark.ts'
import type { Pachd } from '../pachd.ts'
import { timed } from '../processes.ts'

const counts = [10, 1000] as const
const turns = 20
const label = (count: number): string =>
  `start, finish among ${count.toLocaleString('en')} branches`
const list = `list ${counts[1].toLocaleString('en')} branches`

export const manyBranches: Benchmark = {
  name: 'many-branches',
  title: `an empty commit on one of many branches, mean of ${turns}`,
  unit: 'ms',
  prepare: async ({ startPachd, say }) => {
    const pachd = await startPachd()
    for (const count of counts) {
      await pachd.pfs.createRepo({ repo: { name: repoOf(count) } })
      const ms = await timed(async () => {
        for (let index = 0; index < count; index += 1) await commitOn(pachd, count, index)
      })
      say(`${count} branches made in ${Math.round(ms)} ms`)
    }
    return {
      contenders: [
        ...counts.map((count) => ({
          label: label(count),
          run: async (round: number) =>
            (await timed(async () => {
              for (let turn = 0; turn < turns; turn += 1) {
                await commitOn(pachd, count, (round * turns + turn) % count)
              }
            })) / turns,
        })),
        {
          label: list,
          run: async () =>
            timed(async () => {
              const repo = { name: repoOf(counts[1]) }
              const { branchInfo } = await pachd.pfs.listBranch({ repo })
              if (branchInfo.length !== counts[1]) throw new Error('branches are missing')
            }),
        },
      ],
      comparisons: [
        {
          ours: label(counts[1]),
          baseline: label(counts[0]),
          budget: { kind: 'slower', atMost: 2 },
        },
      ],
    }
  },
}

function repoOf(count: number): string {
  return `branches-${count}`
}

async function commitOn(pachd: Pachd, count: number, index: number): Promise<void> {
  const repo = { name: repoOf(count) }
  const commit = await pachd.pfs.startCommit({ parent: { repo }, branch: `branch-${index}` })
  await pachd.pfs.finishCommit({ commit })
}
