import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Reporter, SerializedError, TestCase, TestModule, TestSuite } from 'vitest/node'

export interface Counts {
  readonly passed: number
  readonly failed: number
}

/** What a run of tests came to. */
export interface TestReport extends Counts {
  /** By name: a test that is left out where it could have run would be missed by nobody. */
  readonly skipped: readonly string[]
  /** By name, each with the first line of why. */
  readonly failures: readonly string[]
  /** Those that failed, and passed when they were tried again: by name, each with the first line of why. */
  readonly unsteady: readonly string[]
}

/** Where Vitest's reporter leaves its report. */
export const reportVariable = 'CHECK_REPORT'

/**
 * Has Vitest try what fails once more, since a busy machine may break the bounds of tests that wait for programs.
 * That is told by name (see `unsteady`). A property that has a counterexample has failed, however rare that is.
 */
export const secondTries: readonly string[] = [
  '--retry.count=1',
  '--retry.condition=^(?!Property failed)',
]

/** Vitest's reporter whose report {@link reportVariable} says the place of. */
// oxlint-disable-next-line import/no-default-export -- where Vitest looks for it
export default class FileReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], outside: readonly SerializedError[]): void {
    const file = process.env[reportVariable]
    if (file === undefined) throw new Error(`${reportVariable} does not say where the report goes`)
    writeFileSync(file, JSON.stringify(reportOf(modules, outside, process.cwd())))
  }
}

/** `outside`: errors of no test. `home`: what files are told from. */
function reportOf(
  modules: readonly TestModule[],
  outside: readonly SerializedError[],
  home: string,
): TestReport {
  const skipped: string[] = []
  const failures: string[] = []
  const unsteady: string[] = []
  let passed = 0
  for (const module of modules) {
    const nameOf = ({ fullName }: TestCase | TestSuite): string =>
      `${relative(home, module.moduleId)}: ${fullName}`
    if (module.errors().length > 0) {
      failures.push(`${relative(home, module.moduleId)}: ${firstLine(module.errors())}`)
    }
    for (const suite of module.children.allSuites()) {
      // What is to be there before its tests, or to go after them, failed.
      if (suite.errors().length > 0) failures.push(`${nameOf(suite)}: ${firstLine(suite.errors())}`)
    }
    for (const test of module.children.allTests()) {
      const { state, errors } = test.result()
      if (test.diagnostic()?.flaky === true) {
        unsteady.push(`${nameOf(test)}: ${firstLine(errors ?? [])}`)
      }
      if (state === 'passed') passed += 1
      else if (state === 'failed') failures.push(`${nameOf(test)}: ${firstLine(errors)}`)
      else if (!isOfFailed(test)) skipped.push(nameOf(test))
    }
  }
  for (const error of outside) failures.push(`outside of any test: ${firstLine([error])}`)
  return { passed, failed: failures.length, skipped, failures, unsteady }
}

/** Of a suite that failed before its tests: nothing left them out. */
function isOfFailed({ parent }: TestCase | TestSuite): boolean {
  return parent.type === 'suite' && (parent.errors().length > 0 || isOfFailed(parent))
}

function firstLine(errors: readonly { readonly message: string }[]): string {
  return errors[0]?.message.split('\n', 1)[0] ?? 'no error'
}
