import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { TestContainerExecutor } from '../testing/container-fixture.ts'
import { transform } from '../testing/process-fixture.ts'

const never = new AbortController().signal

/** On which the bound of a call is over soon, and pauses are short. */
class QuickClock extends SystemClock {
  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await super.sleep(Math.min(ms, 2000), signal)
  }
}

/** As much of an engine as it takes to make a container, and to be slow at it. */
class SlowEngine implements AsyncDisposable {
  readonly socketPath: string
  readonly containers = new Set<string>()
  readonly #server: Server
  /** What it was asked to make. */
  readonly #asked: { readonly name: string; readonly sources: readonly string[] }[] = []
  #answersRemovals = true

  private constructor(socketPath: string) {
    this.socketPath = socketPath
    this.#server = createServer((request, response) => {
      void this.#answer(request).then(([status, body]) => {
        if (status === 0) return
        response.writeHead(status, { 'Content-Type': 'application/json' })
        response.end(status === 204 ? undefined : JSON.stringify(body))
      })
    })
  }

  static async open(socketPath: string): Promise<SlowEngine> {
    const engine = new SlowEngine(socketPath)
    await new Promise<void>((resolve) => {
      engine.#server.listen(socketPath, resolve)
    })
    return engine
  }

  get askedCount(): number {
    return this.#asked.length
  }

  set answersRemovals(answers: boolean) {
    this.#answersRemovals = answers
  }

  /** It does what it was asked long ago, and makes the directories that are to be shown, as Podman does. */
  catchUp(): void {
    for (const { name, sources } of this.#asked.splice(0)) {
      this.containers.add(name)
      for (const source of sources) mkdirSync(source, { recursive: true })
    }
  }

  async #answer(request: IncomingMessage): Promise<readonly [number, unknown]> {
    const url = new URL(request.url ?? '', 'http://engine')
    switch (`${request.method} ${url.pathname}`) {
      case 'GET /version':
        return [200, { Version: '1' }]
      case 'GET /info':
        return [200, {}]
      case 'GET /containers/json':
        return [200, []]
      case 'GET /images/image:1/json':
        return [200, { Id: 'sha256:1', Config: {} }]
      case 'POST /containers/create': {
        const { HostConfig: config }: CreateRequest = JSON.parse(await text(request))
        const name = url.searchParams.get('name') ?? 'nameless'
        this.#asked.push({ name, sources: config.Mounts.map(({ Source }) => Source) })
        return [0, undefined]
      }
    }
    const name = url.pathname.replace('/containers/', '')
    if (!this.#answersRemovals) return [0, undefined]
    return this.containers.delete(name) ? [204, undefined] : [404, { message: 'none' }]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
  }
}

interface CreateRequest {
  readonly HostConfig: { readonly Mounts: readonly { readonly Source: string }[] }
}

let directory = ''
let engine: SlowEngine

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pachyderm-late-'))
  engine = await SlowEngine.open(join(directory, 'engine.sock'))
})

afterEach(async () => {
  await engine[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

test('what an engine makes when nobody waits for it any more is removed again, with its directory', async () => {
  const clock = new QuickClock()
  await using opened = await TestContainerExecutor.open(engine.socketPath, { clock })
  const what = transform(['true'], { image: 'image:1' })
  const opening = opened.executor.openSlot(what, never)
  await expect(opening).rejects.toThrow(/\(making a container\) after 60 seconds: it hangs/)
  expect(engine.askedCount).toBe(1)
  const slots = (): readonly string[] => readdirSync(join(opened.directory, 'scratch'))
  expect(slots()).toEqual([])
  engine.answersRemovals = false
  engine.catchUp()
  expect(slots()).toHaveLength(1)
  await expect
    .poll(() => opened.executor.leftovers)
    .toEqual([
      expect.stringMatching(
        /^container pachyderm-[0-9a-f]{16} of unix:.*is tried again: no answer/,
      ),
    ])
  engine.answersRemovals = true
  await expect.poll(() => engine.containers.size).toBe(0)
  await expect.poll(slots).toEqual([])
  await expect.poll(() => opened.executor.leftovers).toEqual([])
})
