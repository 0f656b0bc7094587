import * as fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { DomainError } from '../base/errors.ts'
import type { CommitId, RepoName } from '../base/names.ts'
import {
  atom,
  atomNamed,
  failDatum,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import { findDerivedCommit } from '../versioning/commit-records.ts'
import { FlushFailedError } from '../versioning/errors.ts'
import { pipelinesWithBacklog } from './jobs/arrivals.ts'
import type { RequestedInput } from './requested-specs.ts'

const roots = ['in', 'other'] as const
/** People commit to it what they make from `in`. */
const byHand = 'notes'

const pipeline = fc.record({
  readings: fc.array(
    fc.record({
      /** Among the repos that are there before the pipeline. */
      from: fc.nat(),
      branch: fc.constantFrom('master', 'master', 'master', 'master', 'aside', 'stats'),
      triggerCommits: fc.constantFrom(0, 0, 0, 0, 2),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  /** Fails where something of what it reads is bad. */
  isPicky: fc.boolean(),
  enableStats: fc.boolean(),
})
type Pipeline = typeof pipeline extends fc.Arbitrary<infer Drawn> ? Drawn : never

const at = fc.nat()
const commit = fc.record({
  kind: fc.constant('commit'),
  at,
  isBad: fc.boolean(),
  count: fc.constantFrom(1, 1, 2, 12),
})
const flush = fc.record({ kind: fc.constant('flush'), at, isOfTwo: fc.boolean() })
const others = ['open', 'finish', 'note', 'stop', 'start', 'settle'] as const
const changes = [
  'delete-pipeline',
  'delete-commit',
  'delete-job',
  'stop-job',
  'other-output',
  'branch',
] as const
const calm = fc.oneof(
  { weight: 4, arbitrary: commit },
  { weight: 3, arbitrary: flush },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom(...others), at }) },
)
const wild = fc.oneof(
  { weight: 3, arbitrary: calm },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom(...changes), at }) },
)
type Step = typeof wild extends fc.Arbitrary<infer Drawn> ? Drawn : never

interface Flushed {
  readonly repo: RepoName
  readonly id: CommitId
}

/** Somebody who waits for what follows from commits. */
interface Waiter {
  readonly commits: readonly Flushed[]
  /** Undefined while it goes on. */
  end: 'success' | FlushFailedError | undefined
}

/** A server with pipelines, to which things happen, and those who wait. */
class Scene implements AsyncDisposable {
  readonly waiters: Waiter[] = []
  readonly #world: TestProcessing
  readonly #inputs = new Map<string, RequestedInput>()
  readonly #made: Flushed[] = []
  readonly #open: Flushed[] = []
  readonly #waiting: Promise<void>[] = []
  readonly #over = new AbortController()

  constructor(world: TestProcessing) {
    this.#world = world
  }

