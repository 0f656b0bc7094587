import { utf8Text, collectBytes } from '../../base/bytes.ts'
import { DataLossError, DomainError } from '../../base/errors.ts'
import { branchTopic, branchTriggerTopic, commitTopic } from '../../versioning/ports.ts'
import { FlushFailedError } from '../../versioning/errors.ts'
import type { Connection } from '../../database/sqlite/connection.ts'
import { parseSchedule } from '../../pipelines/cron/schedule.ts'
import { pipelineTopic } from '../../pipelines/pipeline-records.ts'
import { migrations } from '../../server/migrations.ts'
import { MemoryBucket } from '../memory-bucket.ts'
import { ClockGaps } from './clock-gaps.ts'
import { CronLaw } from './cron-law.ts'
import { SimulatedEvents, settled } from './events.ts'
import type { Files } from './expected-output.ts'
import { LimitLaw } from './limit-law.ts'
import { Observations } from './observations.ts'
import { ServiceLaw } from './service-law.ts'
import { simulatedRows } from './simulated-database.ts'
import { type Disk, openSimulatedServer, type SimulatedServer } from './simulated-server.ts'
import { sameFiles, SourceModel, sourceRepos } from './source-model.ts'
import { TriggerLaw } from './trigger-law.ts'

/** A law that does not hold. */
export class BrokenLawError extends Error {
  override readonly name = 'BrokenLawError'
}

/** A step that has no meaning as things stand. */
export class NothingToDoError extends Error {
  override readonly name = 'NothingToDoError'
}

const triggerTopics = [branchTopic, branchTriggerTopic, commitTopic]
/** More than any wait for rest needs. */
const restEventsMax = 400_000
const observeEvery = 5
const fileBytesMax = 1024 * 1024
export const bucketUrl = 's3://memory/'

/** A flush that ended since no job would be made any more for a target. */
interface GivenUp {
  readonly repo: string
  readonly commit: string
  readonly target: string
  readonly text: string
}

interface Flush {
  readonly text: string
  isOver: boolean
}

/**
 * A server, what people do to it, and its crashes: all from one seed, in one thread, without the
 * real world's time, chance or devices.
 */
export class Simulation {
  readonly events: SimulatedEvents
  readonly model: SourceModel = new SourceModel()
  /** What happened, for people. */
  readonly trace: string[] = []
  readonly givenUp: GivenUp[] = []
  readonly cronLaw: CronLaw
  readonly triggerLaw: TriggerLaw
  readonly #seed: number
  readonly #disk: Disk
  readonly #observations: Observations
  readonly #gaps = new ClockGaps()
  #server: SimulatedServer
  #lifeCount = 0
  #crashAt: number | undefined
  /** After the next crash the server is down for so long. */
  #downMs = 0
  #waiter: { readonly until: number; readonly resolve: () => void } | undefined
  #flushes: Flush[] = []
  #isCollecting = false
  #broken: string | undefined

