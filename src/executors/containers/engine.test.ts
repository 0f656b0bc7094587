import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { SystemClock } from '../../base/clock.ts'
import { CancelledError, UnavailableError } from '../../base/errors.ts'
import { Engine } from './engine.ts'

/** Notes how long is waited, and waits a little. */
class QuickClock extends SystemClock {
  readonly waits: number[] = []

  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.waits.push(ms)
    await super.sleep(Math.min(ms, 300), signal)
  }
}

let directory = ''
let socketPath = ''
let server: Server
const sockets = new Set<Socket>()

/** As an engine that is stopped: the kernel takes connections for it, and nobody reads. */
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pachyderm-engine-'))
  socketPath = join(directory, 'engine.sock')
  server = createServer({ pauseOnConnect: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => {
    server.listen(socketPath, resolve)
  })
})

afterEach(() => {
  for (const socket of sockets) socket.destroy()
  server.close()
  rmSync(directory, { recursive: true, force: true })
})

test('an engine that hangs is given up with a reason, a call at a time', async () => {
  const clock = new QuickClock()
  using engine = new Engine(socketPath, clock)
  const text = `unix://${socketPath} (asking for its version) after 30 seconds`
  await expect(engine.facts()).rejects.toThrow(text)
  await expect(engine.createContainer({})).rejects.toThrow('(making a container) after 60 seconds')
  await expect(engine.startContainer('a')).rejects.toThrow(UnavailableError)
  await expect(engine.removeContainer('a')).rejects.toThrow('it hangs')
  expect(clock.waits).toEqual([30_000, 60_000, 60_000, 60_000])
})

test('a pull is waited for as long as it is wanted', async () => {
  const clock = new QuickClock()
  using engine = new Engine(socketPath, clock)
  const asking = new AbortController()
  const pulling = engine.pull('image', undefined, asking.signal)
  await clock.sleep(100)
  asking.abort()
  await expect(pulling).rejects.toThrow(CancelledError)
  expect(clock.waits).toEqual([100])
})

test('when the server stops, an engine that hangs has a few seconds for all calls', async () => {
  const clock = new QuickClock()
  using engine = new Engine(socketPath, clock)
  const waiting = engine.waitForEnd('a')
  engine.leave()
  await expect(waiting).rejects.toThrow(UnavailableError)
  await expect(engine.removeContainer('a')).rejects.toThrow(UnavailableError)
  expect(clock.waits[0]).toBe(3000)
})
