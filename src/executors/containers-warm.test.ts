import { afterAll, beforeAll, describe } from 'vitest'

import { containerExecutorWith } from '../testing/executors-under-test.ts'
import { describeWarmCode } from '../testing/warm-code-conformance.ts'
import { canHavePodman, PodmanEngine } from '../testing/podman-engine.ts'
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
    const open = containerExecutorWith(() => engine, name)
    describeWarmCode(`the container executor with image ${name}`, open)
  }
})
