import { expect, test } from 'vitest'

import { countTests, skippedTests, type TestReport } from './test-report.ts'

const report: TestReport = {
  numPassedTests: 2,
  numFailedTests: 0,
  testResults: [
    {
      name: '/checkout/src/a.test.ts',
      status: 'passed',
      assertionResults: [
        { status: 'passed', fullName: 'is run' },
        { status: 'skipped', fullName: 'in a sandbox needs control groups' },
      ],
    },
    {
      name: '/checkout/test/b.test.ts',
      status: 'passed',
      assertionResults: [
        { status: 'passed', fullName: 'is run, too' },
        { status: 'pending', fullName: 'needs a disk' },
      ],
    },
    { name: '/checkout/test/c.test.ts', status: 'failed', assertionResults: [] },
  ],
}

test('tests that are left out are told by name', () => {
  expect(skippedTests(report, '/checkout')).toEqual([
    'src/a.test.ts: in a sandbox needs control groups',
    'test/b.test.ts: needs a disk',
  ])
})

test('a file that did not load has failed', () => {
  expect(countTests(report, true)).toEqual({ passed: 2, failed: 1 })
  expect(countTests({ ...report, testResults: [] }, false)).toEqual({ passed: 2, failed: 1 })
})
