import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { mergedRuns } from './sorted-runs.ts'

const byNumber = (left: number, right: number): number => left - right

test('runs that are in order are merged into one', () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.integer())), (runs) => {
      const sorted = runs.map((run) => run.toSorted(byNumber))
      expect([...mergedRuns(sorted, byNumber)]).toEqual(runs.flat().toSorted(byNumber))
    }),
  )
})
