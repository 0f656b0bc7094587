import { mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { describeWarmCode } from '../testing/warm-code-conformance.ts'
import { sh } from '../testing/process-fixture.ts'
import { type Isolation, openProcessExecutor } from './process.ts'

const isRoot = process.geteuid?.() === 0
// Below the checkout: what is below /tmp is out of sight for user code anyway.
const home = resolve('node_modules')
const isolations: readonly Isolation[] = isRoot ? ['root', 'user', 'none'] : ['user', 'none']

for (const isolation of isolations) {
  describeWarmCode(`the process executor with isolation "${isolation}"`, async (bounds) => {
    const data = mkdtempSync(join(home, '.pachyderm-warm-'))
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
  })
}
