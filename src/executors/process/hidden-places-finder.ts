import type { Clock } from '../../base/clock.ts'
import { UnavailableError } from '../../base/errors.ts'
import { mountTableText } from '../mount-table.ts'
import type { HiddenPlaces } from './hidden-places.ts'
import { LookingProcess, LookLateError } from './looking-process.ts'
import type { PlacesRequest } from './looks-process.ts'
import type { RemoteMounts } from './remote-mounts.ts'
import { SandboxLateError } from './sandbox-late-error.ts'

/** As for the sandbox that it is for: a machine under load takes seconds. */
const findMsMax = 30_000

/**
 * Finds what sandboxes must hide: one look at a time, which those share who ask before it begins. One that hangs on a
 * disk is given up, and another begins when the disk has answered, or other disks are mounted.
 */
export class HiddenPlacesFinder implements Disposable {
  readonly #process: LookingProcess
  readonly #mounts: RemoteMounts
  /** By what is asked for: looks that have not begun. */
  readonly #waiting = new Map<string, Promise<HiddenPlaces>>()
  /** Settles with the look that was asked for last. */
  #last: Promise<unknown> = Promise.resolve()
  /** As the last look that hung had it. */
  #stuckTable = ''

  constructor(clock: Clock, mounts: RemoteMounts) {
    this.#process = new LookingProcess(clock)
    this.#mounts = mounts
  }

  /** Whether there is a process for the next look. */
  get isWarm(): boolean {
    return this.#process.isWarm
  }

  /** The first look has less to wait for. */
  warm(): void {
    this.#process.warm()
  }

  /**
   * What is to be hidden now.
   *
   * @throws {SandboxLateError} when a disk does not answer.
   * @throws {UnavailableError} when the process for it ended, or this is disposed of.
   */
  find(request: PlacesRequest): Promise<HiddenPlaces> {
    const key = JSON.stringify(request)
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) return waiting
    const look = this.#last.then(async () => {
      this.#waiting.delete(key)
      return await this.#look(request)
    })
    this.#waiting.set(key, look)
    this.#last = look.catch(() => {})
    return look
  }

  [Symbol.dispose](): void {
    this.#process[Symbol.dispose]()
  }

  async #look(request: PlacesRequest): Promise<HiddenPlaces> {
    const table = mountTableText()
    try {
      if (this.#process.isStuck && table === this.#stuckTable) throw new LookLateError('as before')
      return await this.#process.look('hiddenPlaces', [request], findMsMax)
    } catch (error) {
      if (error instanceof LookLateError) {
        this.#stuckTable = table
        const text = await this.#mounts.lateText(findMsMax)
        throw new SandboxLateError(`no sandbox: ${text}`, { cause: error })
      }
      if (!(error instanceof UnavailableError)) throw error
      throw new UnavailableError(`no sandbox: ${error.message}`, { cause: error })
    }
  }
}
