import { join } from 'node:path'
import type { Benchmark } from '../benchmark.ts'
import { runShell } from '../processes.ts'
import { writeLargeFile } from '../seeded-files.ts'

const sizesGib = [1, 20] as const
const label = (gib: number, way: string): string => `${way}, of ${gib} GiB`

export const hugeFile: Benchmark = {
  name: 'huge-file',
  title: 'a file of 20 GiB in and out, for each GiB of it',
  unit: 'ms',
  roundsMax: 1,
  prepare: async ({ directory, startPachd, noteClientMemory, say }) => {
    const pachd = await startPachd()
    await pachd.pfs.createRepo({ repo: { name: 'huge' } })
    for (const gib of sizesGib) {
      await writeLargeFile(join(directory, `input-${gib}`), gib * 1024, gib)
      say(`${gib} GiB written`)
    }
    const putIn = (gib: number) => async (): Promise<number> => {
      const source = join(directory, `input-${gib}`)
      const args = ['put-file', 'huge', 'master', `/${gib}`, '-c', '-f', source]
      const { ms, peakMib } = await pachd.pachctl(...args)
      noteClientMemory(peakMib)
      return ms / gib
    }
    // Compared byte for byte on the way out.
    const takeOut = (gib: number) => async (): Promise<number> => {
      const line = `${pachd.clientLine} get-file huge master /${gib} | cmp - input-${gib}`
      return (await runShell(line, directory)) / gib
    }
    return {
      contenders: sizesGib.flatMap((gib) => [
        { label: label(gib, 'in'), run: putIn(gib) },
        { label: label(gib, 'out'), run: takeOut(gib) },
      ]),
      comparisons: ['in', 'out'].map((way) => ({
        ours: label(sizesGib[1], way),
        baseline: label(sizesGib[0], way),
        budget: { kind: 'slower', atMost: 2 } as const,
      })),
    }
  },
}
