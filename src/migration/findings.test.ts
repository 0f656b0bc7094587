import { expect, test } from 'vitest'
import { Findings } from './findings.ts'

test('a thing that is damaged in several ways is told in each, and a tree once for all owners', () => {
  const findings = new Findings()
  const checksum = { kind: 'metadata', what: 'etcd.db', reason: 'its checksum is wrong' } as const
  const page = { kind: 'metadata', what: 'etcd.db', reason: 'page 7 cannot be read' } as const
  const first = { kind: 'tree', what: 'ab', reason: 'the tree of a/1 is gone' } as const
  for (const damage of [checksum, page, checksum, first]) findings.onDamage(damage)
  findings.damage('tree', 'ab', 'the tree of a/2 is gone')
  expect(findings.take()).toEqual(
    [checksum, page, first].map((damage) => ({ kind: 'damage', damage })),
  )
  expect(findings.damageCount).toBe(3)
})
