import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { SystemClock } from '../base/clock.ts'
import { newHexId, SystemRandom } from '../base/random.ts'
import { type Isolation, openProcessExecutor } from '../executors/process.ts'
import { TestContainerExecutor } from './container-fixture.ts'
import type { OpenExecutorUnderTest } from './executor-arena.ts'
import type { TestEngine } from './test-engine.ts'
import { sh, transform } from './process-fixture.ts'
import { listenAt } from './unix-listener.ts'
import { isTested } from './left-out.ts'

// Below the checkout: what is below /tmp is out of sight for user code anyway.
const home = resolve('node_modules')

/** Those that this user may choose from. */
export const isolationsHere: readonly Isolation[] = isTested(process.geteuid?.() === 0)
  ? ['root', 'user', 'none']
  : ['user', 'none']

export function processExecutorWith(isolation: Isolation): OpenExecutorUnderTest {
  return async (bounds) => {
    await using opened = new AsyncDisposableStack()
    const data = mkdtempSync(join(home, '.pachyderm-executor-'))
    opened.defer(() => rmSync(data, { recursive: true, force: true }))
    const shown = mkdtempSync(join(home, '.pachyderm-sockets-'))
    opened.defer(() => rmSync(shown, { recursive: true, force: true }))
    const sockets = [join(shown, 's'), ...socketsOfSystem()]
    for (const path of sockets) opened.use(await listenAt(path))
    const executor = await openProcessExecutor({
      directory: join(data, 'scratch'),
      hiddenDirectories: [data],
      clock: new SystemClock(),
      random: new SystemRandom(),
      bounds,
      isolation,
    })
    opened.use(executor)
    const ending = opened.move()
    return {
      executor,
      sockets,
      transform: (script, more) => ({ ...sh(script), ...more }),
      hiddenDirectory: isolation === 'none' ? undefined : data,
      holds: executor.holds,
      [Symbol.asyncDispose]: () => ending.disposeAsync(),
    }
  }
}

const usualEngineSockets = ['/run/podman/podman.sock', '/var/run/docker.sock']

/** One where the system's own programs listen; none for a user that may make none there. */
function socketsOfSystem(): readonly string[] {
  return process.geteuid?.() === 0 ? [`/run/pachyderm-test-${newHexId(new SystemRandom())}`] : []
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
      sockets: [socketPath, ...usualEngineSockets],
      holds: new Set(['memory', 'processes', 'disk', 'cpu']),
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    }
  }
}
