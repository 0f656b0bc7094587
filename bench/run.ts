// Measures the product as its users meet it, each time beside something that they know, and judges it by the
// promises of the design: npm run bench -- [NAME...] [--rounds N] [--json FILE] [--markdown FILE]
//
// Results of benchmarks that are not run stay in the JSON file, as long as the machine is the same.

import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  type Benchmark,
  type BenchmarkResult,
  judge,
  judgeRate,
  medianOf,
  type Series,
} from './benchmark.ts'
import { changedDatum, changedDatumOfMillion } from './cases/changed-datum.ts'
import { collection } from './cases/collection.ts'
import { firstDatum, largeInput, manyInputs, throughDatum } from './cases/datum-inputs.ts'
import { cross } from './cases/cross.ts'
import { finishCommit } from './cases/finish-commit.ts'
import { getRecursive } from './cases/get-recursive.ts'
import { hugeFile } from './cases/huge-file.ts'
import { largeFileIn, largeFileOut } from './cases/large-file.ts'
import { listDirectory } from './cases/list-directory.ts'
import { manyBranches } from './cases/many-branches.ts'
import { manyCommits } from './cases/many-commits.ts'
import { migrate } from './cases/migrate.ts'
import { millionFiles } from './cases/million-files.ts'
import { mountList, mountRead } from './cases/mount.ts'
import { putFrom } from './cases/put-from.ts'
import { putFromS3 } from './cases/put-from-s3.ts'
import { chain, fan } from './cases/pipeline-graphs.ts'
import { packsInBucket } from './cases/packs-in-bucket.ts'
import { s3Gateway } from './cases/s3-gateway.ts'
import { putToOutput } from './cases/put-to-output.ts'
import { singlePuts } from './cases/single-puts.ts'
import { smallCalls } from './cases/small-calls.ts'
import { smallFiles } from './cases/small-files.ts'
import { hugeSplit, split } from './cases/split.ts'
import { containerDatums, firstContainerDatum } from './cases/containers.ts'
import { manyTrivialDatums, trivialDatums } from './cases/trivial-datums.ts'
import { warmDatums } from './cases/warm-datums.ts'
import { versionCommand } from './cases/version-command.ts'
import { why } from './cases/why.ts'
import { wideDirectory } from './cases/wide-directory.ts'
import { currentLoad, describeMachine, waitForQuiet } from './machine.ts'
import { Pachd } from './pachd.ts'
import { markdownText, type Report, resultText } from './report.ts'

const benchmarks: readonly Benchmark[] = [
  smallFiles,
  largeFileIn,
  split,
  largeFileOut,
  getRecursive,
  mountRead,
  listDirectory,
  mountList,
  wideDirectory,
  finishCommit,
  trivialDatums,
  manyTrivialDatums,
  warmDatums,
  containerDatums,
  firstContainerDatum,
  firstDatum,
  largeInput,
  throughDatum,
  manyInputs,
  changedDatum,
  cross,
  chain,
  fan,
  why,
  putToOutput,
  putFrom,
  putFromS3,
  s3Gateway,
  packsInBucket,
  versionCommand,
  smallCalls,
  singlePuts,
  manyCommits,
  manyBranches,
  collection,
  migrate,
  millionFiles,
  changedDatumOfMillion,
  hugeFile,
  hugeSplit,
]

const here = fileURLToPath(new URL('.', import.meta.url))
const quiet = { loadBelow: 2, msMax: 30_000 } as const

async function measure(benchmark: Benchmark, roundsAsked: number): Promise<BenchmarkResult> {
  await mkdir(join(here, 'tmp'), { recursive: true })
  const directory = await mkdtemp(join(here, 'tmp', `${benchmark.name}-`))
  await using opened = new AsyncDisposableStack()
  opened.defer(async () => rm(directory, { recursive: true }))
  return await unlessAskedToEnd(measureIn(directory, opened, benchmark, roundsAsked))
}

