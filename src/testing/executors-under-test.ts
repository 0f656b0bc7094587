import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { type Isolation, openProcessExecutor } from '../executors/process.ts'
import { TestContainerExecutor } from './container-fixture.ts'
import type { OpenExecutorUnderTest } from './executor-arena.ts'
import type { TestEngine } from './test-engine.ts'
import { sh, transform } from './process-fixture.ts'

// Below the checkout: what is below /tmp is out of sight for user code anyway.
const home = resolve('node_modules')

/** Those that this user may choose from. */
export const isolationsHere: readonly Isolation[] =
  process.geteuid?.() === 0 ? ['root', 'user', 'none'] : ['user', 'none']

export function processExecutorWith(isolation: Isolation): OpenExecutorUnderTest {
  return async (bounds) => {
    const data = mkdtempSync(join(home, '.pachyderm-executor-'))
    const executor = await openProcessExecutor({
      directory: join(data, 'scratch'),
      hiddenDirectories: [data],
      clock: new SystemClock(),
      random: new SystemRandom(),
      bounds,
      isolation,
    })
    return {
      executor,
      transform: (script, more) => ({ ...sh(script), ...more }),
      hiddenDirectory: isolation === 'none' ? undefined : data,
      holds: executor.holds,
      async [Symbol.asyncDispose]() {
        await executor[Symbol.asyncDispose]()
        rmSync(data, { recursive: true, force: true })
      },
    }
  }
}

/** Runs code in the image `localhost/<name>:test` of an engine. */
export function containerExecutorWith(
  engine: () => TestEngine,
  name: string,
): OpenExecutorUnderTest {
  return async (bounds) => {
    const { socketPath } = engine()
    const opened = await TestContainerExecutor.open(socketPath, { bounds, storeId: name })
    const hiddenDirectory = join(opened.directory, 'hidden')
    mkdirSync(hiddenDirectory)
    return {
      executor: opened.executor,
      transform: (script, more) =>
        transform(['sh', '-c', script], { image: `localhost/${name}:test`, ...more }),
      hiddenDirectory,
      holds: new Set(['memory', 'processes', 'disk', 'cpu']),
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    }
  }
}
