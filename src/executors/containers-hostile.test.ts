import { afterAll, beforeAll, describe } from 'vitest'

import { canHaveDocker, DockerEngine } from '../testing/docker-engine.ts'
import { containerExecutorWith } from '../testing/executors-under-test.ts'
import type { Aspect } from '../testing/hostile-code.ts'
import { describeHostileCode } from '../testing/hostile-code-conformance.ts'
import { canHavePodman, PodmanEngine } from '../testing/podman-engine.ts'
import type { TestEngine, TestImage } from '../testing/test-engine.ts'
import { bashImage, debianImage, userImage } from '../testing/test-images.ts'

type Images = Readonly<Record<string, { readonly image: TestImage; readonly only?: Aspect }>>

describe.skipIf(!canHavePodman())('with Podman', () => {
  // Another shell, and a user that is not root: of these, what depends on it.
  testWith(() => PodmanEngine.start(), {
    debian: { image: debianImage },
    bash: { image: bashImage, only: 'shell' },
    user: { image: userImage, only: 'user' },
  })
})

describe.skipIf(!canHaveDocker())('with Docker', () => {
  testWith(() => DockerEngine.start(), { debian: { image: debianImage } })
})

function testWith(start: () => Promise<TestEngine>, images: Images): void {
  let engine: TestEngine

  beforeAll(async () => {
    engine = await start()
    for (const [name, { image }] of Object.entries(images)) {
      await engine.makeImage(`localhost/${name}:test`, image)
    }
  })

  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
  })

  for (const [name, options] of Object.entries(images)) {
    const open = containerExecutorWith(() => engine, name)
    describeHostileCode(`the container executor with image ${name}`, open, options)
  }
}
