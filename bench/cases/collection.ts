import { join } from 'node:path'
import type { Benchmark } from '../benchmark.ts'
import { measureCollection } from '../collection.ts'

const counts = [500, 2500] as const
const label = (count: number): string => `collect, ${count.toLocaleString('en')} commits`

export const collection: Benchmark = {
  name: 'collection',
  title: 'a collection from scratch of commits with a small pack each, per 1,000 commits',
  unit: 'ms',
  // Each round makes all the commits anew.
  roundsMax: 1,
  prepare: async ({ directory, say }) => ({
    contenders: counts.map((count) => ({
      label: label(count),
      run: async (round: number) => {
        const own = join(directory, `${count}-${round}`)
        const { makeMs, collectMs } = await measureCollection(own, count)
        say(`${count} commits made in ${Math.round(makeMs)} ms`)
        return (collectMs * 1000) / count
      },
    })),
    comparisons: [
      { ours: label(counts[1]), baseline: label(counts[0]), budget: { kind: 'slower', atMost: 2 } },
    ],
  }),
}
