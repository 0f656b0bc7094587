import type { JobId } from '../base/names.ts'

/** What the run of a job is at while it runs no datums, in words for people. */
export interface JobStep extends Disposable {
  set(what: string): void
}

/** What jobs are at right now, besides their datums: known to the server that runs them, and not stored. */
export class JobSteps {
  readonly #steps = new Map<JobId, string>()

  /** Dispose of what comes when the job is not run any more. */
  begin(job: JobId): JobStep {
    return {
      set: (what) => {
        if (what === '') this.#steps.delete(job)
        else this.#steps.set(job, what)
      },
      [Symbol.dispose]: () => {
        this.#steps.delete(job)
      },
    }
  }

  /** Empty while it is at nothing that is told of, or its datums. */
  of(job: JobId): string {
    return this.#steps.get(job) ?? ''
  }
}
