import { Writable } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import { service } from '../../api/grpc/service.ts'
import { SystemClock } from '../../base/clock.ts'
import { DiskFullError, NotFoundError } from '../../base/errors.ts'
import { Code } from '../../base/grpc-wire.ts'
import { RpcError } from '../../client/rpc-error.ts'
import { Commits } from '../../gen/pachyderm_pb.ts'
import { API } from '../../gen/pfs_pb.ts'
import { GrpcFixture } from '../../testing/grpc-fixture.ts'
import { ActiveTransaction } from '../active-transaction.ts'
import { errorText } from '../error-text.ts'
import { Flags } from '../flags.ts'
import { Input } from '../input.ts'
import { LazyTransport } from '../lazy-transport.ts'
import { Output } from '../../base/output.ts'
import { commitAround } from './commit-around.ts'

const fixture = new GrpcFixture()
afterEach(async () => fixture.close())

/** Runs `work` in a commit that the server closes, or cannot. Returns its calls, and what is told. */
async function around(
  work: () => Promise<void>,
  { isFull = false, hasPut = false, holds = false } = {},
): Promise<{ calls: string[]; told: string }> {
  const calls: string[] = []
  const close = (name: string) => async () => {
    calls.push(name)
    if (isFull) throw new DiskFullError('/data')
    return Promise.resolve({})
  }
  const pfs = service(API, {
    startCommit: async () => Promise.resolve({ repo: { name: 'r' }, id: 'c1' }),
    finishCommit: close('finish'),
    deleteCommit: close('delete'),
  })
  const over = Promise.withResolvers<string>()
  const holding = service(Commits, {
    async *holdCommit({ repo, branch }, { signal }) {
      calls.push(`hold ${repo?.name}@${branch}`)
      yield { commit: { repo: { name: 'r' }, id: 'c1' } }
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      over.resolve('let go')
    },
  })
  const address = `127.0.0.1:${await fixture.serve([...pfs, ...(holds ? holding : [])])}`
  await using transport = new LazyTransport(address, new SystemClock())
  const nowhere = new Output(new Writable({ write: (_bytes, _encoding, done) => done() }))
  const context = {
    args: [],
    flags: new Flags(new Map()),
    input: new Input(() => expect.fail('no need for standard input')),
    out: nowhere,
    err: nowhere,
    clock: new SystemClock(),
    address,
    transport,
    environment: {},
    activeTransaction: new ActiveTransaction({}, address),
    upgradeStore: () => expect.fail('no need for a store'),
  }
  const target = { repo: 'r', branch: 'master', hasPut: () => hasPut }
  const told = await commitAround(context, target, work).then(
    () => '',
    (error: unknown) => errorText(error, undefined),
  )
  if (holds) calls.push(await over.promise)
  return { calls, told }
}

const failing = async (): Promise<void> => Promise.reject(new NotFoundError('no such file: x'))
const done = async (): Promise<void> => Promise.resolve()
const stillOpen =
  'commit r/c1 is still open; to drop what was put, pachctl delete-commit r c1; to keep it, pachctl finish-commit r c1\n'
const missing = async (): Promise<void> =>
  Promise.reject(new RpcError(Code.unknown, 'file r/c1:/x not found'))

test('of a commit that was deleted again nobody hears: its branch is named', async () => {
  expect((await around(missing)).told).toBe('file r/master:/x not found\n')
  expect((await around(missing, { hasPut: true })).told).toBe('file r/c1:/x not found\n')
})

const full = 'the disk of the data directory is full (at /data): '

test('a commit in which nothing was put is deleted, one with something in it finished', async () => {
  expect(await around(done)).toEqual({ calls: ['finish'], told: '' })
  const told = 'no such file: x\n'
  expect(await around(failing)).toEqual({ calls: ['delete'], told })
  expect(await around(failing, { hasPut: true })).toEqual({ calls: ['finish'], told })
})

test.each([false, true])(
  'the first failure is told, and that the commit is open',
  async (hasPut) => {
    const { calls, told } = await around(failing, { isFull: true, hasPut })
    expect(calls).toEqual([hasPut ? 'finish' : 'delete'])
    expect(told).toBe(`no such file: x\n${stillOpen}`)
  },
)

test('a finish that fails is told, and that the commit is open', async () => {
  const { told } = await around(done, { isFull: true })
  expect(told.startsWith(full)).toBe(true)
  expect(told.endsWith(`\n${stillOpen}`)).toBe(true)
})

test('a server that can holds the commit until it is closed', async () => {
  const holds = true
  const opened = 'hold r@master'
  expect(await around(done, { holds })).toEqual({ calls: [opened, 'finish', 'let go'], told: '' })
  const told = 'no such file: x\n'
  expect(await around(failing, { holds })).toEqual({ calls: [opened, 'delete', 'let go'], told })
  expect(await around(failing, { holds, isFull: true })).toEqual({
    calls: [opened, 'delete', 'let go'],
    told: `${told}commit r/c1 could not be closed; the server gives it up by itself, when it starts again at the latest\n`,
  })
})
