import type { PipelineName } from '../../base/names.ts'
import type { Transaction } from '../../database/database.ts'
import { type Arrival, lacksNothing, pageMax } from './arrivals.ts'

/** Notes that the input at a position has nothing for an arrival. */
export async function noteLack(
  tx: Transaction,
  pipeline: PipelineName,
  { sequence }: Arrival,
  lacks: number,
): Promise<void> {
  await tx.run(
    'UPDATE pipeline_arrivals SET lacks = ? WHERE pipeline = ? AND sequence = ?',
    lacks,
    pipeline,
    sequence,
  )
}

/** Forgets what some arrivals lack. */
export async function forgetLacks(
  tx: Transaction,
  pipeline: PipelineName,
  arrivals: readonly Arrival[],
): Promise<void> {
  for (let start = 0; start < arrivals.length; start += pageMax) {
    const page = arrivals.slice(start, start + pageMax)
    await tx.run(
      `UPDATE pipeline_arrivals SET lacks = ${lacksNothing}
        WHERE pipeline = ? AND sequence IN (${page.map(() => '?').join(', ')})`,
      pipeline,
      ...page.map(({ sequence }) => sequence),
    )
  }
}

/**
 * Forgets it of all arrivals at `position` that lack another, however many: in one statement, of some 10 µs
 * for each.
 */
export async function forgetAllLacks(
  tx: Transaction,
  pipeline: PipelineName,
  position: number,
  lacks: number,
): Promise<void> {
  await tx.run(
    `UPDATE pipeline_arrivals SET lacks = ${lacksNothing} WHERE pipeline = ? AND sequence IN (
      SELECT sequence FROM pipeline_arrivals WHERE pipeline = ? AND position = ? AND lacks = ?)`,
    pipeline,
    pipeline,
    position,
    lacks,
  )
}
