import { availableParallelism } from 'node:os'
import type { Benchmark } from '../benchmark.ts'
import { timed } from '../processes.ts'
import { putFile } from '../../src/client/file-transfers.ts'
import { smallChanges } from '../seeded-files.ts'

const sizes = [100, 10_000, 100_000] as const
const label = (size: number): string => `job, 1 new datum among ${size.toLocaleString('en')}`

export const changedDatum: Benchmark = {
  name: 'changed-datum',
  title: 'job for one new datum among many',
  unit: 'ms',
  prepare: async ({ startPachd, say }) => {
    const pachd = await startPachd()
    for (const size of sizes) {
      await pachd.createRepo(`in-${size}`, smallChanges('/d', size, 0))
      await pachd.pps.createPipeline({
        pipeline: { name: `copy-${size}` },
        transform: { cmd: ['cp', '-r', `/pfs/in-${size}/d`, '/pfs/out/'] },
        parallelismSpec: { constant: BigInt(availableParallelism()) },
        input: { atom: { repo: `in-${size}`, glob: '/d/*' } },
      })
      const commit = await pachd.pfs.inspectCommit({
        commit: { repo: { name: `in-${size}` }, id: 'master' },
      })
      if (commit.commit === undefined) throw new Error('no commit was inspected')
      const head = commit.commit
      say(`first job over ${size}: ${Math.round(await timed(async () => pachd.flush(head)))} ms`)
    }
    return {
      contenders: sizes.map((size) => ({
        label: label(size),
        run: async (round: number) => {
          const repo = `in-${size}`
          const commit = await pachd.startCommit(repo)
          const path = `/d/${String(Math.floor(size / 2)).padStart(7, '0')}-${round}`
          const file = { commit: { repo, id: commit.id }, path }
          await putFile(pachd.transport, file, only(new TextEncoder().encode(`new ${round}`)))
          return timed(async () => {
            await pachd.pfs.finishCommit({ commit })
            await pachd.flush(commit)
          })
        },
      })),
      comparisons: sizes.slice(1).map((size) => ({
        ours: label(size),
        baseline: label(sizes[0]),
        budget: { kind: 'slower', atMost: 2 } as const,
      })),
    }
  },
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
