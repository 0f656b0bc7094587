import { availableParallelism } from 'node:os'
import type { Benchmark } from '../benchmark.ts'
import { runShell, timed } from '../processes.ts'
import { putFiles } from '../../src/client/file-transfers.ts'
import { smallChanges } from '../seeded-files.ts'

const ours = 'job of `true`'
/** As many as a pipeline runs that says nothing of it. */
const parallelism = availableParallelism() + 1
const xargs = `xargs -n 1 -P ${parallelism} true`

export const trivialDatums: Benchmark = overDatums(1000, { name: 'trivial-datums' })
export const manyTrivialDatums: Benchmark = overDatums(10_000, {
  name: 'many-trivial-datums',
  roundsMax: 3,
})

function overDatums(
  count: number,
  options: Pick<Benchmark, 'name'> & Partial<Pick<Benchmark, 'roundsMax'>>,
): Benchmark {
  return {
    ...options,
    title: `job over ${count.toLocaleString('en')} trivial datums, ${parallelism} at once`,
    unit: 'ms',
    prepare: async ({ directory, startPachd }) => {
      const pachd = await startPachd()
      await pachd.createRepo('in', [])
      await pachd.pps.createPipeline({
        pipeline: { name: 'trivial' },
        transform: { cmd: ['true'] },
        input: { atom: { repo: 'in', glob: '/d/*' } },
      })
      const runJob = async (seed: number): Promise<number> => {
        const commit = await pachd.startCommit('in')
        const where = { repo: 'in', id: commit.id }
        await putFiles(pachd.transport, where, smallChanges('/d', count, seed))
        return timed(async () => {
          await pachd.pfs.finishCommit({ commit })
          await pachd.flush(commit)
        })
      }
      await runJob(-1) // starts the workers
      return {
        contenders: [
          { label: ours, run: runJob },
          { label: xargs, run: async () => runShell(`seq ${count} | ${xargs}`, directory) },
        ],
        comparisons: [{ ours, baseline: xargs, budget: { kind: 'faster', atLeast: 0.8 } }],
      }
    },
  }
}
