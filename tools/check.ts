// Everything that must hold before a change lands, cheapest first: `npm test`.
//
// The last line printed is `N passed, N failed`: one for each step, and one for each test of the last step.
// With arguments, only the tests of the files that they name run: `npm test -- storage`.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'

import { type Counts, reportVariable, secondTries, type TestReport } from './test-report.ts'

interface Step {
  readonly name: string
  /** What to run with Node. */
  readonly args: readonly string[]
  /** What a person runs to see only this step. */
  readonly reproduce: string
}

const compiler = 'node_modules/@typescript/native/bin/tsc'

const steps: readonly Step[] = [
  {
    name: 'format',
    args: ['node_modules/oxfmt/bin/oxfmt', '--check'],
    reproduce: 'npm run format -- --check',
  },
  { name: 'lint', args: ['node_modules/oxlint/bin/oxlint'], reproduce: 'npm run lint' },
  { name: 'types', args: [compiler], reproduce: 'npm run types' },
  {
    name: 'types in a browser',
    args: [compiler, '-p', 'tsconfig.browser.json'],
    reproduce: 'npm run types -- -p tsconfig.browser.json',
  },
  { name: 'layers', args: ['tools/check-layers.ts'], reproduce: 'npm run layers' },
  { name: 'unused code', args: ['node_modules/knip/bin/knip.js'], reproduce: 'npm run unused' },
  {
    name: 'generated code',
    args: ['tools/generate.ts', '--check'],
    reproduce: 'npm run generate -- --check',
  },
]

function run(
  args: readonly string[],
  stdio: 'inherit' | 'pipe',
): Promise<{ passed: boolean; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['inherit', stdio, stdio] })
    let output = ''
    const keep = (text: Buffer): void => {
      output += text.toString()
    }
    child.stdout?.on('data', keep)
    child.stderr?.on('data', keep)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (signal !== null) console.log(`${args.join(' ')} was ended by ${signal}`)
      resolve({ passed: code === 0, output })
    })
  })
}

/** Each processor takes the next step when it has done one. */
async function runSteps(): Promise<readonly Counts[]> {
  const left = [...steps]
  const done: Counts[] = []
  const takeNext = async (): Promise<void> => {
    for (let step = left.shift(); step !== undefined; step = left.shift()) {
      done.push(await runStep(step))
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, takeNext))
  return done
}

async function runStep({ name, args, reproduce }: Step): Promise<Counts> {
  const startedAt = performance.now()
  const [tool = ''] = args
  // A check that cannot run has not passed.
  const { passed, output } = existsSync(tool)
    ? await run(args, 'pipe')
    : { passed: false, output: `${tool} is missing; to install what is needed: npm ci` }
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(`${passed ? 'passed' : 'FAILED'}  ${name} (${seconds} s)`)
  if (!passed) console.log(`${output.trimEnd()}\n\nTo see this again: ${reproduce}\n`)
  return passed ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
}

async function runTests(files: readonly string[]): Promise<Counts> {
  const folder = await mkdtemp(join(tmpdir(), 'check-'))
  try {
    const file = join(folder, 'report.json')
    process.env[reportVariable] = file
    const reporters = ['--reporter=default', '--reporter=./tools/test-report.ts']
    // Who runs the tests of a few files looks into what fails.
    const tries = files.length === 0 ? secondTries : []
    const args = ['node_modules/vitest/vitest.mjs', 'run', ...reporters, ...tries, ...files]
    const { passed } = await run(args, 'inherit')
    if (!existsSync(file)) return { passed: 0, failed: 1 }
    const report = JSON.parse(await readFile(file, 'utf8')) as TestReport
    const { skipped, failures, unsteady } = report
    if (skipped.length > 0) console.log(`${skipped.length} skipped:\n${skipped.join('\n')}`)
    if (unsteady.length > 0) {
      console.log(`${unsteady.length} passed only when tried again:\n${unsteady.join('\n')}`)
    }
    if (failures.length > 0) console.log(`${failures.length} failed:\n${failures.join('\n')}`)
    // A run that says that it failed, and not of what, has failed, too.
    return !passed && report.failed === 0 ? { passed: report.passed, failed: 1 } : report
  } finally {
    await rm(folder, { recursive: true })
  }
}

const files = process.argv.slice(2)
const counts: Counts[] = []
if (files.length === 0) {
  counts.push(...(await runSteps()))
}
counts.push(await runTests(files))

const passedCount = counts.reduce((sum, { passed }) => sum + passed, 0)
const failedCount = counts.reduce((sum, { failed }) => sum + failed, 0)
console.log(`${passedCount} passed, ${failedCount} failed`)
if (failedCount > 0) process.exitCode = 1
