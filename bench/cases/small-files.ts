import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmark } from '../benchmark.ts'
import { isInstalled, runShell } from '../processes.ts'
import { writeSmallFiles } from '../seeded-files.ts'

/** With start and finish of the commit, as a user types it. */
const pachctl = 'pachctl put-file -r -c'
const git = 'git add, git commit'
const cp = 'cp -r, sync'
const restic = 'restic backup'
const count = 20_000
/** Forty times what Pachyderm 1.5 was measured to take in. */
const perSecondAtLeast = 40 * 530

export const smallFiles: Benchmark = {
  name: 'small-files',
  title: '20,000 files of 1 KiB in 200 directories',
  unit: 'ms',
  prepare: async ({ directory, startPachd, noteClientMemory, say }) => {
    const pachd = await startPachd()
    const treeOf = (round: number): string => join(directory, `tree-${round}`)
    const commit =
      "git -c user.name=bench -c user.email=bench@example.com -c gc.auto=0 commit -q -m 'all files'"
    const resticBackup = async (round: number): Promise<number> => {
      const setUp = 'export RESTIC_PASSWORD=bench; export RESTIC_REPOSITORY=../restic'
      await runShell(`${setUp}; rm -rf ../restic; restic init -q; sync`, treeOf(round))
      return runShell(`${setUp}; restic backup -q --no-cache .`, treeOf(round))
    }
    const hasRestic = isInstalled('restic')
    if (!hasRestic) say('restic is not installed, and left out')
    return {
      contenders: [
        {
          label: pachctl,
          run: async (round) => {
            // New contents each round, read once before, so that nobody is served by the round before.
            await writeSmallFiles(treeOf(round), { count, directories: 200, seed: round })
            await runShell(`cat ${treeOf(round)}/*/* >/dev/null && sync`, directory)
            const repo = `small-${round}`
            await pachd.pfs.createRepo({ repo: { name: repo } })
            const args = ['put-file', repo, 'master', '-c', '-r', '-f', treeOf(round)]
            const { ms, peakMib } = await pachd.pachctl(...args)
            noteClientMemory(peakMib)
            return ms
          },
        },
        {
          label: git,
          run: async (round) => {
            await runShell('git init -q .', treeOf(round))
            const ms = await runShell(`git add . && ${commit}`, treeOf(round))
            await rm(join(treeOf(round), '.git'), { recursive: true })
            return ms
          },
        },
        ...(hasRestic ? [{ label: restic, run: resticBackup }] : []),
        {
          label: cp,
          run: async (round) => {
            await runShell('sync', directory)
            const ms = await runShell(`cp -r tree-${round} copy && sync -f copy`, directory)
            await runShell(`rm -r copy tree-${round} && sync`, directory)
            return ms
          },
        },
      ],
      comparisons: [
        { ours: pachctl, baseline: git, budget: { kind: 'faster', atLeast: 8 } },
        ...(hasRestic
          ? [{ ours: pachctl, baseline: restic, budget: { kind: 'faster', atLeast: 4 } as const }]
          : []),
        { ours: pachctl, baseline: cp },
      ],
      rates: [{ ours: pachctl, what: 'files', count, perSecondAtLeast }],
    }
  },
}
