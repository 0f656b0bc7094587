/** The time in which at least one of several was under way. */
export class BusyTime {
  #ms = 0
  #running = 0
  #sinceMs = 0

  get ms(): number {
    return this.#ms
  }

  begin(nowMs: number): void {
    if (this.#running === 0) this.#sinceMs = nowMs
    this.#running += 1
  }

  end(nowMs: number): void {
    this.#running -= 1
    if (this.#running === 0) this.#ms += nowMs - this.#sinceMs
  }
}

/** How long a store takes to answer, and for each byte then: a line through a sample of reads. */
export class SourceSpeed {
  /** When reads of the sample were under way. */
  readonly busy: BusyTime = new BusyTime()
  #count = 0
  #bytes = 0
  #ms = 0
  #bytesSquared = 0
  #bytesByMs = 0

  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#bytes
  }

  add(bytes: number, ms: number): void {
    this.#count += 1
    this.#bytes += bytes
    this.#ms += ms
    this.#bytesSquared += bytes * bytes
    this.#bytesByMs += bytes * ms
  }

  /** Of one read among as many as the sample had at once. Least squares, neither below 0. */
  get costs(): { readonly msEach: number; readonly msPerByte: number } {
    const [count, bytes, ms] = [this.#count, this.#bytes, this.#ms]
    if (count === 0) return { msEach: 0, msPerByte: 0 }
    const spread = count * this.#bytesSquared - bytes * bytes
    const slope = spread > 0 ? (count * this.#bytesByMs - bytes * ms) / spread : 0
    const msPerByte = Math.max(0, slope)
    const msEach = (ms - msPerByte * bytes) / count
    return msEach >= 0 ? { msEach, msPerByte } : { msEach: 0, msPerByte: ms / bytes }
  }

  /** How many reads were under way at once, on average. */
  get atOnce(): number {
    return Math.max(1, this.#ms / Math.max(this.busy.ms, Number.MIN_VALUE))
  }

  /** What it takes to read so much in the same way. */
  msFor({ objects, bytes }: { readonly objects: number; readonly bytes: number }): number {
    const { msEach, msPerByte } = this.costs
    return (objects * msEach + bytes * msPerByte) / (this.busy.ms === 0 ? 1 : this.atOnce)
  }
}
