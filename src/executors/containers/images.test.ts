import { expect, test } from 'vitest'

import { SystemClock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'
import type { EngineImage } from './engine.ts'
import { Images } from './images.ts'

const found: EngineImage = { id: 'id', environment: [], isForRoot: true, hasHealthcheck: false }

/** An engine whose pulls go on until the test ends them, or whoever asked does. */
class SlowEngine {
  readonly pulls: { readonly signal: AbortSignal; readonly end: () => void }[] = []
  #isThere = false

  async image(): Promise<EngineImage | undefined> {
    return this.#isThere ? found : undefined
  }

  async pull(_name: string, _login: unknown, signal: AbortSignal): Promise<void> {
    const pulled = Promise.withResolvers<void>()
    signal.addEventListener('abort', () => pulled.reject(new CancelledError('the pull was ended')))
    this.pulls.push({ signal, end: () => pulled.resolve() })
    await pulled.promise
    this.#isThere = true
  }
}

interface Asked {
  readonly image: Promise<EngineImage>
  readonly waits: readonly string[]
  readonly leave: () => void
}

function imagesOf(engine: SlowEngine): { readonly images: Images; readonly ask: () => Asked } {
  const images = new Images({
    engine,
    pullPolicy: 'IfNotPresent',
    pullSecrets: async () => [],
    clock: new SystemClock(),
  })
  const ask = (): Asked => {
    const asking = new AbortController()
    const waits: string[] = []
    const options = { signal: asking.signal, onWait: (text: string) => void waits.push(text) }
    const image = images.get('a/b:1', [], options)
    image.catch(() => {})
    return { image, waits, leave: () => asking.abort() }
  }
  return { images, ask }
}

test('a pull that several wait for goes on when the first one leaves', async () => {
  const engine = new SlowEngine()
  const { images, ask } = imagesOf(engine)
  const first = ask()
  await expect.poll(() => engine.pulls.length).toBe(1)
  const since = images.pulledSince('a/b:1')
  const second = ask()
  const third = ask()
  await expect.poll(() => third.waits.at(-1)).toBe('pulling image a/b:1')
  first.leave()
  await expect(first.image).rejects.toThrow(CancelledError)
  expect(engine.pulls[0]?.signal.aborted).toBe(false)
  expect(images.pulledSince('a/b:1')).toBe(since)
  engine.pulls[0]?.end()
  expect(await second.image).toBe(found)
  expect(await third.image).toBe(found)
  expect(engine.pulls).toHaveLength(1)
  expect(images.pulledSince('a/b:1')).toBeUndefined()
})

test('a pull that nobody waits for any more is ended, and whoever comes then begins anew', async () => {
  const engine = new SlowEngine()
  const { images, ask } = imagesOf(engine)
  const [first, second] = [ask(), ask()]
  await expect.poll(() => second.waits.at(-1)).toBe('pulling image a/b:1')
  first.leave()
  second.leave()
  await expect(second.image).rejects.toThrow(CancelledError)
  expect(engine.pulls[0]?.signal.aborted).toBe(true)
  expect(images.pulledSince('a/b:1')).toBeUndefined()
  const third = ask()
  await expect.poll(() => engine.pulls.length).toBe(2)
  engine.pulls[1]?.end()
  expect(await third.image).toBe(found)
})