/** @throws {Error} when a signal asks this process to end: servers end with it only if they are told. */
async function unlessAskedToEnd<Value>(work: Promise<Value>): Promise<Value> {
  work.catch(() => {})
  const { promise: asked, reject } = Promise.withResolvers<never>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => reject(new Error(`ended by ${signal}`)))
  }
  return Promise.race([work, asked])
}

async function measureIn(
  directory: string,
  opened: AsyncDisposableStack,
  benchmark: Benchmark,
  roundsAsked: number,
): Promise<BenchmarkResult> {
  const servers: Pachd[] = []
  let clientPeakMib: number | undefined
  const {
    contenders,
    comparisons,
    rates = [],
  } = await benchmark.prepare({
    directory,
    startPachd: async (options) => {
      const root = join(directory, `pachd-${servers.length}`)
      const server = opened.use(await Pachd.start(root, options))
      servers.push(server)
      return server
    },
    use: (resource) => opened.use(resource),
    noteClientMemory: (mib) => {
      clientPeakMib = Math.max(clientPeakMib ?? 0, mib)
    },
    say: (text) => console.log(`  ${text}`),
  })
  await waitForQuiet(quiet.loadBelow, quiet.msMax)
  const loadBefore = currentLoad()
  const samples = contenders.map((): number[] => [])
  const rounds = Math.min(roundsAsked, benchmark.roundsMax ?? Infinity)
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, contender] of contenders.entries()) {
      samples[index]?.push(await contender.run(round))
    }
  }
  const series = contenders.map(({ label }, index): Series => {
    const own = samples[index] ?? []
    return { label, samples: own, median: medianOf(own) }
  })
  const { name, title, unit } = benchmark
  return {
    name,
    title,
    unit,
    measuredAt: new Date().toISOString(),
    loads: [loadBefore, currentLoad()],
    series,
    verdicts: comparisons.map((comparison) => judge(comparison, series, unit)),
    rates: rates.map((rate) => judgeRate(rate, series, unit)),
    serverPeakMib: servers.length === 0 ? undefined : Math.max(...servers.map((s) => s.peakMib)),
    clientPeakMib,
  }
}

function select(names: readonly string[]): readonly Benchmark[] {
  if (names.length === 0) return benchmarks
  return names.map((name) => {
    const found = benchmarks.find((benchmark) => benchmark.name === name)
    if (found !== undefined) return found
    throw new Error(
      `no benchmark is called ${name}; there are ${benchmarks.map((b) => b.name).join(', ')}`,
    )
  })
}

/** Adds to what the file holds, in the benchmarks' order. */
async function merge(file: string, report: Report): Promise<Report> {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  const before = text === undefined ? undefined : (JSON.parse(text) as Report)
  if (before === undefined || before.machine.cpu !== report.machine.cpu) return report
  const results = benchmarks.flatMap(({ name }) => {
    const isIt = (result: BenchmarkResult): boolean => result.name === name
    return report.results.find(isIt) ?? before.results.find(isIt) ?? []
  })
  return { machine: report.machine, results }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    json: { type: 'string', default: join(here, 'results', 'latest.json') },
    markdown: { type: 'string' },
  },
})
const selected = select(positionals)
await mkdir(dirname(values.json), { recursive: true })
const machine = describeMachine(here)
if (selected.length === 1) await runHere(selected[0])
else for (const { name } of selected) runApart(name)
const report = await merge(values.json, { machine, results: [] })
if (values.markdown !== undefined) await writeFile(values.markdown, markdownText(report))

async function runHere(benchmark: Benchmark | undefined): Promise<void> {
  if (benchmark === undefined) return
  const result = await measure(benchmark, Number(values.rounds))
  console.log(resultText(result))
  const merged = await merge(values.json, { machine, results: [result] })
  await writeFile(values.json, `${JSON.stringify(merged, null, 2)}\n`)
}

/** In a process of its own: what one leaves in memory makes starting programs slower for the next. */
function runApart(name: string): void {
  const args = [name, '--rounds', values.rounds, '--json', values.json]
  const { status } = spawnSync(process.execPath, [process.argv[1] ?? '', ...args], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exitCode = 1
}
