import { rmSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { CancelledError, UnavailableError } from '../base/errors.ts'
import { TestContainerExecutor } from '../testing/container-fixture.ts'
import { canHavePodman, PodmanEngine } from '../testing/podman-engine.ts'
import { transform } from '../testing/process-fixture.ts'
import { busyboxImage } from '../testing/test-images.ts'

const never = new AbortController().signal

/** On which the bound of a call is over soon, if so wished. */
class QuickClock extends SystemClock {
  isQuick = false
  /** Calls that were not answered within their bound. */
  lateCount = 0

  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const isBound = ms === 60_000
    await super.sleep(isBound && this.isQuick ? 1000 : ms, signal)
    if (isBound) this.lateCount += 1
  }
}

describe.skipIf(!canHavePodman())('an engine', () => {
  let engine: PodmanEngine

  beforeAll(async () => {
    engine = await PodmanEngine.start()
  })

  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
  })

  test('whose registry never answers is told of, and waited for only by who wants it', async () => {
    const sockets = new Set<Socket>()
    const registry = createServer({ pauseOnConnect: true }, (socket) => {
      sockets.add(socket.on('error', () => {}))
    })
    await new Promise<void>((resolve) => {
      registry.listen(0, '127.0.0.1', resolve)
    })
    try {
      const { port } = registry.address() as AddressInfo
      const what = transform(['true'], { image: `127.0.0.1:${port}/silent:1` })
      await using opened = await TestContainerExecutor.open(engine.socketPath)
      const waits: string[] = []
      const asking = new AbortController()
      const { executor } = opened
      const opening = executor.openSlot(what, asking.signal, undefined, (text) => waits.push(text))
      opening.catch(() => {})
      await expect.poll(() => sockets.size, { timeout: 30_000 }).toBeGreaterThan(0)
      expect(waits.at(-1)).toBe(`pulling image ${what.image}`)
      expect(executor.notices(what)).toEqual([
        expect.stringMatching(/^image 127\.0\.0\.1:\d+\/silent:1 is being pulled since 2\d{3}-/),
      ])
      asking.abort()
      await expect(opening).rejects.toThrow(CancelledError)
      expect(executor.notices(what)).toEqual([])
    } finally {
      for (const socket of sockets) socket.destroy()
      registry.close()
    }
  })

  test('that hangs is given up with a reason, and keeps no server from ending', async () => {
    const image = 'localhost/busybox:test'
    await engine.makeImage(image, busyboxImage)
    const clock = new QuickClock()
    const { executor, directory } = await TestContainerExecutor.open(engine.socketPath, { clock })
    const what = transform(['true'], { image })
    await executor.openSlot(what, never)
    engine.signalService('SIGSTOP')
    clock.isQuick = true
    try {
      const opening = executor.openSlot(what, never)
      await expect(opening).rejects.toThrow(UnavailableError)
      await expect(opening).rejects.toThrow(/\(looking for image .*\) after 60 seconds: it hangs/)
      clock.isQuick = false
      const { lateCount } = clock
      await executor[Symbol.asyncDispose]()
      expect(clock.lateCount, 'nobody waited for a bound').toBe(lateCount)
    } finally {
      engine.signalService('SIGCONT')
      rmSync(directory, { recursive: true, force: true })
    }
    // Its containers end by themselves.
    await expect.poll(() => engine.containers(), { timeout: 30_000 }).toEqual([])
  })
})
