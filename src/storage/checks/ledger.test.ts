import { expect, test } from 'vitest'
import { CheckRun } from '../../base/check-run.ts'
import type { Finding } from '../../base/findings.ts'
import { storageFinding } from '../storage-findings.ts'
import { DamageLedger } from './ledger.ts'

async function told(ledger: DamageLedger): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  const options = { full: false, fix: false, exclusive: false }
  const run = new CheckRun(options, new AbortController().signal, async (finding) => {
    findings.push(finding)
  })
  await ledger.reportAll(run, true)
  return findings
}

const found = { kind: storageFinding('chunk-damaged'), subject: {}, what: 'a chunk is damaged' }

test('of very much damage, some is told one by one and the rest is counted', async () => {
  const ledger = new DamageLedger()
  for (const _ of [1, 2]) {
    for (let number = 0; number < 1500; number += 1) ledger.add(`chunk ${number}`, found)
  }
  const findings = await told(ledger)
  expect(findings).toHaveLength(1001)
  expect(findings.at(-1)).toMatchObject({
    kind: { name: 'more-damage' },
    what: '500 more places are damaged',
  })
})

test('of very many files that one cause concerns, some are named and all are counted', async () => {
  const ledger = new DamageLedger()
  ledger.add('chunk a', found)
  for (let number = 0; number < 100; number += 1) ledger.note('chunk a', `file ${number}`, 2)
  const [finding] = await told(ledger)
  expect(finding?.affected.count).toBe(200)
  expect(finding?.affected.names).toHaveLength(20)
  expect(finding?.affected.names[0]).toBe('file 0 (2 files)')
})

test('what only matters to what is gone meanwhile is not told', async () => {
  const ledger = new DamageLedger()
  ledger.add('missing a', found, { ifNeeded: true })
  ledger.add('missing b', found, { ifNeeded: true })
  ledger.note('missing b', 'file', 1)
  expect(await told(ledger)).toMatchObject([{ affected: { names: ['file'], count: 1 } }])
})