  private constructor(seed: number, disk: Disk) {
    this.#seed = seed
    this.#disk = disk
    this.events = new SimulatedEvents(seed)
    this.#observations = new Observations(disk.rows)
    this.cronLaw = new CronLaw(disk.rows, this.#gaps)
    this.triggerLaw = new TriggerLaw(disk.rows, this.#gaps)
    this.#server = this.#open()
  }

  static async open(seed: number): Promise<Simulation> {
    const rows = await simulatedRows(migrations)
    const disk = {
      rows,
      chunks: new Map(),
      runs: new Map(),
      losses: new Map(),
      limits: new LimitLaw(rows),
      services: new ServiceLaw(),
      bucket: new MemoryBucket(),
      exported: new Map(),
    }
    const simulation = new Simulation(seed, disk)
    // Loads what schedules are read by: later on, nothing waits for anything that is not simulated.
    await parseSchedule('0 0 * * * *', '')
    await simulation.untilDone('make source repos', async () => {
      for (const name of sourceRepos) await simulation.server.versioning.repos.create({ name })
    })
    return simulation
  }

  get server(): SimulatedServer {
    return this.#server
  }

  get services(): ServiceLaw {
    return this.#disk.services
  }

  get rows(): Connection {
    return this.#disk.rows
  }

  get chunkIds(): ReadonlySet<string> {
    return new Set(this.#disk.chunks.keys())
  }

  /** The texts of what is there of a commit that was the last to be exported to `url`. */
  exportedFiles(url: string, commit: string): Files | undefined {
    const { bucket, exported } = this.#disk
    if (exported.get(url) !== commit) return undefined
    const prefix = `${url.slice(bucketUrl.length)}/`
    const found = new Map<string, string>()
    for (const [key, { bytes }] of bucket.objects) {
      if (key.startsWith(prefix)) found.set(key.slice(prefix.length - 1), utf8Text(bytes))
    }
    return found
  }

  close(): void {
    this.#server.crash()
    this.rows[Symbol.dispose]()
  }

  /** Has somebody do what `act` does, which says what that was. @throws {BrokenLawError} */
  async take(kind: string, act: () => Promise<string>): Promise<void> {
    const started = this.events.count
    let text = ''
    const isCutOff = await this.#pump(kind, async () => {
      try {
        text = await act()
      } catch (error) {
        if (error instanceof DataLossError) throw error
        if (!(error instanceof DomainError || error instanceof NothingToDoError)) throw error
        this.model.uncertain = undefined
        text = `${kind} refused: ${error.message}`
      }
    })
    this.trace.push(`[${started}] ${isCutOff ? `${kind}, cut off by a crash` : text}`)
    if (isCutOff) await this.#recover()
    this.#judgeTriggers()
    this.triggerLaw.movedByHand = undefined
    if (this.trace.length % observeEvery === 0 || isCutOff) this.observe()
    this.#throwIfBroken()
  }

  /** Has `work` come to its end, and no crash comes before. @throws {BrokenLawError} */
  async untilDone<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
    this.#crashAt = undefined
    const result: { value?: Result } = {}
    await this.#pump(what, async () => {
      result.value = await work()
    })
    this.#throwIfBroken()
    // The cast: the work has come to its end without an error.
    return result.value as Result
  }

  /** Lets so many events happen, or all there are. */
  async wait(count: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiter = { until: this.events.count + count, resolve }
    })
  }

  /** A crash comes when so many events have happened, and the server is down for so long. */
  crashAfter(count: number, downMs: number): void {
    this.#crashAt = this.events.count + count
    this.#downMs = downMs
  }

  async restart(downMs: number): Promise<void> {
    await this.#server.stop()
    this.#endLife()
    this.#reopen(downMs)
  }

  /** Lets time pass until all is done that is due then. */
  async pass(ms: number): Promise<void> {
    this.events.letPass(ms)
    await this.wait(Number.POSITIVE_INFINITY)
  }

  /** Somebody sets the clock on the wall. */
  setClockAhead(ms: number): void {
    const from = this.events.wall()
    this.events.setWallAhead(ms)
    this.#gaps.add(from, this.events.wall())
  }

  /** Collects garbage beside what comes next; one collection at a time. */
  collect(): void {
    if (this.#isCollecting) return
    this.#isCollecting = true
    const { server } = this
    server.collect().then(
      () => {
        if (server === this.server) this.#isCollecting = false
      },
      (error: unknown) => this.#break('garbage could not be collected', error),
    )
  }

  /** Begins to wait for all that follows from a commit. */
  flush(repo: string, commit: string): void {
    const flush = { text: `flush of ${repo}@${commit}`, isOver: false }
    this.#flushes.push(flush)
    const { signal } = new AbortController()
    const { subscriptions } = this.server.versioning
    Array.fromAsync(subscriptions.flush({ commits: [{ repo, commit }], signal })).then(
      () => (flush.isOver = true),
      (error: unknown) => {
        flush.isOver = true
        if (!(error instanceof DomainError)) this.#break(flush.text, error)
        if (!(error instanceof FlushFailedError)) return
        for (const { repo: target, reason } of error.failures) {
          if (!reason.includes('no job of pipeline')) continue
          // It may be let through later.
          if (reason.includes('the trigger of branch')) continue
          this.givenUp.push({ repo, commit, target, text: reason })
        }
      },
    )
  }

  /** Flushes that wait though nothing happens any more. */
  get hangingFlushes(): readonly string[] {
    return this.#flushes.flatMap(({ text, isOver }) => (isOver ? [] : [text]))
  }

  /** Whether there is a pipeline of this name that makes commits, as services do not. */
  makesCommits(name: string): boolean {
    const pipelines = 'SELECT name FROM pipelines WHERE name = ? AND service_port IS NULL'
    return this.rows.get(pipelines, [name]) !== undefined
  }

  /** All files of a commit, and directories. */
  async filesOf(repo: string, commit: string): Promise<Files> {
    const { versioning, contents } = this.server
    const found = new Map<string, string>()
    using lease = this.server.leases.beginReading()
    const { tree } = await versioning.files.snapshot({ repo, commit, lease, signal: undefined })
    for await (const { path, entry } of this.server.trees.walk(tree, { directories: true })) {
      if (path === '') continue
      if (entry.kind === 'directory') found.set(`${path}/`, '')
      else {
        const bytes = await collectBytes(contents.read(entry.content), fileBytesMax)
        found.set(path, utf8Text(bytes))
      }
    }
    return found
  }

  /** Compares rows with what they were. */
  observe(): void {
    const broken = this.#observations.look()
    if (broken !== undefined) this.#broken ??= broken
  }

  /** What source repos hold is what was acknowledged. */
  async checkSources(): Promise<void> {
    for (const { id, repo, files } of this.model.commits.values()) {
      const found = await this.filesOf(repo, id)
      if (!sameFiles(found, files)) {
        this.#broken ??= `commit ${repo}@${id} holds ${JSON.stringify([...found])}, and should ${JSON.stringify([...files])}`
      }
    }
  }

  /** What failed for its tries or its time has done so rightly. */
  checkLimits(): void {
    const broken = this.#disk.limits.check()
    if (broken !== undefined) this.#broken ??= broken
  }

  /** Branches with triggers are where they should be, when all has come to rest. */
  checkTriggers(): void {
    this.#judgeTriggers()
    const bytesOf = (id: string): number | undefined => this.model.addedBytes.get(id)
    const broken = this.triggerLaw.checkTicks(this.events.wall(), bytesOf)
    if (broken !== undefined) this.#broken ??= broken
  }

  #judgeTriggers(): void {
    this.model.noteAddedBytes(this.rows)
    const broken = this.triggerLaw.check((id) => this.model.addedBytes.get(id))
    if (broken !== undefined) this.#broken ??= broken
  }

  break(law: string): void {
    this.#broken ??= law
  }

  #open(): SimulatedServer {
    this.#lifeCount += 1
    return openSimulatedServer({
      events: this.events,
      disk: this.#disk,
      seed: this.#seed * 1000 + this.#lifeCount,
      onBroken: (law) => (this.#broken ??= law),
      onError: (text, cause) => this.#break(text, cause),
      onCommitted: (topics) => this.#afterTransaction(topics),
    })
  }

  #reopen(downMs: number): void {
    const from = this.events.wall()
    this.events.skip(downMs)
    this.#server = this.#open()
    this.#gaps.add(from, this.events.wall())
  }

  #afterTransaction(topics: ReadonlySet<string>): void {
    if (topics.has(pipelineTopic)) this.cronLaw.look(this.events.wall())
    if (triggerTopics.some((topic) => topics.has(topic))) this.triggerLaw.look(this.events.wall())
  }

  #endLife(): void {
    // What waited in it is told nothing.
    this.#flushes = []
    this.#isCollecting = false
    this.#waiter = undefined
    this.#crashAt = undefined
  }

  async #recover(): Promise<void> {
    this.#server.crash()
    this.#endLife()
    this.#reopen(this.#downMs)
    const broken = await this.untilDone('recover', () =>
      this.model.reconcile(this.rows, (repo, id) => this.filesOf(repo, id)),
    )
    if (broken !== undefined) this.#broken ??= broken
  }

  /** True when a crash was due before the end of the work. */
  async #pump(what: string, work: () => Promise<void>): Promise<boolean> {
    const progress = { isDone: false }
    const working = work()
      .catch((error: unknown) => this.#break(what, error))
      .finally(() => {
        progress.isDone = true
      })
    void working
    await settled()
    for (let count = 0; !progress.isDone; count += 1) {
      if (this.#broken !== undefined) return false
      if (this.#crashAt !== undefined && this.events.count >= this.#crashAt) return true
      if (this.#waiter !== undefined && this.events.count >= this.#waiter.until) this.#wake()
      else if (!(await this.events.next()) && !this.#wake()) this.#broken ??= `${what} hangs`
      if (count > restEventsMax) this.#broken ??= `${what} never comes to rest`
      await settled()
    }
    return false
  }

  #wake(): boolean {
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.resolve()
    return waiter !== undefined
  }

  #break(text: string, cause: unknown): void {
    const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
    this.#broken ??= `${text}: ${reason}`
  }

  #throwIfBroken(): void {
    if (this.#broken !== undefined) throw new BrokenLawError(this.#broken)
  }
}
