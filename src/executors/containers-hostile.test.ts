import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe } from 'vitest'

import { TestContainerExecutor } from '../testing/container-fixture.ts'
import type { Aspect } from '../testing/hostile-code.ts'
import {
  describeHostileCode,
  type OpenExecutorUnderTest,
} from '../testing/hostile-code-conformance.ts'
import { canHavePodman, PodmanEngine, type TestImage } from '../testing/podman-engine.ts'
import { transform } from '../testing/process-fixture.ts'
import { bashImage, debianImage, userImage } from '../testing/test-images.ts'

/** Another shell, and a user that is not root: of these, what depends on it. */
const images: Readonly<Record<string, { readonly image: TestImage; readonly only?: Aspect }>> = {
  debian: { image: debianImage },
  bash: { image: bashImage, only: 'shell' },
  user: { image: userImage, only: 'user' },
}

describe.skipIf(!canHavePodman())('containers', () => {
  let engine: PodmanEngine

  beforeAll(async () => {
    engine = await PodmanEngine.start()
    for (const [name, { image }] of Object.entries(images)) {
      await engine.makeImage(`localhost/${name}:test`, image)
    }
  })

  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
  })

  for (const [name, options] of Object.entries(images)) {
    const open: OpenExecutorUnderTest = async (bounds) => {
      const opened = await TestContainerExecutor.open(engine.socketPath, { bounds, storeId: name })
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
    describeHostileCode(`the container executor with image ${name}`, open, options)
  }
})
