import { availableParallelism } from 'node:os'
import { putFile } from '../../src/client/file-transfers.ts'
import type { Benchmark, Contender } from '../benchmark.ts'
import type { Pachd } from '../pachd.ts'
import { timed } from '../processes.ts'
import { smallChanges } from '../seeded-files.ts'

/** With 1,000, the first job has a million datums. */
const right = Number(process.env['CROSS_SIDE'] ?? 100)
/** A file more on the left are as many new datums, whatever is there already. */
const lefts = [right / 10, right] as const
/** Started once: what is measured is how datums are found, not what starting a program costs. */
const warmShell = 'echo ready >&3; while read -r ticket datum; do echo "$ticket 0" >&3; done'
const label = (left: number): string => `1 file more on the left of ${left} × ${right}`

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function growing(
  pachd: Pachd,
  left: number,
  say: (text: string) => void,
): Promise<Contender> {
  const repo = `left${left}`
  await pachd.createRepo(repo, smallChanges('/d', left, 0))
  await pachd.pps.createPipeline({
    pipeline: { name: `cross-${left}` },
    transform: { cmd: ['sh', '-c', warmShell], warm: true },
    parallelismSpec: { constant: BigInt(availableParallelism()) },
    input: {
      cross: [{ atom: { repo, glob: '/d/*' } }, { atom: { repo: 'right', glob: '/d/*' } }],
    },
  })
  const add = async (name: string): Promise<number> => {
    const commit = await pachd.startCommit(repo)
    const file = { commit: { repo, id: commit.id }, path: `/d/${name}` }
    await putFile(pachd.transport, file, only(new TextEncoder().encode(name)))
    return timed(async () => {
      await pachd.pfs.finishCommit({ commit })
      await pachd.flush(commit)
    })
  }
  say(`first job over ${left} × ${right}: ${Math.round(await add('first'))} ms`)
  return { label: label(left), run: async (round) => add(`new-${round}`) }
}

export const cross: Benchmark = {
  name: 'cross',
  title: `job over a cross of which one side gains one file: ${right} new datums, by a warm shell`,
  unit: 'ms',
  prepare: async ({ startPachd, say }) => {
    const pachd = await startPachd()
    await pachd.createRepo('right', smallChanges('/d', right, 1))
    const contenders: Contender[] = []
    for (const left of lefts) contenders.push(await growing(pachd, left, say))
    return {
      contenders,
      comparisons: [
        {
          ours: label(lefts[1]),
          baseline: label(lefts[0]),
          budget: { kind: 'slower', atMost: 2 },
        },
      ],
    }
  },
}
