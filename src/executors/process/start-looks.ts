import type { Clock } from '../../base/clock.ts'
import { DomainError } from '../../base/errors.ts'
import { shortageError } from '../../base/shortages.ts'
import { LookingProcess } from './looking-process.ts'
import type { Looks } from './looks-process.ts'
import { mayBeUnstarted } from './start-faults.ts'

/** With what a process takes to start on a machine under load. */
const lookMsMax = 5000

/**
 * Looks at programs that could not be started, and at what code names as such: where files are that user code chooses,
 * and what they are, may take any time to see, and then there is nothing to tell.
 */
export class StartLooks implements Disposable {
  readonly #process: LookingProcess

  constructor(clock: Clock) {
    this.#process = new LookingProcess(clock)
  }

  /** Undefined, too, when it cannot be seen in time. */
  async look<Name extends Exclude<keyof Looks, 'hiddenPlaces'>>(
    name: Name,
    ...args: Parameters<Looks[Name]>
  ): Promise<ReturnType<Looks[Name]> | undefined> {
    try {
      return await this.#process.look(name, args, lookMsMax)
    } catch (error) {
      // What ended without an explanation is told of all the same.
      if (error instanceof DomainError || shortageError(error) !== undefined) return undefined
      throw error
    }
  }

  /** As `unstartedText` of the same: most ends need no look. */
  async unstartedText(...args: Parameters<Looks['unstartedText']>): Promise<string | undefined> {
    return mayBeUnstarted(...args) ? await this.look('unstartedText', ...args) : undefined
  }

  /** Ends what is being looked at, too. */
  [Symbol.dispose](): void {
    this.#process[Symbol.dispose]()
  }
}
