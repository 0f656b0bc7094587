import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { Slot } from '../pipelines/executor.ts'
import { type BrokenProgram, brokenPrograms } from '../testing/broken-programs.ts'
import { TestContainerExecutor } from '../testing/container-fixture.ts'
import { canHaveDocker, DockerEngine } from '../testing/docker-engine.ts'
import { canHavePodman, PodmanEngine } from '../testing/podman-engine.ts'
import { runIn, transform } from '../testing/process-fixture.ts'
import type { TestEngine } from '../testing/test-engine.ts'
import { bashImage, busyboxImage, debianImage } from '../testing/test-images.ts'

const never = new AbortController().signal
const images = { busybox: busyboxImage, debian: debianImage, bash: bashImage }
const cases = Object.keys(images).flatMap((image) =>
  Object.entries(brokenPrograms).map(([name, program]) => ({ name, image, program })),
)

describe.skipIf(!canHavePodman())('with Podman', () => {
  testWith(() => PodmanEngine.start())
})

describe.skipIf(!canHaveDocker())('with Docker', () => {
  testWith(() => DockerEngine.start())
})

function give(slot: Slot, { bytes, mode }: BrokenProgram): void {
  mkdirSync(join(slot.pfsDirectory, 'in'))
  writeFileSync(join(slot.pfsDirectory, 'in/tool'), bytes)
  chmodSync(join(slot.pfsDirectory, 'in/tool'), mode)
}

function testWith(start: () => Promise<TestEngine>): void {
  let engine: TestEngine
  let opened: TestContainerExecutor

  beforeAll(async () => {
    engine = await start()
    for (const [name, image] of Object.entries(images)) {
      await engine.makeImage(`localhost/${name}:test`, image)
    }
    opened = await TestContainerExecutor.open(engine.socketPath)
  })

  afterAll(async () => {
    await opened?.[Symbol.asyncDispose]()
    await engine?.[Symbol.asyncDispose]()
  })

  async function open(image: string, ...command: readonly string[]): Promise<Slot> {
    const what = transform(command, { image: `localhost/${image}:test` })
    return await opened.executor.openSlot(what, never)
  }

  test.each(cases)(
    'a program $name is told of by its name, with why (image $image)',
    async ({ image, program }) => {
      await using slot = await open(image, '/pfs/in/tool')
      give(slot, program)
      const ran = await runIn(slot).catch((error: Error) => error.message)
      const reason = typeof ran === 'string' ? ran : `${ran.exitCode}: ${ran.bound}`
      expect(reason).toMatch(/"\/pfs\/in\/tool"( of image \S+)? cannot be started: /)
      expect(reason).toContain(program.told)
      const lines = typeof ran === 'string' ? [] : ran.stderr
      expect(lines.join('\n')).not.toContain('.pachyderm')
    },
  )

  test.each(Object.keys(images))(
    'a program that the code itself starts is told of, too (image %s)',
    async (image) => {
      await using slot = await open(image, 'sh', '-c', '/pfs/in/tool; exit $?')
      give(slot, brokenPrograms['for Alpine'] ?? { bytes: Buffer.alloc(0), mode: 0, told: '' })
      expect(await runIn(slot)).toMatchObject({
        exitCode: 127,
        bound: expect.stringContaining('"/pfs/in/tool" cannot be started: it needs the loader'),
      })
    },
  )

  test.each(Object.keys(images))(
    'what the runner says is not in the output of the datum (image %s)',
    async (image) => {
      await using slot = await open(image, 'sh', '-c', 'kill -9 $$')
      expect(await runIn(slot)).toMatchObject({ exitCode: 137, stderr: [] })
    },
  )
}
