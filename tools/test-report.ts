import { relative } from 'node:path'

export interface Counts {
  readonly passed: number
  readonly failed: number
}

/** Of what Vitest reports as JSON. */
export interface TestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

/** Counts the tests; a file that did not load, and a run that failed outside of any test, is one failure more. */
export function countTests(report: TestReport, runPassed: boolean): Counts {
  const unloaded = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  ).length
  const failed = report.numFailedTests + unloaded
  return { passed: report.numPassedTests, failed: failed === 0 && !runPassed ? 1 : failed }
}

/** By name: a test that is left out where it could have run would be missed by nobody. `home` is what files are told from. */
export function skippedTests({ testResults }: TestReport, home: string): readonly string[] {
  return testResults.flatMap(({ name, assertionResults }) =>
    assertionResults
      .filter(({ status }) => status === 'skipped' || status === 'pending')
      .map(({ fullName }) => `${relative(home, name)}: ${fullName}`),
  )
}
