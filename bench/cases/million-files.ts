import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmark } from '../benchmark.ts'
import { runShell } from '../processes.ts'
import { writeSmallFiles } from '../seeded-files.ts'

const sizes = [100_000, 1_000_000] as const
const filesPerDirectory = 1000
const each = 100_000
const label = (size: number): string => `pachctl put-file -r -c, ${size.toLocaleString('en')} files`
const cp = `cp -r, sync, ${sizes[0].toLocaleString('en')} files`

export const millionFiles: Benchmark = {
  name: 'million-files',
  title: 'files of 1 KiB in one command, for each 100,000 of them',
  unit: 'ms',
  roundsMax: 1,
  prepare: async ({ directory, startPachd, noteClientMemory, say }) => {
    const pachd = await startPachd()
    const treeOf = (size: number): string => join(directory, `tree-${size}`)
    for (const size of sizes) {
      const shape = { count: size, directories: size / filesPerDirectory, seed: size }
      await writeSmallFiles(treeOf(size), shape)
      await runShell('sync', directory)
      say(`${size} files written`)
    }
    return {
      contenders: [
        ...sizes.map((size) => ({
          label: label(size),
          run: async (round: number) => {
            const repo = `files-${size}-${round}`
            await pachd.pfs.createRepo({ repo: { name: repo } })
            const args = ['put-file', repo, 'master', '-c', '-r', '-f', treeOf(size)]
            const { ms, peakMib } = await pachd.pachctl(...args)
            noteClientMemory(peakMib)
            return (ms * each) / size
          },
        })),
        {
          label: cp,
          run: async () => {
            const ms = await runShell(`cp -r tree-${sizes[0]} copy && sync -f copy`, directory)
            await rm(join(directory, 'copy'), { recursive: true })
            return ms
          },
        },
      ],
      comparisons: [
        {
          ours: label(sizes[1]),
          baseline: label(sizes[0]),
          budget: { kind: 'slower', atMost: 2 },
        },
        { ours: label(sizes[1]), baseline: cp },
      ],
    }
  },
}
