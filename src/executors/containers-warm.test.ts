import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe } from 'vitest'

import { TestContainerExecutor } from '../testing/container-fixture.ts'
import { describeWarmCode } from '../testing/warm-code-conformance.ts'
import { canHavePodman, PodmanEngine } from '../testing/podman-engine.ts'
import { transform } from '../testing/process-fixture.ts'
import { bashImage, userImage } from '../testing/test-images.ts'

/** A shell other than Debian's, and a user that is not root. */
const images = { bash: bashImage, user: userImage }

describe.skipIf(!canHavePodman())('containers', () => {
  let engine: PodmanEngine

  beforeAll(async () => {
    engine = await PodmanEngine.start()
    for (const [name, image] of Object.entries(images)) {
      await engine.makeImage(`localhost/${name}:test`, image)
    }
  })

  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
  })

  for (const name of Object.keys(images)) {
    describeWarmCode(`the container executor with image ${name}`, async (bounds) => {
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
    })
  }
})
