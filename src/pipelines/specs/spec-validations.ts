import type { Clock } from '../../base/clock.ts'
import { DomainError, InvalidArgumentError } from '../../base/errors.ts'
import type { Database } from '../../database/database.ts'
import type { PipelineChanges } from './pipeline-changes.ts'
import type { PipelineRecord } from '../pipeline-records.ts'
import { rehearsed } from './rehearsals.ts'
import type { RequestedSpec } from '../requested-specs.ts'
import { checkSchedules } from './schedule-check.ts'

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
    return await rehearsed(this.#database, async (tx): Promise<Pass> => {
      const found: SpecValidation[] = []
      for (const [index, request] of requests.entries()) {
        const name = request.name ?? ''
        const known = refused.get(index)
        if (known !== undefined) found.push({ kind: 'refused', name, error: known })
        else if (refused.size >= refusedCountMax) found.push({ kind: 'skipped', name })
        else {
          try {
            const pipeline = await this.#changes.put(tx, request, { reprocess: false, now })
            found.push({ kind: 'accepted', pipeline })
          } catch (error) {
            // What it has done so far would be in the way of the others: they have another pass.
            if (error instanceof DomainError) return { found, refused: { index, error } }
            throw error
          }
        }
      }
      return { found }
    })
  }
}

interface Pass {
  readonly found: readonly SpecValidation[]
  readonly refused?: { readonly index: number; readonly error: DomainError }
}
