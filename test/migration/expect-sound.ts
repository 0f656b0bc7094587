import { expect } from 'vitest'
import { collect } from '../harness/files.ts'
import type { TestPachd } from '../harness/test-pachd.ts'

/** A full check finds nothing: what was left out is missed by nothing that came. */
export async function expectSound({ admin }: Pick<TestPachd, 'admin'>): Promise<void> {
  const events = await collect(admin.check({ full: true }))
  const found = events.flatMap(({ event }) => (event.case === 'finding' ? event.value.what : []))
  expect(found).toEqual([])
}
