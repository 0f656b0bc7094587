import type { Benchmark, BenchmarkResult, Budget, Verdict } from './benchmark.ts'
import type { Machine } from './machine.ts'

/** What a run leaves for others. */
export interface Report {
  readonly machine: Machine
  readonly results: readonly BenchmarkResult[]
}

export const memoryMibMax = 512

/** For a terminal. */
export function resultText(result: BenchmarkResult): string {
  const { unit, series, verdicts } = result
  const width = Math.max(...series.map(({ label }) => label.length))
  const lines = series.map(
    ({ label, samples, median }) =>
      `  ${label.padEnd(width)}  ${valueText(median, unit).padStart(12)}   ${samples.map(round).join(' ')}`,
  )
  for (const verdict of verdicts) {
    lines.push(
      `  ${verdict.ours} against ${verdict.baseline}: ${verdictText(verdict)}` +
        `${budgetText(verdict.budget)}${markOf(verdict.isKept)}`,
    )
  }
  for (const { ours, what, perSecond, perSecondAtLeast, isKept } of result.rates) {
    lines.push(
      `  ${ours}: ${rateText(perSecond)} ${what}/s (≥ ${rateText(perSecondAtLeast)})${markOf(isKept)}`,
    )
  }
  lines.push(`  ${memoryText(result)}; load ${result.loads.join(' to ')}`)
  return `${result.name}: ${result.title}\n${lines.join('\n')}\n`
}

/** For `RESULTS.md`. */
export function markdownText({ machine, results }: Report): string {
  const rows = results.flatMap((result) => [
    `| **${result.title}** (load ${result.loads.join(' to ')}) | | | | ${memoryCell(result)} |`,
    ...result.series.map(({ label, median }) => seriesRow(result, label, median)),
  ])
  return [
    ...Object.entries(machine).map(([name, value]) => `- ${name}: ${value}`),
    '',
    '| what | median | ratio | budget | peak MiB: pachd / pachctl |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

function seriesRow(
  { verdicts, rates, unit }: BenchmarkResult,
  label: string,
  median: number,
): string {
  const own = verdicts.filter(({ ours }) => ours === label)
  const ratios = own.map((verdict) => `${verdictText(verdict)} ${cellText(verdict.baseline)}`)
  const budgets = own
    .filter(({ budget }) => budget !== undefined)
    .map(({ budget, isKept }) => `${budgetText(budget).trim()}: ${isKept ? 'kept' : '**missed**'}`)
  for (const rate of rates.filter(({ ours }) => ours === label)) {
    ratios.push(`${rateText(rate.perSecond)} ${rate.what}/s`)
    budgets.push(`(≥ ${rateText(rate.perSecondAtLeast)}): ${rate.isKept ? 'kept' : '**missed**'}`)
  }
  return `| ${cellText(label)} | ${valueText(median, unit)} | ${ratios.join('<br>')} | ${budgets.join('<br>')} | |`
}

/** A line of shell with a pipe in it would end the cell. */
function cellText(label: string): string {
  return label.replaceAll('|', String.raw`\|`)
}

function memoryCell({ serverPeakMib, clientPeakMib }: BenchmarkResult): string {
  if (serverPeakMib === undefined) return ''
  const server = `${Math.round(serverPeakMib)}${serverPeakMib > memoryMibMax ? ' **missed**' : ''}`
  return clientPeakMib === undefined ? server : `${server} / ${Math.round(clientPeakMib)}`
}

function memoryText({ serverPeakMib, clientPeakMib }: BenchmarkResult): string {
  if (serverPeakMib === undefined) return 'no server'
  const mark = markOf(serverPeakMib <= memoryMibMax)
  const client = clientPeakMib === undefined ? '' : `, of pachctl ${Math.round(clientPeakMib)} MiB`
  return `peak memory of pachd ${Math.round(serverPeakMib)} MiB${mark}${client}`
}

function valueText(value: number, unit: Benchmark['unit']): string {
  return unit === 'ms' && value >= 10_000
    ? `${(value / 1000).toFixed(1)} s`
    : `${round(value)} ${unit}`
}

function verdictText({ value, budget }: Verdict): string {
  switch (budget?.kind) {
    case 'over':
      return `${round(value)} ms over`
    case 'slower':
      return `${value.toFixed(2)} × the time of`
    default:
      return `${value.toFixed(2)} × the speed of`
  }
}

function budgetText(budget: Budget | undefined): string {
  switch (budget?.kind) {
    case undefined:
      return ''
    case 'faster':
      return ` (≥ ${budget.atLeast})`
    case 'slower':
      return ` (≤ ${budget.atMost})`
    case 'over':
      return ` (≤ ${budget.msAtMost} ms)`
  }
}

function rateText(perSecond: number): string {
  return Math.round(perSecond).toLocaleString('en')
}

function markOf(isKept: boolean | undefined): string {
  if (isKept === undefined) return ''
  return isKept ? '  kept' : '  MISSED'
}

function round(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value.toFixed(1)
}