  async begin(pipelines: readonly Pipeline[]): Promise<void> {
    const { repos } = this.#world.versioning
    for (const name of roots) await repos.create({ name })
    await repos.create({ name: byHand, provenance: ['in'] })
    const there: string[] = [...roots, byHand]
    for (const [index, { readings, isPicky, enableStats }] of pipelines.entries()) {
      const name = `p${index}`
      this.#world.code(name, (files) => {
        const texts = [...files.values()].join('')
        if (isPicky && texts.includes('bad')) failDatum('it is bad')
        return { x: texts.slice(0, 100) }
      })
      const members = new Map<string, RequestedInput>()
      for (const { from, branch, triggerCommits: count } of readings) {
        const repo = there[from % there.length] ?? ''
        const trigger = { branch: '', size: '', commits: count, cronSpec: '', all: false }
        const plain = count > 0 ? atom(repo, '/') : atomNamed(repo, '/', { branch })
        members.set(repo, count > 0 ? { atom: { ...plain.atom, trigger } } : plain)
      }
      const input = { cross: [...members.values()] }
      this.#inputs.set(name, input)
      await this.#world.pipeline(name, input, { datumTries: 1, enableStats })
      there.push(name)
    }
  }

  async take(step: Step): Promise<void> {
    try {
      await this.#take(step)
    } catch (error) {
      // What is not there, or not so, cannot be stopped, deleted or changed.
      if (!(error instanceof DomainError)) throw error
    }
  }

  async #take(step: Step): Promise<void> {
    if (step.kind === 'settle') await this.settle()
    else if ('count' in step) await this.#commit(step)
    else if ('isOfTwo' in step) this.#flush(step)
    else if (step.kind.endsWith('job')) await this.#changeJob(step)
    else if (['stop', 'start', 'delete-pipeline', 'other-output'].includes(step.kind)) {
      await this.#changePipeline(step)
    } else await this.#changeCommits(step)
  }

  async #commit(step: { at: number; isBad: boolean; count: number }): Promise<void> {
    const repo = roots[step.at % roots.length] ?? 'in'
    for (let count = 0; count < step.count; count += 1) {
      const id = await this.#world.commit(repo, { a: step.isBad ? 'bad' : `${step.at} ${count}` })
      this.#made.push({ repo: repo as RepoName, id: id as CommitId })
    }
  }

  #flush({ at: index, isOfTwo }: { at: number; isOfTwo: boolean }): void {
    const latest = this.#made.slice(-8)
    const first = latest[index % latest.length]
    if (first === undefined) return
    const second = latest.findLast(({ repo }) => repo !== first.repo)
    const commits = isOfTwo && second !== undefined ? [first, second] : [first]
    const waiter: Waiter = { commits, end: undefined }
    this.waiters.push(waiter)
    this.#waiting.push(this.#wait(waiter))
  }

  async #wait(waiter: Waiter): Promise<void> {
    const commits = waiter.commits.map(({ repo, id }) => ({ repo, commit: id }))
    const { signal } = this.#over
    try {
      await Array.fromAsync(this.#world.versioning.subscriptions.flush({ commits, signal }))
      waiter.end = 'success'
    } catch (error) {
      // One of a commit that was deleted before it began fails otherwise.
      if (error instanceof FlushFailedError) waiter.end = error
      else if (!signal.aborted) waiter.end = new FlushFailedError([])
    }
  }

  async #changeCommits({ kind, at: index }: Step): Promise<void> {
    const { commits, branches } = this.#world.versioning
    const repo = roots[index % roots.length] ?? 'in'
    if (kind === 'open') {
      const made = await commits.start({ repo, branch: 'master' })
      this.#made.push(made)
      this.#open.push(made)
    } else if (kind === 'note') {
      const provenance = this.#made.filter((made) => made.repo === 'in').slice(-1)
      const made = await commits.start({ repo: byHand, branch: 'master', provenance })
      await commits.finish(byHand, made.id)
    } else if (kind === 'branch') {
      const { id } = await commits.inspect(repo, 'master')
      await branches.set(repo, 'aside', id)
    } else {
      const open = this.#open.pop()
      if (open === undefined) return
      if (kind === 'finish') await commits.finish(open.repo, open.id)
      else await commits.delete(open.repo, open.id)
    }
  }

  async #changePipeline({ kind, at: index }: Step): Promise<void> {
    const name = `p${index % this.#inputs.size}`
    const { pipelines } = this.#world.processing
    if (kind === 'stop') await pipelines.stop(name)
    else if (kind === 'start') await pipelines.start(name)
    else if (kind === 'delete-pipeline') {
      await pipelines.delete(name, { deleteJobs: false, deleteRepo: false })
    } else {
      const spec = { name, input: this.#inputs.get(name), transform: transform(name) }
      await pipelines.update({ ...spec, outputBranch: 'aside' }, { reprocess: false })
    }
  }

  async #changeJob({ kind, at: index }: Step): Promise<void> {
    const { jobs } = this.#world.processing
    const [job] = await jobs.list(`p${index % this.#inputs.size}`)
    if (job === undefined) return
    if (kind === 'stop-job') await jobs.stop(job.id)
    else await jobs.delete(job.id)
  }

  /** Until nothing runs, and nothing is due. */
  async settle(): Promise<void> {
    const isQuiet = async (): Promise<boolean> =>
      await this.#world.database.read(async (tx) => {
        const due = await tx.get(
          `SELECT jobs.id FROM jobs JOIN pipelines p ON p.id = jobs.pipeline_id
            WHERE jobs.state IN ('starting', 'running') AND p.state = 'running' LIMIT 1`,
        )
        return due === undefined && (await pipelinesWithBacklog(tx)).length === 0
      })
    await vi.waitUntil(isQuiet, { timeout: 20_000, interval: 5 })
  }

  /** What each that has not ended waits for. */
  async causes(): Promise<readonly (readonly string[])[]> {
    const causes: (readonly string[])[] = []
    for (const { commits: flushed, end } of this.waiters) {
      if (end !== undefined) continue
      const commits = flushed.map(({ repo, id }) => ({ repo, commit: id }))
      // One that has just failed to be there is about to end.
      const told = this.#world.versioning.subscriptions.flushCauses({ commits })
      causes.push(await told.catch(() => []))
    }
    return causes
  }

  /** What has come to repos of which a flush said that no job would make it. */
  async broken(): Promise<readonly string[]> {
    const broken: string[] = []
    for (const { commits, end } of this.waiters) {
      if (!(end instanceof FlushFailedError)) continue
      for (const { repo, reason } of end.failures) {
        // Where a job failed, another may do better, over something newer beside the same commits.
        if (!reason.startsWith('no job of pipeline')) continue
        const found = await this.#world.database.read((tx) =>
          findDerivedCommit(tx, repo as RepoName, commits),
        )
        if (found !== undefined) broken.push(`${repo}: ${reason}`)
      }
    }
    return broken
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort()
    await Promise.all(this.#waiting)
  }
}

const graph = fc.array(pipeline, { minLength: 1, maxLength: 5 })
const seconds = 1000

/** `holds` after random steps, when all has come to rest. */
async function checkAfter(
  step: fc.Arbitrary<Step>,
  holds: (scene: Scene) => Promise<void>,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      graph,
      fc.array(step, { minLength: 5, maxLength: 25 }),
      async (drawn, steps) => {
        await using world = await openTestProcessing()
        await using scene = new Scene(world)
        await scene.begin(drawn)
        for (const one of steps) await scene.take(one)
        await scene.settle()
        await holds(scene)
      },
    ),
    { numRuns: 20, interruptAfterTimeLimit: 40 * seconds },
  )
}

test(
  'when nothing runs and nothing is due, every flush has ended or says what it waits for',
  async () => {
    await checkAfter(wild, async (scene) => {
      const silent = async (): Promise<number> =>
        (await scene.causes()).filter((causes) => causes.length === 0).length
      await expect.poll(silent, { timeout: 5 * seconds, interval: 5 }).toBe(0)
    })
  },
  60 * seconds,
)

test(
  'what a flush says will not come does not come, whatever people commit later',
  async () => {
    await checkAfter(calm, async (scene) => {
      expect(await scene.broken()).toEqual([])
    })
  },
  60 * seconds,
)
