/** How values are spread. Percentiles are values that were there, or off by at most 1 %. */
export interface Spread {
  readonly count: number
  readonly mean: number
  /** The standard deviation, of all of them. */
  readonly deviation: number
  readonly min: number
  readonly p5: number
  readonly median: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

/** So many values are kept as they are; of more, only how many there are in each bucket. */
const exactCountMax = 4096
/** The upper end of a bucket, as a multiple of its lower one. */
const bucketGrowth = 1.02
const growthLog = Math.log(bucketGrowth)

/** Takes values of 0 or more, one after the other, in bounded memory. */
export class SpreadOf {
  #count = 0
  #mean = 0
  /** The sum of the squared differences from the mean. */
  #squares = 0
  #min = Number.POSITIVE_INFINITY
  #max = 0
  #exact: number[] | undefined = []
  readonly #buckets = new Map<number, number>()

  add(value: number): void {
    this.#count += 1
    const difference = value - this.#mean
    this.#mean += difference / this.#count
    this.#squares += difference * (value - this.#mean)
    this.#min = Math.min(this.#min, value)
    this.#max = Math.max(this.#max, value)
    if (this.#exact === undefined) return this.#fill(value)
    this.#exact.push(value)
    if (this.#exact.length <= exactCountMax) return
    for (const one of this.#exact) this.#fill(one)
    this.#exact = undefined
  }

  /** All zeros when there was no value. */
  spread(): Spread {
    const percentile = this.#percentiles()
    return {
      count: this.#count,
      mean: this.#mean,
      deviation: this.#count === 0 ? 0 : Math.sqrt(this.#squares / this.#count),
      min: this.#count === 0 ? 0 : this.#min,
      p5: percentile(0.05),
      median: percentile(0.5),
      p95: percentile(0.95),
      p99: percentile(0.99),
      max: this.#max,
    }
  }

  #fill(value: number): void {
    const bucket = value <= 0 ? 0 : Math.floor(Math.log(value) / growthLog) + offset
    this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + 1)
  }

  /** The least value that so great a part of them does not exceed. */
  #percentiles(): (part: number) => number {
    const rank = (part: number): number => Math.max(1, Math.ceil(part * this.#count))
    if (this.#exact !== undefined) {
      const sorted = this.#exact.toSorted((left, right) => left - right)
      return (part) => sorted[rank(part) - 1] ?? 0
    }
    const sorted = [...this.#buckets].toSorted(([left], [right]) => left - right)
    return (part) => {
      let left = rank(part)
      for (const [bucket, count] of sorted) {
        left -= count
        if (left <= 0) return this.#within(bucket)
      }
      return this.#max
    }
  }

  /** The middle of a bucket, which no value there differs from by more than 1 %. */
  #within(bucket: number): number {
    const middle = bucket === 0 ? 0 : Math.exp((bucket - offset + 0.5) * growthLog)
    return Math.min(this.#max, Math.max(this.#min, middle))
  }
}

/** So that no bucket of a positive value, however small, is that of zero. */
const offset = 100_000
