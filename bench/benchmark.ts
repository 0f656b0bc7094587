import type { Pachd } from './pachd.ts'

/** One way to do the job that a benchmark measures. */
export interface Contender {
  readonly label: string
  /** Runs once; gives what it took, or in rates what it reached. `round` counts from 0. */
  readonly run: (round: number) => Promise<number>
}

/** What a promise says about two contenders. */
export type Budget =
  /** The first is at least so many times as fast as the second. */
  | { readonly kind: 'faster'; readonly atLeast: number }
  /** The first takes at most so many times as long as the second. */
  | { readonly kind: 'slower'; readonly atMost: number }
  /** The first takes at most so many milliseconds longer than the second. */
  | { readonly kind: 'over'; readonly msAtMost: number }

export interface Comparison {
  readonly ours: string
  readonly baseline: string
  /** Without one, the ratio is told and not judged. */
  readonly budget?: Budget
}

/** What a promise says about one contender alone. */
export interface Rate {
  readonly ours: string
  /** What is counted: files, MB … */
  readonly what: string
  /** So many in a run; absent where the unit is a rate already. */
  readonly count?: number
  readonly perSecondAtLeast: number
}

export interface Benchmark {
  /** Selects it on the command line. */
  readonly name: string
  /** One line: what is done, to how much. */
  readonly title: string
  readonly unit: 'ms' | 'calls/s'
  /** Fewer for what takes long; at most what the command line asks for. */
  readonly roundsMax?: number
  /** Makes everything that is needed below `stage.directory`, which is removed afterwards. */
  readonly prepare: (stage: Stage) => Promise<Contest>
}

export interface Contest {
  /** Run one after the other in each round, so that noise meets all of them. */
  readonly contenders: readonly Contender[]
  readonly comparisons: readonly Comparison[]
  readonly rates?: readonly Rate[]
}

/** What a benchmark may use; owned by the runner. */
export interface Stage {
  /** Empty, on the disk that the server uses too. */
  readonly directory: string
  /** A new server on an empty data directory; stopped by the runner. */
  readonly startPachd: (environment?: Readonly<Record<string, string>>) => Promise<Pachd>
  /** Hands over something to dispose of at the end. */
  readonly use: <T extends AsyncDisposable>(resource: T) => T
  /** Tells the peak memory of a client, in MiB; the largest of all is kept. */
  readonly noteClientMemory: (mib: number) => void
  /** Says what is going on. */
  readonly say: (text: string) => void
}

export interface Series {
  readonly label: string
  readonly samples: readonly number[]
  readonly median: number
}

export interface Verdict extends Comparison {
  /** How many times as fast (`faster`, or without a budget) or as slow (`slower`), or milliseconds more (`over`). */
  readonly value: number
  readonly isKept: boolean | undefined
}

export interface RateVerdict extends Rate {
  readonly perSecond: number
  readonly isKept: boolean
}

export interface BenchmarkResult {
  readonly name: string
  readonly title: string
  readonly unit: Benchmark['unit']
  /** ISO 8601. */
  readonly measuredAt: string
  /** Of one minute, before and after. */
  readonly loads: readonly [number, number]
  readonly series: readonly Series[]
  readonly verdicts: readonly Verdict[]
  readonly rates: readonly RateVerdict[]
  /** The most that a pachd held at once. */
  readonly serverPeakMib: number | undefined
  readonly clientPeakMib: number | undefined
}

/** The middle one; the mean of the middle two when there is an even number. */
export function medianOf(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN
  return (lower + upper) / 2
}

export function judge(
  comparison: Comparison,
  series: readonly Series[],
  unit: Benchmark['unit'],
): Verdict {
  const ours = medianIn(series, comparison.ours)
  const baseline = medianIn(series, comparison.baseline)
  const speed = unit === 'ms' ? baseline / ours : ours / baseline
  const { budget } = comparison
  switch (budget?.kind) {
    case undefined:
      return { ...comparison, value: speed, isKept: undefined }
    case 'faster':
      return { ...comparison, value: speed, isKept: speed >= budget.atLeast }
    case 'slower':
      return { ...comparison, value: 1 / speed, isKept: 1 / speed <= budget.atMost }
    case 'over':
      return { ...comparison, value: ours - baseline, isKept: ours - baseline <= budget.msAtMost }
  }
}

export function judgeRate(
  rate: Rate,
  series: readonly Series[],
  unit: Benchmark['unit'],
): RateVerdict {
  const median = medianIn(series, rate.ours)
  const perSecond = unit === 'ms' ? ((rate.count ?? 1) * 1000) / median : median
  return { ...rate, perSecond, isKept: perSecond >= rate.perSecondAtLeast }
}

function medianIn(series: readonly Series[], label: string): number {
  const found = series.find((one) => one.label === label)
  if (found === undefined) throw new Error(`no contender is called ${label}`)
  return found.median
}
