import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmark } from '../benchmark.ts'
import { runProgram, timed } from '../processes.ts'
import { putFile, readFile } from '../../src/client/file-transfers.ts'

const ours = 'start, put, finish, job, get'
const alone = 'the command alone'

export const putToOutput: Benchmark = {
  name: 'put-to-output',
  title: 'from a put to the output that follows from it',
  unit: 'ms',
  prepare: async ({ directory, startPachd }) => {
    const pachd = await startPachd()
    await pachd.createRepo('in', [{ path: '/f', bytes: new TextEncoder().encode('before') }])
    await pachd.pps.createPipeline({
      pipeline: { name: 'copy' },
      transform: { cmd: ['cp', '/pfs/in/f', '/pfs/out/f'] },
      input: { atom: { repo: 'in', glob: '/*' } },
    })
    const copy = async (text: string): Promise<void> => {
      const commit = await pachd.startCommit('in')
      const file = { commit: { repo: 'in', id: commit.id }, path: '/f' }
      await putFile(pachd.transport, file, only(new TextEncoder().encode(text)), {
        overwrite: true,
      })
      await pachd.pfs.finishCommit({ commit })
      await pachd.flush(commit)
      const output = { commit: { repo: 'copy', id: 'master' }, path: '/f' }
      let content = ''
      for await (const bytes of readFile(pachd.transport, output)) {
        content += new TextDecoder().decode(bytes)
      }
      if (content !== text) throw new Error(`${content} came instead of ${text}`)
    }
    await copy('warm')
    await writeFile(join(directory, 'f'), 'text')
    return {
      contenders: [
        // Ten in a row: what else the machine does weighs less.
        {
          label: ours,
          run: async (round) => timed(repeated(10, (n) => copy(`${round}/${n}`))).then(tenth),
        },
        {
          label: alone,
          run: async () =>
            timed(repeated(10, () => runProgram('cp', ['f', 'g'], { cwd: directory }))).then(tenth),
        },
      ],
      comparisons: [{ ours, baseline: alone, budget: { kind: 'over', msAtMost: 100 } }],
    }
  },
}

function repeated(times: number, work: (turn: number) => Promise<unknown>): () => Promise<void> {
  return async () => {
    for (let turn = 0; turn < times; turn += 1) await work(turn)
  }
}

function tenth(ms: number): number {
  return ms / 10
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
