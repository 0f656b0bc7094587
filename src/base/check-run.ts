import { CancelledError } from './errors.ts'
import {
  type Affected,
  type CheckCounts,
  type Finding,
  type FindingKind,
  type FindingSubject,
  noCounts,
  nothingAffected,
} from './findings.ts'

/** A finding as a layer hands it over. */
export interface Found {
  readonly kind: FindingKind
  readonly subject: FindingSubject
  readonly what: string
  readonly affected?: Affected
  /**
   * Puts it right from what is certain, in one transaction that looks again. False: it was not so
   * any more.
   */
  readonly repair?: () => Promise<boolean>
  /** Saves a part of what is damaged, which stays so; says what was done. Before `repair`. */
  readonly rescue?: () => Promise<string>
}

export interface CheckOptions {
  /** Reads every byte of every pack, too. */
  readonly full: boolean
  /** Puts right what can be derived; else nothing is changed. */
  readonly fix: boolean
  /** Nobody else uses the store meanwhile. */
  readonly exclusive: boolean
}

/** One check of a store, as the layers see it: where they report, count and notice a stop. */
export class CheckRun {
  readonly options: CheckOptions
  readonly signal: AbortSignal
  readonly counts: CheckCounts = noCounts()
  /** What is being looked at: one or two words. */
  stage = ''
  readonly #send: (finding: Finding) => Promise<void>

  /** `send` resolves when there is room for more. */
  constructor(
    options: CheckOptions,
    signal: AbortSignal,
    send: (finding: Finding) => Promise<void>,
  ) {
    this.options = options
    this.signal = signal
    this.#send = send
  }

  /** Repairs where that was asked for, and tells. The caller has looked twice. */
  async report(found: Found): Promise<void> {
    const { kind, subject, affected = nothingAffected, repair, rescue } = found
    const rescued = rescue !== undefined && this.options.fix ? `; ${await rescue()}` : ''
    const what = found.what + rescued
    let state: Finding['repair'] = repair === undefined ? 'none' : 'possible'
    if (repair !== undefined && this.options.fix) {
      if (!(await repair())) return
      state = 'done'
    }
    if (state === 'done') this.counts.repaired += 1
    else if (kind.severity === 'error') this.counts.errors += 1
    else this.counts.warnings += 1
    await this.#send({ kind, subject, what, affected, repair: state })
  }

  /** @throws {CancelledError} once nobody wants to know any more. */
  throwIfCancelled(): void {
    if (this.signal.aborted) throw new CancelledError('the check was cancelled')
  }
}
