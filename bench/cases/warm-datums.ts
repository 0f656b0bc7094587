import type { MessageInitShape } from '@bufbuild/protobuf'
import { availableParallelism } from 'node:os'
import type { Benchmark } from '../benchmark.ts'
import { runShell, timed } from '../processes.ts'
import { putFiles } from '../../src/client/file-transfers.ts'
import type { TransformSchema } from '../../src/gen/pps_pb.ts'
import { smallChanges } from '../seeded-files.ts'

const count = 1000
const parallelism = availableParallelism()
const xargs = `xargs -n 1 -P ${parallelism} true`

const shellLoop = 'echo ready >&3; while read -r ticket datum; do echo "$ticket 0" >&3; done'
const pythonLoop = `
import json, sys
with open(3, "w", buffering=1) as answers:
    print("ready", file=answers)
    for line in sys.stdin:
        ticket, datum = line.split(" ", 1)
        json.loads(datum)
        print(ticket, 0, file=answers)
`

/** By pipeline: what is run for nothing. */
const transforms: Readonly<Record<string, MessageInitShape<typeof TransformSchema>>> = {
  'a warm shell': { cmd: ['sh', '-c', shellLoop], warm: true },
  '`true`, started for each': { cmd: ['true'] },
  'a warm Python': { cmd: ['python3', '-c', pythonLoop], warm: true },
  'Python, started for each': { cmd: ['python3', '-c', 'pass'] },
}

export const warmDatums: Benchmark = {
  name: 'warm-datums',
  title: `job over 1,000 trivial datums, ${parallelism} at once, by warm commands`,
  unit: 'ms',
  prepare: async ({ directory, startPachd }) => {
    const pachd = await startPachd()
    const contenders = []
    for (const [index, [label, transform]] of Object.entries(transforms).entries()) {
      const repo = `in-${index}`
      await pachd.createRepo(repo, [])
      await pachd.pps.createPipeline({
        pipeline: { name: `trivial-${index}` },
        transform,
        parallelismSpec: { constant: BigInt(parallelism) },
        input: { atom: { repo, name: 'in', glob: '/d/*' } },
      })
      const run = async (seed: number): Promise<number> => {
        const commit = await pachd.startCommit(repo)
        await putFiles(pachd.transport, { repo, id: commit.id }, smallChanges('/d', count, seed))
        return timed(async () => {
          await pachd.pfs.finishCommit({ commit })
          await pachd.flush(commit)
        })
      }
      await run(-1) // starts the workers
      contenders.push({ label, run })
    }
    return {
      contenders: [
        ...contenders,
        { label: xargs, run: async () => runShell(`seq ${count} | ${xargs}`, directory) },
      ],
      comparisons: [
        {
          ours: 'a warm shell',
          baseline: '`true`, started for each',
          budget: { kind: 'faster', atLeast: 1 },
        },
        { ours: 'a warm shell', baseline: xargs, budget: { kind: 'faster', atLeast: 1 } },
        {
          ours: 'a warm Python',
          baseline: 'Python, started for each',
          budget: { kind: 'faster', atLeast: 4 },
        },
      ],
    }
  },
}
