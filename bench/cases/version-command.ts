import type { Benchmark } from '../benchmark.ts'
import { runProgram } from '../processes.ts'

const ours = 'pachctl version'
const baseline = 'node -e 0'

export const versionCommand: Benchmark = {
  name: 'version-command',
  title: 'the shortest command, with a call to the server',
  unit: 'ms',
  prepare: async ({ startPachd, noteClientMemory }) => {
    const pachd = await startPachd()
    await pachd.pachctl('version') // fills the compile cache, once for every machine
    return {
      contenders: [
        {
          label: ours,
          run: async () => {
            let ms = 0
            for (let turn = 0; turn < 10; turn += 1) {
              const run = await pachd.pachctl('version')
              noteClientMemory(run.peakMib)
              ms += run.ms / 10
            }
            return ms
          },
        },
        {
          label: baseline,
          run: async () => {
            let ms = 0
            for (let turn = 0; turn < 10; turn += 1) {
              ms += (await runProgram(process.execPath, ['-e', '0'])).ms / 10
            }
            return ms
          },
        },
      ],
      comparisons: [{ ours, baseline, budget: { kind: 'slower', atMost: 2 } }],
    }
  },
}
