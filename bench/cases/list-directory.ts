import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmark } from '../benchmark.ts'
import { runShell, timed } from '../processes.ts'
import { smallChanges } from '../seeded-files.ts'

const count = 100_000

export const listDirectory: Benchmark = {
  name: 'list-directory',
  title: 'list a directory of 100,000 files',
  unit: 'ms',
  prepare: async ({ directory, startPachd, noteClientMemory }) => {
    const pachd = await startPachd()
    await pachd.createRepo('wide', smallChanges('/d', count, 0))
    const plain = join(directory, 'd')
    await mkdir(plain)
    for (const change of smallChanges('', count, 0)) await writeFile(join(plain, change.path), '')
    return {
      contenders: [
        {
          label: 'pachctl list-file',
          run: async () => {
            const { ms, peakMib } = await pachd.pachctl('list-file', 'wide', 'master', '/d')
            noteClientMemory(peakMib)
            return ms
          },
        },
        {
          label: 'Files.ListFiles',
          run: () =>
            timed(async () => {
              const file = { commit: { repo: { name: 'wide' }, id: 'master' }, path: '/d' }
              let listedCount = 0
              for await (const { fileInfo } of pachd.files.listFiles({ file })) {
                listedCount += fileInfo.length
              }
              if (listedCount !== count) throw new Error(`${listedCount} files came`)
            }),
        },
        { label: 'ls -f', run: async () => runShell('ls -f d >/dev/null', directory) },
        {
          label: 'find, with type and size',
          run: async () => runShell("find d -printf '%p\\t%y\\t%s\\n' >/dev/null", directory),
        },
      ],
      comparisons: [
        { ours: 'pachctl list-file', baseline: 'ls -f' },
        { ours: 'pachctl list-file', baseline: 'find, with type and size' },
        {
          ours: 'Files.ListFiles',
          baseline: 'find, with type and size',
          budget: { kind: 'faster', atLeast: 0.5 },
        },
      ],
    }
  },
}
