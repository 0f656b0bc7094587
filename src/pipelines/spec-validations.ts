import type { Clock } from '../base/clock.ts'
import { DomainError, InvalidArgumentError } from '../base/errors.ts'
import type { Database, Transaction } from '../database/database.ts'
import type { PipelineChanges } from './pipeline-changes.ts'
import { findPipeline, type PipelineRecord } from './pipeline-records.ts'
import type { RequestedSpec } from './requested-specs.ts'
import { checkSchedules } from './specs/schedule-check.ts'

/** What would become of a spec. */
export type SpecValidation =
  /** The pipeline as it would be; of version 1, it would be a new one. */
  | { readonly kind: 'accepted'; readonly pipeline: PipelineRecord }
  | { readonly kind: 'refused'; readonly name: string; readonly error: DomainError }
  /** Too many before it were refused. */
  | { readonly kind: 'skipped'; readonly name: string }

/** Specs that are looked at in one transaction, which others wait for. */
const specCountMax = 100
/** After so many that are refused, the others are not looked at: each costs another pass. */
const refusedCountMax = 10

/** Tells what would become of specs, and stores nothing. */
export class SpecValidations {
  readonly #database: Database
  readonly #clock: Clock
  readonly #changes: PipelineChanges

  constructor(ports: {
    readonly database: Database
    readonly clock: Clock
    readonly changes: PipelineChanges
  }) {
    this.#database = ports.database
    this.#clock = ports.clock
    this.#changes = ports.changes
  }

  /**
   * Goes through specs as if each were created, or updated where the pipeline exists, one after the
   * other: later ones may read what earlier ones write. One that is refused counts as not given.
   *
   * @throws {InvalidArgumentError} when they are too many.
   */
  async validate(requests: readonly RequestedSpec[]): Promise<readonly SpecValidation[]> {
    if (requests.length > specCountMax) {
      throw new InvalidArgumentError(
        `${requests.length} specs are too many to validate at once: at most ${specCountMax} are allowed`,
      )
    }
    const refused = await this.#withoutSense(requests)
    for (;;) {
      const pass = await this.#pass(requests, refused)
      if (pass.refused === undefined) return pass.found
      refused.set(pass.refused.index, pass.refused.error)
    }
  }

  /** Those that are refused whatever there is. */
  async #withoutSense(requests: readonly RequestedSpec[]): Promise<Map<number, DomainError>> {
    const refused = new Map<number, DomainError>()
    for (const [index, request] of requests.entries()) {
      await checkSchedules(request, this.#clock.now()).catch((error: unknown) => {
        if (!(error instanceof DomainError)) throw error
        refused.set(index, error)
      })
    }
    return refused
  }

  /** Goes through those that have not been refused, up to the next one that is. */
  async #pass(
    requests: readonly RequestedSpec[],
    refused: ReadonlyMap<number, DomainError>,
  ): Promise<Pass> {
    const now = this.#clock.now()
    return await this.#database
      .transact(async (tx): Promise<Pass> => {
        const found: SpecValidation[] = []
        let index = 0
        try {
          for (; index < requests.length; index += 1) {
            const request = requests[index] ?? {}
            const name = request.name ?? ''
            const error = refused.get(index)
            if (error !== undefined) found.push({ kind: 'refused', name, error })
            else if (refused.size >= refusedCountMax) found.push({ kind: 'skipped', name })
            else found.push({ kind: 'accepted', pipeline: await this.#apply(tx, request, now) })
          }
        } catch (error) {
          if (error instanceof DomainError)
            throw new RolledBack({ found, refused: { index, error } })
          throw error
        }
        throw new RolledBack({ found })
      })
      .catch((error: unknown) => {
        if (error instanceof RolledBack) return error.pass
        throw error
      })
  }

  async #apply(tx: Transaction, request: RequestedSpec, now: number): Promise<PipelineRecord> {
    const old = await findPipeline(tx, request.name ?? '')
    return old === undefined
      ? await this.#changes.create(tx, request, now)
      : await this.#changes.update(tx, request, { reprocess: false, now })
  }
}

interface Pass {
  readonly found: readonly SpecValidation[]
  readonly refused?: { readonly index: number; readonly error: DomainError }
}

/** Thrown so that the database forgets what was tried. */
class RolledBack extends Error {
  override readonly name = 'RolledBack'
  readonly pass: Pass

  constructor(pass: Pass) {
    super('a validation leaves nothing')
    this.pass = pass
  }
}
