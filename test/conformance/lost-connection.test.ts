import { afterEach, expect, test } from 'vitest'
import { service } from '../../src/api/grpc/service.ts'
import type { Listener } from '../../src/api/listener.ts'
import { Backups, Files } from '../../src/gen/pachyderm_pb.ts'
import { GrpcFixture } from '../../src/testing/grpc-fixture.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const fixture = new GrpcFixture()

afterEach(async () => fixture.close())

/** A server that is gone as soon as somebody makes or restores a backup, or has it bring a history. */
async function endingServer(): Promise<number> {
  const opened = Promise.withResolvers<Listener>()
  async function* end() {
    const listener = await opened.promise
    await listener.close(0)
    yield {}
  }
  const server = await fixture.listen([
    ...service(Backups, { extract: end, beginRestore: end }),
    ...service(Files, { putHistory: end }),
  ])
  opened.resolve(server)
  return server.address.port
}

test.each([
  ['--directory', 'goes on where it stopped'],
  ['--file', 'begins anew'],
])('whose server is gone hears what becomes of a backup (%s)', async (flag, then) => {
  await using directory = await TemporaryDirectory.create()
  const here = { port: await endingServer(), home: directory.path }
  const { code, err } = await pachctlHere(['extract', flag, directory.join('backup')], here)
  expect(code).toBe(1)
  expect(err).toMatch(
    new RegExp(`^the server is shutting down; no backup was made; the same command ${then}\n$`),
  )
})

test('and what becomes of a restore', async () => {
  await using directory = await TemporaryDirectory.create()
  const backup = directory.join('backup')
  await using pachd = await TestPachd.start()
  const home = directory.path
  await pachctlHere(['extract', '--directory', backup], { port: pachd.port, home })
  const port = await endingServer()
  const { code, err } = await pachctlHere(['restore', '--directory', backup], { port, home })
  expect(code).toBe(1)
  expect(err).toMatch(
    /^the server is shutting down; nothing of the backup shows yet; the same command goes on with it\n$/,
  )
})

test('and how a history goes on', async () => {
  const here = { port: await endingServer(), home: '/' }
  const from = ['--history', '-f', 'pfs://old:30650/logs/master']
  expect(await pachctlHere(['put-file', 'logs', 'master', '/', ...from], here)).toMatchObject({
    code: 1,
    err: 'the server is shutting down; whole commits have come, or none: the same command with --resume goes on\n',
  })
})
