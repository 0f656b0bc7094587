import { afterEach, expect, test } from 'vitest'
import { service } from '../../src/api/grpc/service.ts'
import { UnavailableError } from '../../src/base/errors.ts'
import { Migrations } from '../../src/gen/pachyderm_pb.ts'
import { GrpcFixture } from '../../src/testing/grpc-fixture.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'

const fixture = new GrpcFixture()

afterEach(async () => fixture.close())

/** What pachctl says when the server ends after it has told of `toldCount` things. */
async function saidOfLost(toldCount: number, ...flags: readonly string[]): Promise<string> {
  await using directory = await TemporaryDirectory.create()
  const port = await fixture.serve(
    service(Migrations, {
      async *migrate() {
        for (let told = 0; told < toldCount; told += 1) {
          yield { event: { case: 'notice', value: 'something' } } as const
        }
        throw new UnavailableError('gone')
      },
    }),
  )
  const places = ['--etcd', '/old/db', '--storage', '/old', '--report', directory.join('report')]
  const { code, err } = await pachctlHere(['migrate', ...places, ...flags], {
    port,
    home: directory.path,
  })
  expect(code).toBe(1)
  return err
}

test('of a migration whose server ended it is said that nothing is lost, and what to do', async () => {
  expect(await saidOfLost(1)).toBe(
    'gone; nothing of the old cluster is seen here before all of it is, and what has come is kept: run the same command again, and it goes on\n',
  )
  expect(await saidOfLost(1, '--dry-run')).toBe('gone; a dry run changes nothing: run it again\n')
})

test('of one that did not begin only why', async () => {
  expect(await saidOfLost(0)).toBe('gone\n')
})
