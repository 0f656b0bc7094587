import { putFiles } from '../../src/client/file-transfers.ts'
import type { Benchmark, Contender, Stage } from '../benchmark.ts'
import type { Pachd } from '../pachd.ts'
import { runShell, timed } from '../processes.ts'
import { smallChanges } from '../seeded-files.ts'

const chainLength = 10
const fanCount = 50

async function copyPipeline(pachd: Pachd, name: string, repo: string): Promise<void> {
  await pachd.pps.createPipeline({
    pipeline: { name },
    transform: { cmd: ['cp', '-r', `/pfs/${repo}/d`, '/pfs/out/'] },
    input: { atom: { repo, glob: '/d/*' } },
  })
}

/** From the start of a commit of one file until all that follows from it is there. */
function putToLast(pachd: Pachd, label: string): Contender {
  const run = async (seed: number): Promise<number> =>
    timed(async () => {
      const commit = await pachd.startCommit('in')
      const where = { repo: 'in', id: commit.id }
      await putFiles(pachd.transport, where, smallChanges('/d', 1, seed))
      await pachd.pfs.finishCommit({ commit })
      await pachd.flush(commit)
    })
  return { label, run }
}

/** The command of each pipeline alone. */
function commandAlone({ directory }: Stage, label: string, count: number): Contender {
  const line = 'rm -rf out && mkdir -p in && cp -r in out'
  const run = async (): Promise<number> =>
    timed(async () => {
      for (let index = 0; index < count; index += 1) await runShell(line, directory)
    })
  return { label, run }
}

/** Pipelines `step-0` and so on, each over what `inputOf` says, beside their command alone. */
function graph(
  named: Pick<Benchmark, 'name' | 'title'>,
  count: number,
  inputOf: (index: number) => string,
): Benchmark {
  return {
    ...named,
    unit: 'ms',
    prepare: async (stage) => {
      const pachd = await stage.startPachd()
      await pachd.createRepo('in', [])
      for (let index = 0; index < count; index += 1) {
        await copyPipeline(pachd, `step-${index}`, inputOf(index))
      }
      const ours = 'put, finish, flush'
      const baseline = `the command alone, ${count} times`
      const measured = putToLast(pachd, ours)
      await measured.run(-1) // starts the workers
      return {
        contenders: [measured, commandAlone(stage, baseline, count)],
        comparisons: [{ ours, baseline, budget: { kind: 'over', msAtMost: 100 * count } }],
      }
    },
  }
}

export const chain: Benchmark = graph(
  {
    name: 'chain',
    title: `from a put to the output of the last of ${chainLength} pipelines in a row`,
  },
  chainLength,
  (index) => (index === 0 ? 'in' : `step-${index - 1}`),
)

export const fan: Benchmark = graph(
  { name: 'fan', title: `from a put to the outputs of ${fanCount} pipelines on one repo` },
  fanCount,
  () => 'in',
)
