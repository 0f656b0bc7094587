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

const countMax = 10_000

function damageOf(index: number): Parameters<Findings['onDamage']>[0] {
  return { kind: 'file', what: `r/c:/${index}`, reason: 'an object of its content is damaged' }
}

test('all of very many findings is handed on and counted, and the first of them are kept', () => {
  const findings = new Findings()
  let takenCount = 0
  for (let index = 0; index < countMax; index += 1) findings.onDamage(damageOf(index))
  expect(findings.kept).toHaveLength(countMax)
  takenCount += findings.take().length
  for (let index = 0; index < countMax + 5; index += 1) findings.onDamage(damageOf(index))
  takenCount += findings.take().length
  expect([takenCount, findings.damageCount]).toEqual([countMax + 5, countMax + 5])
  expect(findings.kept).toHaveLength(countMax + 1)
  expect(findings.kept.at(-1)).toEqual({
    kind: 'notice',
    text: '5 more were told of when all this was migrated, and are not kept',
  })
  findings.onDamage(damageOf(0))
  expect(findings.damageCount, 'the oldest is forgotten').toBe(countMax + 6)
})

test('whoever finds much waits until it is taken, while somebody hears', async () => {
  const findings = new Findings()
  let foundCount = 0
  const find = async (): Promise<void> => {
    for (; foundCount < 5000; foundCount += 1) {
      findings.onDamage(damageOf(foundCount))
      await findings.room()
    }
  }
  const hearing = findings.hear()
  const finding = find()
  for (let round = 1; round <= 3; round += 1) {
    expect(await findings.heed(finding)).toBe(false)
    expect(foundCount).toBe(round * 1000 - 1)
    expect(findings.take()).toHaveLength(1000)
  }
  hearing[Symbol.dispose]()
  await finding
  expect(await findings.heed(finding)).toBe(false)
  expect(findings.take()).toHaveLength(2000)
  expect(await findings.heed(finding)).toBe(true)
  expect(await findings.heed(Promise.reject(new Error('of the work')))).toBe(true)
})
