import type { Files } from './expected-output.ts'

/** Code of a service that runs now. */
interface ServiceRun {
  readonly job: string
  /** As `<input><path>` → text. */
  readonly files: Files
}

/** Which services run, and what they see, as their code knows it. */
export class ServiceLaw {
  readonly #running = new Map<string, ServiceRun>()

  /** Code begins; tells what is wrong with that. */
  begin(pipeline: string, run: ServiceRun): string | undefined {
    const other = this.#running.get(pipeline)
    this.#running.set(pipeline, run)
    if (other === undefined) return undefined
    return `service ${pipeline} begins with job ${run.job} while job ${other.job} runs`
  }

  end(pipeline: string): void {
    this.#running.delete(pipeline)
  }

  /** The server was killed, and all code with it. */
  endAll(): void {
    this.#running.clear()
  }

  of(pipeline: string): ServiceRun | undefined {
    return this.#running.get(pipeline)
  }

  get names(): readonly string[] {
    return [...this.#running.keys()]
  }
}
