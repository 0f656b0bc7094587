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

export const chain: Benchmark = {
  name: 'chain',
  title: `from a put to the output of the last of ${chainLength} pipelines in a row`,
  unit: 'ms',
  prepare: async (stage) => {
    const pachd = await stage.startPachd()
    await pachd.createRepo('in', [])
    const names = Array.from({ length: chainLength }, (_, index) => `step-${index}`)
    for (const [index, name] of names.entries()) {
      await copyPipeline(pachd, name, names[index - 1] ?? 'in')
    }
    const ours = 'put, finish, flush'
    const baseline = `the command alone, ${chainLength} times`
    const measured = putToLast(pachd, ours)
    await measured.run(-1) // starts the workers
    return {
      contenders: [measured, commandAlone(stage, baseline, chainLength)],
      comparisons: [{ ours, baseline, budget: { kind: 'over', msAtMost: 100 * chainLength } }],
    }
  },
}

export const fan: Benchmark = {
  name: 'fan',
  title: `from a put to the outputs of ${fanCount} pipelines on one repo`,
  unit: 'ms',
  prepare: async (stage) => {
    const pachd = await stage.startPachd()
    await pachd.createRepo('in', [])
    for (let index = 0; index < fanCount; index += 1)
      await copyPipeline(pachd, `fan-${index}`, 'in')
    const ours = 'put, finish, flush'
    const baseline = `the command alone, ${fanCount} times`
    const measured = putToLast(pachd, ours)
    await measured.run(-1) // starts the workers
    return {
      contenders: [measured, commandAlone(stage, baseline, fanCount)],
      comparisons: [{ ours, baseline, budget: { kind: 'over', msAtMost: 100 * fanCount } }],
    }
  },
}
