import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmark, Comparison, Contender, Stage } from '../benchmark.ts'
import type { Pachd } from '../pachd.ts'
import { runShell } from '../processes.ts'
import { type RecordFormat, writeRecords } from '../seeded-files.ts'

const sizeMib = 512
const targetBytes = 1_000_000
const halfAsFast = { kind: 'faster', atLeast: 0.5 } as const
const formats: readonly RecordFormat[] = ['line', 'json', 'csv', 'sql']
const whole = 'pachctl put-file, whole'
const byFormat = (format: RecordFormat): string => `--split ${format}, of 1 MB`
const gnuSplit = 'split -C 1MB, sync'

const lineCount = 100_000
const eachLine = `--split line, ${lineCount.toLocaleString('en')} of 1 KiB`
const gnuEachLine = `split -l 1, sync, ${lineCount.toLocaleString('en')} of 1 KiB`

/** A put of what `write` makes, new in each round: equal contents would be stored once only. */
function put(
  { directory, noteClientMemory }: Stage,
  pachd: Pachd,
  {
    label,
    flags,
    write,
  }: {
    readonly label: string
    readonly flags: readonly string[]
    readonly write: (path: string, seed: number) => Promise<void>
  },
): Contender {
  const input = join(directory, 'input')
  return {
    label,
    run: async (round) => {
      await write(input, round)
      const path = `/${label.replaceAll(/[^a-z0-9]+/g, '-')}-${round}`
      const args = ['put-file', 'records', 'master', path, '-c', '-f', input, ...flags]
      const { ms, peakMib } = await pachd.pachctl(...args)
      noteClientMemory(peakMib)
      return ms
    },
  }
}

/** GNU split of the input that is there. */
function splitFiles(directory: string, label: string, flags: string): Contender {
  return {
    label,
    run: async () => {
      const line = `mkdir pieces && split ${flags} input pieces/ && sync -f pieces`
      const ms = await runShell(line, directory)
      await rm(join(directory, 'pieces'), { recursive: true })
      return ms
    },
  }
}

function recordsIn(format: RecordFormat, seed: number) {
  return (path: string, round: number): Promise<void> =>
    writeRecords(path, { format, sizeMib, seed: seed + 100 * round })
}

function writeLines(path: string, round: number): Promise<void> {
  return writeRecords(path, { format: 'line', sizeMib: lineCount / 1024, seed: round, bytes: 1024 })
}

export const split: Benchmark = {
  name: 'split',
  title: `${sizeMib} MiB of records in, as pieces`,
  unit: 'ms',
  prepare: async (stage) => {
    const pachd = await stage.startPachd()
    await pachd.pfs.createRepo({ repo: { name: 'records' } })
    const target = ['--target-file-bytes', String(targetBytes)]
    const { directory } = stage
    return {
      contenders: [
        put(stage, pachd, { label: whole, flags: [], write: recordsIn('line', 1) }),
        splitFiles(directory, gnuSplit, '-a 4 -C 1000000'),
        ...formats.map((format, at) =>
          put(stage, pachd, {
            label: byFormat(format),
            flags: ['--split', format, ...target],
            write: recordsIn(format, 2 + at),
          }),
        ),
        put(stage, pachd, { label: eachLine, flags: ['--split', 'line'], write: writeLines }),
        splitFiles(directory, gnuEachLine, '-a 5 -l 1'),
      ],
      comparisons: [
        ...formats.map((format): Comparison => ({
          ours: byFormat(format),
          baseline: whole,
          budget: halfAsFast,
        })),
        { ours: byFormat('line'), baseline: gnuSplit },
        { ours: eachLine, baseline: gnuEachLine },
      ],
    }
  },
}

const hugeGib = 10
const hugeWhole = `whole, of ${hugeGib} GiB`
const hugePieces = `--split line, of ${hugeGib} GiB`

export const hugeSplit: Benchmark = {
  name: 'huge-split',
  title: `${hugeGib} GiB of lines in, as pieces of 1 MB`,
  unit: 'ms',
  roundsMax: 1,
  prepare: async ({ directory, startPachd, noteClientMemory, say }) => {
    const pachd = await startPachd()
    await pachd.pfs.createRepo({ repo: { name: 'records' } })
    const run = (seed: number, path: string, flags: readonly string[]) => async () => {
      const input = join(directory, 'input')
      await writeRecords(input, { format: 'line', sizeMib: hugeGib * 1024, seed })
      say(`${hugeGib} GiB written`)
      const args = ['put-file', 'records', 'master', path, '-c', '-f', input, ...flags]
      const { ms, peakMib } = await pachd.pachctl(...args)
      noteClientMemory(peakMib)
      return ms
    }
    const flags = ['--split', 'line', '--target-file-bytes', String(targetBytes)]
    return {
      contenders: [
        { label: hugePieces, run: run(1, '/pieces', flags) },
        { label: hugeWhole, run: run(2, '/whole', []) },
      ],
      comparisons: [{ ours: hugePieces, baseline: hugeWhole, budget: halfAsFast }],
    }
  },
}
