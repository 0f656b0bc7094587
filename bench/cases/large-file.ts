import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmark } from '../benchmark.ts'
import { runShell } from '../processes.ts'
import { writeLargeFile } from '../seeded-files.ts'

const sizeMib = 1024
const halfAsFast = { kind: 'faster', atLeast: 0.5 } as const
const megabytes = { what: 'MB', count: (sizeMib * 1024 * 1024) / 1e6 } as const
/** Five times what Pachyderm 1.5 was measured to reach. */
const inPerSecondAtLeast = 5 * 50
const outPerSecondAtLeast = 5 * 92

export const largeFileIn: Benchmark = {
  name: 'large-file-in',
  title: '1 GiB file in',
  unit: 'ms',
  prepare: async ({ directory, startPachd, noteClientMemory }) => {
    const pachd = await startPachd()
    await pachd.pfs.createRepo({ repo: { name: 'large' } })
    const input = join(directory, 'input')
    return {
      contenders: [
        {
          label: 'pachctl put-file -c',
          run: async (round) => {
            // New contents each round: equal ones would be stored once only.
            await writeLargeFile(input, sizeMib, round)
            const path = `/file-${round}`
            const { ms, peakMib } = await pachd.pachctl(
              'put-file',
              'large',
              'master',
              path,
              '-c',
              '-f',
              input,
            )
            noteClientMemory(peakMib)
            return ms
          },
        },
        {
          label: 'cp, fsync',
          run: async () => {
            const ms = await runShell('cp input copy && sync copy', directory)
            await rm(join(directory, 'copy'))
            return ms
          },
        },
      ],
      comparisons: [{ ours: 'pachctl put-file -c', baseline: 'cp, fsync', budget: halfAsFast }],
      rates: [{ ...megabytes, ours: 'pachctl put-file -c', perSecondAtLeast: inPerSecondAtLeast }],
    }
  },
}

export const largeFileOut: Benchmark = {
  name: 'large-file-out',
  title: '1 GiB file out, into a pipe',
  unit: 'ms',
  prepare: async ({ directory, startPachd, noteClientMemory }) => {
    const pachd = await startPachd()
    await pachd.pfs.createRepo({ repo: { name: 'large' } })
    const input = join(directory, 'input')
    await writeLargeFile(input, sizeMib, 0)
    await pachd.pachctl('put-file', 'large', 'master', '/file', '-c', '-f', input)
    return {
      contenders: [
        {
          label: 'pachctl get-file | cat',
          run: async () => {
            const client = `${pachd.clientLine} get-file large master /file`
            return runShell(`${client} | cat >/dev/null`, directory)
          },
        },
        {
          label: 'pachctl get-file -o /dev/null',
          run: async () => {
            const { ms, peakMib } = await pachd.pachctl(
              'get-file',
              'large',
              'master',
              '/file',
              '-o',
              '/dev/null',
            )
            noteClientMemory(peakMib)
            return ms
          },
        },
        { label: 'cat | cat', run: async () => runShell('cat input | cat >/dev/null', directory) },
        { label: 'cat', run: async () => runShell('cat input >/dev/null', directory) },
      ],
      comparisons: [
        { ours: 'pachctl get-file | cat', baseline: 'cat | cat', budget: halfAsFast },
        { ours: 'pachctl get-file -o /dev/null', baseline: 'cat' },
      ],
      rates: [
        { ...megabytes, ours: 'pachctl get-file | cat', perSecondAtLeast: outPerSecondAtLeast },
      ],
    }
  },
}
