import type { Clock, Instant } from '../base/clock.ts'
import { CancelledError, DomainError } from '../base/errors.ts'
import type { PipelineName } from '../base/names.ts'
import type { Database } from '../database/database.ts'
import { type Pauses, pauseMsAfter } from '../base/retries.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { branchTriggerTopic, type OnHeadReady } from '../versioning/ports.ts'
import { BranchTicks } from './cron/branch-ticks.ts'
import { parseSchedule, type Schedule } from './cron/schedule.ts'
import { TickCommits } from './cron/tick-commits.ts'
import { atomsOf, type AtomInput, type CronTicks } from './inputs.ts'
import { failIfRepoGone } from './running/lost-repos.ts'
import { cronPipelines, pipelineTopic, setRecentError } from './pipeline-records.ts'
import type { RunLog } from './running/run-ports.ts'

/** A tick that is made later than this after its time has been missed. */
const lateMicrosMax = 60_000_000
/** The clock is looked at so often at least: somebody may set it, or the machine may have slept. */
const sleepMsMax = 60_000
/** After a tick that could not be made. */
const pauses: Pauses = { pauseMs: 1000, pauseMsMax: sleepMsMax }
const microsPerMilli = 1000

/** A cron input of a running pipeline. */
interface Ticking {
  readonly pipeline: PipelineName
  readonly input: AtomInput
  readonly cron: CronTicks
  readonly schedule: Schedule
  failureCount: number
  /** After a failure: not before this. */
  retryAt: Instant
  /** What is said of it as the pipeline's recent error. */
  trouble: string
}

/**
 * Makes the ticks of the cron inputs of running pipelines, each when its time has come.
 *
 * What the next tick is follows from the file `time` at the head of the input's repo alone (or from
 * the input's start, where there is none), so that a restart goes on where things were, and no tick
 * is made twice. The clocks of branch triggers tick beside them (see `BranchTicks`).
 */
export class CronTicker implements AsyncDisposable {
  readonly #database: Database
  readonly #clock: Clock
  readonly #commits: TickCommits
  readonly #branches: BranchTicks
  readonly #log: RunLog
  readonly #stop = new AbortController()
  /** Aborted to have pipelines looked up anew. */
  #wake = new AbortController()
  #isStale = true
  #ticking: readonly Ticking[] = []
  #loops: readonly Promise<void>[] = []

  constructor(ports: {
    readonly database: Database
    readonly clock: Clock
    readonly versioning: Pick<Versioning, 'files' | 'transactions'>
    readonly onHeadReady: OnHeadReady
    readonly log: RunLog
  }) {
    this.#database = ports.database
    this.#clock = ports.clock
    this.#commits = new TickCommits(ports.versioning)
    this.#branches = new BranchTicks(ports)
    this.#log = ports.log
  }

