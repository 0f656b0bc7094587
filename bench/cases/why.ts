import { createClient } from '../../src/client/client.ts'
import { Jobs } from '../../src/gen/pachyderm_pb.ts'
import type { Benchmark } from '../benchmark.ts'
import { timed } from '../processes.ts'
import { smallChanges } from '../seeded-files.ts'

const sizes = [100, 10_000] as const
/** Calls are too short to be timed one by one. */
const callCount = 20
const explainLabel = (size: number): string => `explain, ${size.toLocaleString('en')} datums`
const lineageLabel = (size: number): string => `lineage, ${size.toLocaleString('en')} datums`

export const why: Benchmark = {
  name: 'why',
  title: 'why a datum ran, and where a file comes from and went, 20 times',
  unit: 'ms',
  prepare: async ({ startPachd, say }) => {
    const pachd = await startPachd()
    const jobs = createClient(Jobs, pachd.transport)
    const subjects = new Map<number, { readonly datumId: string; readonly path: string }>()
    for (const size of sizes) {
      await pachd.createRepo(`in-${size}`, smallChanges('/d', size, 0))
      await pachd.pps.createPipeline({
        pipeline: { name: `copy-${size}` },
        transform: { cmd: ['cp', '-r', `/pfs/in-${size}/d`, '/pfs/out/'] },
        input: { atom: { repo: `in-${size}`, glob: '/d/*' } },
      })
      const { commit } = await pachd.pfs.inspectCommit({
        commit: { repo: { name: `in-${size}` }, id: 'master' },
      })
      if (commit === undefined) throw new Error('no commit was inspected')
      say(`job over ${size}: ${Math.round(await timed(async () => pachd.flush(commit)))} ms`)
      const path = `/d/${String(Math.floor(size / 2)).padStart(7, '0')}`
      const file = { commit: { repo: { name: `copy-${size}` }, id: 'master' }, path }
      const { origins } = await jobs.lineage({ file })
      const datumId = origins[0]?.datumId
      if (datumId === undefined) throw new Error(`nothing is known of ${path}`)
      subjects.set(size, { datumId, path })
    }
    const explainOf = async (size: number): Promise<void> => {
      const { datumId = '' } = subjects.get(size) ?? {}
      for (let count = 0; count < callCount; count += 1) await jobs.explain({ datumId })
    }
    const lineageOf = async (size: number): Promise<void> => {
      const { path = '' } = subjects.get(size) ?? {}
      const fileOf = (repo: string) => ({ commit: { repo: { name: repo }, id: 'master' }, path })
      for (let count = 0; count < callCount; count += 1) {
        await jobs.lineage({ file: fileOf(`copy-${size}`) })
        for await (const _ of jobs.derivations({ file: fileOf(`in-${size}`) })) continue
      }
    }
    const [small] = sizes
    return {
      contenders: sizes.flatMap((size) => [
        { label: explainLabel(size), run: async () => timed(async () => explainOf(size)) },
        { label: lineageLabel(size), run: async () => timed(async () => lineageOf(size)) },
      ]),
      comparisons: sizes.slice(1).flatMap((size) => {
        const budget = { kind: 'slower', atMost: 2 } as const
        return [
          { ours: explainLabel(size), baseline: explainLabel(small), budget },
          { ours: lineageLabel(size), baseline: lineageLabel(small), budget },
        ]
      }),
    }
  },
}
