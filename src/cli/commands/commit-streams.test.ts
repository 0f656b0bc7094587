import { PassThrough, Writable } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import { service } from '../../api/grpc/service.ts'
import { SystemClock } from '../../base/clock.ts'
import { UnavailableError, UnimplementedError } from '../../base/errors.ts'
import { Output } from '../../base/output.ts'
import { API } from '../../gen/pfs_pb.ts'
import { Commits } from '../../gen/pachyderm_pb.ts'
import { GrpcFixture } from '../../testing/grpc-fixture.ts'
import { ActiveTransaction } from '../active-transaction.ts'
import { Flags } from '../flags.ts'
import { Input } from '../input.ts'
import { LazyTransport } from '../lazy-transport.ts'
import { flushCommit } from './commit-streams.ts'

const fixture = new GrpcFixture()
afterEach(async () => fixture.close())

/** Pauses are short. */
class QuickClock extends SystemClock {
  override async sleep(_ms: number, signal?: AbortSignal): Promise<void> {
    await super.sleep(1, signal)
  }
}

/** What is said of a flush that ends once `answer` has been asked for the causes so often. */
async function toldOf(
  endCount: number,
  answer: (count: number) => readonly string[],
): Promise<{ readonly told: string; readonly askedCount: number }> {
  const asked = Promise.withResolvers<readonly never[]>()
  let askedCount = 0
  const pfs = service(API, {
    async *flushCommit() {
      yield* await asked.promise
    },
  })
  const commits = service(Commits, {
    flushCauses: async () => {
      askedCount += 1
      if (askedCount === endCount) asked.resolve([])
      return { causes: [...answer(askedCount)] }
    },
  })
  const port = await fixture.serve([...pfs, ...commits])
  let told = ''
  const collector = new Writable({
    write(bytes: Buffer, _encoding, done) {
      told += bytes.toString()
      done()
    },
  })
  const address = `127.0.0.1:${port}`
  await using transport = new LazyTransport(address, new SystemClock())
  await flushCommit({
    args: ['in/master'],
    flags: new Flags(
      new Map<string, readonly string[] | boolean>([
        ['repos', []],
        ['raw', false],
      ]),
    ),
    input: new Input(() => new PassThrough().end()),
    out: new Output(new PassThrough().resume()),
    err: new Output(collector),
    clock: new QuickClock(),
    environment: {},
    address,
    transport,
    activeTransaction: new ActiveTransaction({}, address),
    upgradeStore: () => {
      throw new Error('not called')
    },
  })
  return { told, askedCount }
}

test('what a flush waits for is told though it could not be found out before', async () => {
  const { told } = await toldOf(4, (count) => {
    if (count === 1) throw new UnavailableError('the database is away')
    return count === 2 ? ['this'] : ['this', 'that']
  })
  expect(told).toBe('Notice: still waiting: this\nNotice: still waiting: that\n')
})

test('a server that does not know what a flush waits for is asked once', async () => {
  const { told, askedCount } = await toldOf(1, () => {
    throw new UnimplementedError('unknown method')
  })
  expect([told, askedCount]).toEqual(['', 1])
})