  start(): void {
    this.#loops = [this.#untilStopped(() => this.#watch()), this.#untilStopped(() => this.#tick())]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#wake.abort()
    await Promise.all(this.#loops)
  }

  async #untilStopped(run: () => Promise<void>): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await run()
      } catch (error) {
        if (signal.aborted) return
        this.#log.error('the ticker of cron inputs met an error and goes on', error)
        await this.#clock.sleep(pauses.pauseMs, signal).catch(() => undefined)
      }
    }
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop
    const events = this.#database.watch([pipelineTopic, branchTriggerTopic], { signal })
    this.#refresh()
    for await (const _ of events) this.#refresh()
  }

  #refresh(): void {
    this.#isStale = true
    this.#wake.abort()
  }

  /** One look: makes what is due, one tick of each input, or waits until something is. */
  async #tick(): Promise<void> {
    const wake = new AbortController()
    this.#wake = wake
    if (this.#isStale) {
      this.#isStale = false
      this.#ticking = await this.#lookUp()
      await this.#branches.lookUp()
    }
    let next = await this.#branches.makeDue(this.#clock.now())
    let isBusy = false
    for (const ticking of this.#ticking) {
      if (this.#stop.signal.aborted) return
      const due = await this.#makeDue(ticking)
      if (due === undefined) isBusy = true
      else next = Math.min(next ?? due, due)
    }
    if (isBusy || this.#isStale) return
    const leftMs = next === undefined ? Infinity : (next - this.#clock.now()) / microsPerMilli
    await this.#sleep(Math.max(1, Math.min(sleepMsMax, Math.ceil(leftMs))), wake.signal)
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#clock.sleep(ms, signal)
    } catch (error) {
      if (!(error instanceof CancelledError)) throw error
    }
  }

  async #lookUp(): Promise<readonly Ticking[]> {
    const known = new Map(this.#ticking.map((ticking) => [keyOf(ticking), ticking]))
    const found: Ticking[] = []
    for (const { name: pipeline, spec, recentError } of await this.#database.read(cronPipelines)) {
      for (const input of atomsOf(spec.input)) {
        const { cron } = input
        if (cron === undefined) continue
        const before = known.get(keyOf({ pipeline, input }))
        const schedule = before?.schedule ?? (await parseSchedule(cron.schedule, cron.timeZone))
        const trouble = recentError.startsWith(cannotTick(input)) ? recentError : ''
        const ticking = { pipeline, input, cron, schedule, failureCount: 0, retryAt: 0 }
        found.push(Object.assign(before ?? { ...ticking, trouble }, { trouble }))
      }
    }
    return found
  }

  /** The tick to make next, be its time past or to come. */
  async #nextTick({ input, cron, schedule }: Ticking): Promise<Instant | undefined> {
    const last = (await this.#commits.last(input)) ?? cron.start
    if (cron.missed === 'all') return schedule.after(last)
    const now = this.#clock.now()
    const latest = schedule.lastWithin(last, now)
    const isMissed = latest !== undefined && latest < now - lateMicrosMax
    if (cron.missed === 'none' && isMissed) return schedule.after(latest)
    return latest ?? schedule.after(last)
  }

  /** Makes the next tick if it is due; returns when to look again, undefined for at once. */
  async #makeDue(ticking: Ticking): Promise<Instant | undefined> {
    if (ticking.retryAt > this.#clock.now()) return ticking.retryAt
    try {
      const tick = await this.#nextTick(ticking)
      if (tick === undefined || tick > this.#clock.now()) return tick ?? Infinity
      await this.#commits.make(ticking.input, tick)
      ticking.failureCount = 0
      ticking.retryAt = 0
      await this.#tell(ticking, '')
      return undefined
    } catch (error) {
      if (!(error instanceof DomainError) || this.#stop.signal.aborted) throw error
      return await this.#afterFailure(ticking, error)
    }
  }

  /** Other inputs go on ticking meanwhile. */
  async #afterFailure(ticking: Ticking, error: DomainError): Promise<Instant> {
    const { pipeline, input } = ticking
    const now = this.#clock.now()
    ticking.failureCount += 1
    ticking.retryAt = now + pauseMsAfter(pauses, ticking.failureCount) * microsPerMilli
    const ports = { database: this.#database, clock: this.#clock }
    if (await failIfRepoGone(ports, pipeline, this.#stop.signal)) return ticking.retryAt
    await this.#tell(ticking, `${cannotTick(input)}: ${error.message}`)
    if (ticking.failureCount === 1) {
      this.#log.error(`cron input ${input.name} of pipeline ${pipeline} cannot tick`, error)
    }
    return ticking.retryAt
  }

  async #tell(ticking: Ticking, trouble: string): Promise<void> {
    if (ticking.trouble === trouble) return
    await this.#database.transact(async (tx) => setRecentError(tx, ticking.pipeline, trouble))
    ticking.trouble = trouble
  }
}

function cannotTick({ name }: AtomInput): string {
  return `cron input ${name} cannot tick`
}

function keyOf({ pipeline, input }: Pick<Ticking, 'pipeline' | 'input'>): string {
  return JSON.stringify([pipeline, input.name, input.repo, input.cron])
}

export { parseSchedule } from './cron/schedule.ts'
