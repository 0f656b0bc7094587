import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { SystemRandom } from '../base/random.ts'
import { HeldClock } from '../testing/held-clock.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { HttpFiles } from './http-files.ts'

const mib = 1024 * 1024
const target = '/v1/pfs/repos/r/commits/master/files/large'
const request = `GET ${target} HTTP/1.1\r\nhost: here\r\n\r\n`

let world: TestVersioning
beforeAll(async () => {
  world = await openTestVersioning()
  const { commits, repos, writes } = world.versioning
  await repos.create({ name: 'r' })
  await commits.start({ repo: 'r', branch: 'master' })
  const file = { repo: 'r', commit: 'master', path: 'large' }
  await writes.put(file, seededBytes(1, 40 * mib))
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

test('a caller that asks ahead and leaves has none of its answers made any more', async () => {
  const clock = new HeldClock()
  const failures: unknown[] = []
  const log = { failure: (...failure: unknown[]) => void failures.push(failure) }
  const files = new HttpFiles(world.versioning, { clock, random: new SystemRandom(), log })
  const server = createServer((asked, response) => files.answer(asked, response)).listen(0)
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(request.repeat(3))
  // The first answer waits for its caller.
  await vi.waitFor(() => expect(clock.sleeperCount).toBe(1), { timeout: 60_000 })
  const read = vi.spyOn(world.versioning.files, 'bytesOf')
  socket.destroy()
  await vi.waitFor(() => expect(clock.sleeperCount).toBe(0), { timeout: 60_000 })
  // Turns of the event loop in which the next answer would begin.
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  expect(read).not.toHaveBeenCalled()
  expect([clock.sleeperCount, failures]).toEqual([0, []])
  read.mockRestore()
  server.close()
  await once(server, 'close')
})
