import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmark } from '../benchmark.ts'
import { runShell } from '../processes.ts'
import { smallChanges } from '../seeded-files.ts'
import { putFiles } from '../../src/client/file-transfers.ts'

const count = 100_000
const changedCount = 10
const glob = "pachctl glob-file '/d/*5'"
const find = "find -name '*5', with type and size"
const diffFew = `pachctl diff-file, ${changedCount} files differ`
const diffAll = `pachctl diff-file, ${count.toLocaleString('en')} files differ`
const plainDiff = 'diff -rq'

export const wideDirectory: Benchmark = {
  name: 'wide-directory',
  title: 'glob and compare in a directory of 100,000 files',
  unit: 'ms',
  prepare: async ({ directory, startPachd, noteClientMemory }) => {
    const pachd = await startPachd()
    await pachd.createRepo('wide', smallChanges('/d', count, 0))
    const commit = await pachd.startCommit('wide')
    await putFiles(
      pachd.transport,
      { repo: 'wide', id: commit.id },
      smallChanges('/d', changedCount, 1),
    )
    await pachd.pfs.finishCommit({ commit })
    await pachd.createRepo('other', smallChanges('/d', count, 2))
    for (const [name, seed] of [
      ['a', 0],
      ['b', 2],
    ] as const) {
      await mkdir(join(directory, name, 'd'), { recursive: true })
      for (const { path, bytes } of smallChanges('/d', count, seed)) {
        if (bytes instanceof Uint8Array) await writeFile(join(directory, name, path), bytes)
      }
    }
    const client = async (...args: string[]): Promise<number> => {
      const { ms, peakMib } = await pachd.pachctl(...args)
      noteClientMemory(peakMib)
      return ms
    }
    return {
      contenders: [
        { label: glob, run: () => client('glob-file', 'wide', 'master', '/d/*5') },
        {
          label: find,
          run: () =>
            runShell("find a/d -name '*5' -printf '%p\\t%y\\t%s\\n' >/dev/null", directory),
        },
        { label: diffFew, run: () => client('diff-file', 'wide', 'master', '/d') },
        {
          label: diffAll,
          run: () => client('diff-file', 'wide', 'master', '/d', 'other', 'master', '/d'),
        },
        { label: plainDiff, run: () => runShell('diff -rq a b >/dev/null || :', directory) },
      ],
      comparisons: [
        { ours: glob, baseline: find, budget: { kind: 'faster', atLeast: 0.25 } },
        { ours: diffFew, baseline: plainDiff, budget: { kind: 'faster', atLeast: 5 } },
        { ours: diffAll, baseline: plainDiff, budget: { kind: 'faster', atLeast: 0.5 } },
      ],
    }
  },
}
