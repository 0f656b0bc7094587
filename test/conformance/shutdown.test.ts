import { expect, test } from 'vitest'
import { SystemClock } from '../../src/base/clock.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { SystemRandom } from '../../src/base/random.ts'
import { Log } from '../../src/server/log.ts'
import { openServer } from '../../src/server/server.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { collect, commitFiles, commitOf, fileOf, putFile } from '../harness/files.ts'
import { TestClient } from '../harness/test-pachd.ts'

const graceMs = 200

test('a server that stops ends waiting calls after the grace, and lets running ones finish', async () => {
  await using directory = await TemporaryDirectory.create()
  const clock = new SystemClock()
  const log = new Log(clock, () => undefined)
  const config = { root: directory.join('data'), host: '127.0.0.1', port: 0 }
  const ports = { clock, random: new SystemRandom(), log, release: 'test' }
  await using server = await openServer(config, ports)
  await using client = new TestClient(server.address.port)
  await client.pfs.createRepo({ repo: { name: 'r' } })
  await commitFiles(client, { repo: 'r', branch: 'master' }, { a: '1' })
  await client.pfs.startCommit({ parent: commitOf('r', ''), branch: 'open' })

  const closing = Promise.withResolvers<undefined>()
  const request = { repo: { name: 'r' }, branch: 'later' }
  const waiting = collect(client.pfs.subscribeCommit(request))
  async function* halfOfPut() {
    yield { file: fileOf('r', 'open', 'f'), value: Buffer.from('one ') }
    await closing.promise
    yield { value: Buffer.from('two') }
  }
  const running = client.pfs.putFile(halfOfPut())
  const ended = Promise.allSettled([waiting, running])
  await client.health.health({})

  const startedMs = clock.monotonicMs()
  const closed = server.close(graceMs)
  closing.resolve(undefined)
  const [subscription, put] = await ended
  await closed
  expect(subscription).toMatchObject({ status: 'rejected', reason: { code: Code.unavailable } })
  expect(put).toMatchObject({ status: 'fulfilled' })
  expect(clock.monotonicMs() - startedMs).toBeLessThan(graceMs + 3000)
  await expect(putFile(client, fileOf('r', 'open', 'g'), 'x')).rejects.toMatchObject({
    code: Code.unavailable,
  })
})
