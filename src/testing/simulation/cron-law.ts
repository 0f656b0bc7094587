import type { Instant } from '../../base/clock.ts'
import type { Connection } from '../../database/sqlite/connection.ts'
import { atomsOf, type CronTicks } from '../../pipelines/inputs.ts'
import type { PipelineSpec } from '../../pipelines/specs.ts'
import type { ClockGaps } from './clock-gaps.ts'
import type { Files } from './expected-output.ts'
import { nextTick, ticksBetween } from './schedule-model.ts'

const microsPerMilli = 1000
/** A tick that is made later than this after its time has been missed. */
const missedMicros = 60_000_000

/** What a cron input was told, and from when to when. */
interface Setting {
  readonly repo: string
  readonly cron: CronTicks
  readonly since: Instant
  until: Instant
}

interface TickRow {
  readonly id: string
  readonly parent: string | null
  readonly finished_at: number | null
}

/** What is read of the world to judge ticks. */
export interface TickReader {
  readonly now: Instant
  filesOf(repo: string, commit: string): Promise<Files>
}

/**
 * Which ticks there must be, from what cron inputs were told and when the server ran: each at its
 * time, those that were missed as the input says, and none twice.
 */
export class CronLaw {
  readonly #rows: Connection
  readonly #settings: Setting[] = []
  readonly #gaps: ClockGaps

  constructor(rows: Connection, gaps: ClockGaps) {
    this.#rows = rows
    this.#gaps = gaps
  }

  /** The repos that clocks have committed to. */
  get repos(): ReadonlySet<string> {
    return new Set(this.#settings.map(({ repo }) => repo))
  }

  /** Notes what running pipelines are told now. */
  look(now: Instant): void {
    const running = new Map<string, Setting>()
    const rows = this.#rows.all<{ readonly spec: string }>(
      `SELECT spec FROM pipelines JOIN pipeline_versions AS v
        ON v.pipeline_id = id AND v.version = pipelines.version
        WHERE state = 'running' AND spec LIKE '%"cron":{%'`,
    )
    for (const row of rows) {
      // The cast: what the product has stored.
      const { input } = JSON.parse(row.spec) as PipelineSpec
      for (const { repo, cron } of atomsOf(input)) {
        if (cron === undefined) continue
        running.set(JSON.stringify([repo, cron]), { repo, cron, since: now, until: Infinity })
      }
    }
    for (const setting of this.#settings) {
      if (setting.until !== Infinity) continue
      const isRunning = running.delete(JSON.stringify([setting.repo, setting.cron]))
      if (!isRunning) setting.until = now
    }
    this.#settings.push(...running.values())
  }

  /** What is wrong with the ticks that were made, or are missing when all has come to rest. */
  async check(reader: TickReader): Promise<string | undefined> {
    for (const repo of this.repos) {
      const settings = this.#settings.filter((setting) => setting.repo === repo)
      const broken = await this.#checkRepo(reader, repo, settings)
      if (broken !== undefined) return broken
    }
    return undefined
  }

  async #checkRepo(
    reader: TickReader,
    repo: string,
    settings: readonly Setting[],
  ): Promise<string | undefined> {
    let last: Instant | undefined
    const line = this.#line(repo)
    if (line === undefined) return `the commits of ${repo} are not one line`
    for (const { id, finished_at: at } of line) {
      if (at === null) return `the tick ${repo}@${id} is not finished`
      const text = shown(await reader.filesOf(repo, id))
      const tick = timeIn(text)
      if (tick === undefined) return `the tick ${repo}@${id} holds ${text}`
      const reasons = settings.flatMap(
        (setting) => this.#problem(setting, { last, tick, at }) ?? [],
      )
      if (reasons.length === settings.length) {
        return `the tick ${text} of ${repo} after ${textOf(last)} should not be: ${reasons.join('; ')}`
      }
      last = tick
    }
    for (const setting of settings) {
      const missing = this.#missing(setting, last, reader.now)
      if (missing === undefined) continue
      return `the tick ${textOf(missing)} of ${repo} after ${textOf(last)} is missing at ${textOf(reader.now)}: ${JSON.stringify(setting.cron)}`
    }
    return undefined
  }

  /** The commits of a repo that nobody but a clock writes to, oldest first; undefined when they are not one line. */
  #line(repo: string): readonly TickRow[] | undefined {
    const rows = this.#rows.all<TickRow & { readonly [column: string]: string | number | null }>(
      'SELECT id, parent, finished_at FROM commits WHERE repo = ?',
      [repo],
    )
    const children = new Map(rows.map((row) => [row.parent, row]))
    const line: TickRow[] = []
    for (let row = children.get(null); row !== undefined; row = children.get(row.id)) line.push(row)
    return line.length < rows.length ? undefined : line
  }

  /** Why a tick that was made at `at` does not follow from the setting; undefined when it does. */
  #problem(
    { cron, since, until }: Setting,
    made: { readonly last: Instant | undefined; readonly tick: Instant; readonly at: Instant },
  ): string | undefined {
    const { tick, at } = made
    const { schedule, missed } = cron
    const last = made.last ?? cron.start
    const decidedFrom = this.#gaps.before(at)
    if (since > at || until < decidedFrom) return `nobody asked for it then`
    if (tick > at) return `it is early`
    const ticks = ticksBetween(schedule, last, tick)
    if (ticks.at(-1) !== tick) return `${schedule} does not tick then`
    const skipped = ticks.slice(0, -1)
    if (skipped.length > 0 && missed === 'all') return `it is not the next`
    const wakeful = Math.max(since, this.#gaps.wakefulSince(at))
    if (skipped.some((one) => one >= wakeful)) return `there was time for the one before`
    if (missed === 'all') return undefined
    if (nextTick(schedule, tick) <= decidedFrom) return `it was not the latest`
    return missed === 'none' && tick < decidedFrom - missedMicros ? `it was missed` : undefined
  }

  /** The tick that should have been made by now. */
  #missing(
    { cron, since, until }: Setting,
    lastMade: Instant | undefined,
    now: Instant,
  ): Instant | undefined {
    if (until !== Infinity) return undefined
    const last = lastMade ?? cron.start
    const wakeful = Math.max(since, this.#gaps.wakefulSince(now))
    const from = cron.missed === 'none' ? Math.min(wakeful, now - missedMicros) : last
    return ticksBetween(cron.schedule, Math.max(last, from), now)[0]
  }
}

function shown(files: Files): string {
  const entries = [...files]
  const [[path, text] = ['', '']] = entries
  return entries.length === 1 && path === '/time' ? text : JSON.stringify(entries)
}

function timeIn(text: string): Instant | undefined {
  if (!/^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"$/.test(text)) return undefined
  return Date.parse(text.slice(1, -1)) * microsPerMilli
}

function textOf(time: Instant | undefined): string {
  return time === undefined ? 'the start' : new Date(time / microsPerMilli).toISOString()
}
