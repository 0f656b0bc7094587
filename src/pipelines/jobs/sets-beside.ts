import type { PipelineName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import type { SequenceRange } from './arrivals.ts'
import type { Sets } from './sets.ts'

/**
 * The sets of a pipeline as one transaction sees them, without all of them being read: those next to
 * a sequence say where the others have to be, since what became heads together stands together.
 */
export class SetsBeside implements Pick<Sets, 'windowsBeside'> {
  readonly #tx: ReadTransaction
  readonly #pipeline: PipelineName
  readonly #positionCount: number
  #inSets: readonly number[] | undefined
  readonly #windows = new Map<string, ReadonlyMap<number, SequenceRange>>()

  constructor(tx: ReadTransaction, pipeline: PipelineName, positionCount: number) {
    this.#tx = tx
    this.#pipeline = pipeline
    this.#positionCount = positionCount
  }

  /** Each that is asked for was looked up before. */
  windowsBeside(position: number, sequence: number): ReadonlyMap<number, SequenceRange> {
    return this.#windows.get(`${position} ${sequence}`) ?? new Map()
  }

  async lookUp(position: number, sequence: number): Promise<void> {
    const key = `${position} ${sequence}`
    const inSets = await this.#positionsInSets()
    if (!inSets.includes(position) || this.#windows.has(key)) return
    const windows = new Map<number, SequenceRange>()
    for (const other of inSets) {
      if (other === position) continue
      const from = await this.#member(position, other, { sequence, isNewer: false })
      const below = await this.#member(position, other, { sequence, isNewer: true })
      if (from === undefined && below === undefined) continue
      windows.set(other, { from: from ?? -Infinity, below: below ?? Infinity })
    }
    this.#windows.set(key, windows)
  }

  /** Of the next set with a member at both positions that is older, or of its age, or else newer: the other. */
  async #member(
    position: number,
    other: number,
    { sequence, isNewer }: { readonly sequence: number; readonly isNewer: boolean },
  ): Promise<number | undefined> {
    const row = await this.#tx.get<{ readonly member: number }>(
      `SELECT o.sequence AS member FROM pipeline_arrivals a JOIN pipeline_arrivals o
          ON o.pipeline = a.pipeline AND o.together = a.together AND o.position = ?
        WHERE a.pipeline = ? AND a.position = ? AND a.together IS NOT NULL
          AND a.sequence ${isNewer ? '>' : '<='} ? AND ${isLatest('a')} AND ${isLatest('o')}
        ORDER BY a.sequence ${isNewer ? 'ASC' : 'DESC'} LIMIT 1`,
      other,
      this.#pipeline,
      position,
      sequence,
    )
    return row?.member
  }

  async #positionsInSets(): Promise<readonly number[]> {
    if (this.#inSets !== undefined) return this.#inSets
    const found: number[] = []
    const any = await this.#tx.get(
      `SELECT together FROM pipeline_arrivals WHERE pipeline = ? AND together IS NOT NULL
        ORDER BY together LIMIT 1`,
      this.#pipeline,
    )
    const count = any === undefined ? 0 : this.#positionCount
    for (let position = 0; position < count; position += 1) {
      if (await this.#isInSets(position)) found.push(position)
    }
    this.#inSets = found
    return found
  }

  async #isInSets(position: number): Promise<boolean> {
    const row = await this.#tx.get(
      `SELECT sequence FROM pipeline_arrivals
        WHERE pipeline = ? AND position = ? AND together IS NOT NULL ORDER BY sequence LIMIT 1`,
      this.#pipeline,
      position,
    )
    return row !== undefined
  }
}

/** Of each position, the latest member of a set counts. */
function isLatest(name: string): string {
  return `NOT EXISTS (SELECT 1 FROM pipeline_arrivals l
    WHERE l.pipeline = ${name}.pipeline AND l.together = ${name}.together
      AND l.position = ${name}.position AND l.sequence > ${name}.sequence)`
}
