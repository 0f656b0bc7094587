import { JobState, type JobInfo } from '../../src/gen/pps_pb.ts'
import type { Screen } from './screen.ts'
import { grouped } from './screen.ts'
import type { ServerCalls } from './server-calls.ts'
import type { Shell } from './shell.ts'

export class JobFailedError extends Error {
  override readonly name = 'JobFailedError'
}

const pollMs = 250
const logLinesMax = 10

/** What one pipeline made of a commit. */
export interface PipelineRun {
  readonly pipeline: string
  readonly job: string
  readonly outputCommit: string
  readonly processedCount: number
  readonly skippedCount: number
  readonly elapsedMs: number
}

/** Waits as a person would, with `pachctl flush-commit`, and tells how far the jobs are meanwhile. */
export class Processing {
  readonly #calls: ServerCalls
  readonly #shell: Shell
  readonly #screen: Screen

  constructor(ports: {
    readonly calls: ServerCalls
    readonly shell: Shell
    readonly screen: Screen
  }) {
    this.#calls = ports.calls
    this.#shell = ports.shell
    this.#screen = ports.screen
  }

  /** @throws {JobFailedError} with the reason and where to look. */
  async flush(commit: string): Promise<ReadonlyMap<string, PipelineRun>> {
    const { started } = await this.#calls.pfs.inspectCommit({
      commit: { repo: { name: 'packages' }, id: commit },
    })
    const sinceMs = milliseconds(started)
    const done = new AbortController()
    const watching = this.#watch(sinceMs, done.signal)
    try {
      await this.#shell.run(`pachctl flush-commit packages/${commit} > /dev/null`)
    } catch (error) {
      const failed = (await this.#jobs(sinceMs)).find(isFailed)
      throw failed === undefined ? error : await this.#failure(failed)
    } finally {
      done.abort()
      await watching
    }
    return this.#runsOf(commit)
  }

  /** Those that began after a time. */
  async #jobs(sinceMs: number): Promise<readonly JobInfo[]> {
    const { jobInfo } = await this.#calls.pps.listJob({})
    return jobInfo.filter(({ started }) => milliseconds(started) >= sinceMs)
  }

  /** Until the signal. */
  async #watch(sinceMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#screen.isTerminal) return
    while (!signal.aborted) {
      const jobs = await this.#jobs(sinceMs).catch(() => []) // the flush says what is wrong
      this.#screen.passing(jobs.toReversed().map(progress).join('   '))
      // An abort is the ordinary end.
      await this.#calls.clock.sleep(pollMs, signal).catch(() => {})
    }
    this.#screen.passing('')
  }

  /** With the end of what the code printed: the server may be gone when someone reads this. */
  async #failure({ job, pipeline, reason }: JobInfo): Promise<JobFailedError> {
    const lines: string[] = []
    for await (const { message } of this.#calls.pps.getLogs({ job: { id: job?.id ?? '' } })) {
      lines.push(message.trimEnd())
    }
    const printed = [...new Set(lines)].slice(-logLinesMax).join('\n')
    const about = `job ${job?.id} of ${pipeline?.name} failed: ${reason}`
    return new JobFailedError(printed === '' ? about : `${about}\n\nIt printed:\n${printed}`)
  }

  async #runsOf(commit: string): Promise<ReadonlyMap<string, PipelineRun>> {
    const jobs = new Map((await this.#jobs(0)).map((job) => [job.outputCommit?.id, job]))
    const runs = new Map<string, PipelineRun>()
    const commits = [{ repo: { name: 'packages' }, id: commit }]
    for await (const { commit: output } of this.#calls.pfs.flushCommit({ commits })) {
      const job = jobs.get(output?.id)
      if (job !== undefined) runs.set(job.pipeline?.name ?? '', runOf(job))
    }
    return runs
  }
}

function isFailed({ state }: JobInfo): boolean {
  return state === JobState.JOB_FAILURE || state === JobState.JOB_KILLED
}

function progress({ pipeline, dataProcessed, dataSkipped, dataTotal }: JobInfo): string {
  return `${pipeline?.name}: ${dataProcessed + dataSkipped} of ${dataTotal} datums`
}

function runOf(info: JobInfo): PipelineRun {
  return {
    pipeline: info.pipeline?.name ?? '',
    job: info.job?.id ?? '',
    outputCommit: info.outputCommit?.id ?? '',
    processedCount: Number(info.dataProcessed),
    skippedCount: Number(info.dataSkipped),
    elapsedMs: milliseconds(info.finished) - milliseconds(info.started),
  }
}

function milliseconds(time: JobInfo['started']): number {
  return time === undefined ? 0 : Number(time.seconds) * 1000 + time.nanos / 1e6
}

/** `2 processed, 412 skipped`. */
export function countsText(run: PipelineRun): string {
  return `${grouped(run.processedCount)} processed, ${grouped(run.skippedCount)} skipped`
}
