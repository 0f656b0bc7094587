import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmark } from '../benchmark.ts'
import { runShell } from '../processes.ts'
import { writeSmallFiles } from '../seeded-files.ts'

const count = 20_000
const directories = 200
const whole = 'pachctl get-file -r -o'
const verified = 'pachctl get-file -r -o --verify'
const archive = 'pachctl get-file --tar | tar x'
const resumed = 'pachctl get-file -r -o --resume, all there'
const tar = 'tar x'

export const getRecursive: Benchmark = {
  name: 'get-recursive',
  title: `${count.toLocaleString('en')} files of 1 KiB in ${directories} directories out`,
  unit: 'ms',
  prepare: async ({ directory, startPachd, noteClientMemory }) => {
    const pachd = await startPachd()
    const tree = join(directory, 'tree')
    await writeSmallFiles(tree, { count, directories, seed: 1 })
    await pachd.pfs.createRepo({ repo: { name: 'data' } })
    await pachd.pachctl('put-file', 'data', 'master', '/', '-c', '-r', '-f', tree)
    // In the order in which get-file has it, so that both make files in the same one.
    await runShell('tar c --sort=name -f tree.tar -C tree . && rm -r tree && sync', directory)
    /** Into a directory that is not there, from what is in memory. */
    const fresh = async (run: (target: string) => Promise<number>): Promise<number> => {
      const target = join(directory, 'copy')
      await rm(target, { recursive: true, force: true })
      await runShell('cat tree.tar >/dev/null && sync', directory)
      return run(target)
    }
    const get = async (target: string, ...flags: readonly string[]): Promise<number> => {
      const args = ['get-file', 'data', 'master', '/', '-r', '-o', target, ...flags]
      const { ms, peakMib } = await pachd.pachctl(...args)
      noteClientMemory(peakMib)
      return ms
    }
    return {
      contenders: [
        { label: whole, run: async () => fresh(async (target) => get(target)) },
        {
          label: resumed,
          run: async () => get(join(directory, 'copy'), '--resume'),
        },
        { label: verified, run: async () => fresh(async (target) => get(target, '--verify')) },
        {
          label: archive,
          run: async () =>
            fresh(async (target) => {
              await mkdir(target)
              const line = `${pachd.clientLine} get-file data master / --tar | tar x -C ${target}`
              return runShell(line, directory)
            }),
        },
        {
          label: tar,
          run: async () =>
            fresh(async (target) => {
              await mkdir(target)
              return runShell(`tar xf tree.tar -C ${target}`, directory)
            }),
        },
      ],
      comparisons: [whole, archive, verified, resumed].map((ours) => ({ ours, baseline: tar })),
    }
  },
}
