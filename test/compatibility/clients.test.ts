// Clients that others' gRPC libraries make from the contract of 1.5, in the languages that its clients were written in.

import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { peersHere } from '../harness/child-program.ts'
import { type GrpcClient, GoGrpcClient, PythonGrpcClient } from '../harness/grpc-clients.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const secondsToMake = 120

/** The bytes that the clients make. */
function seeded(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index * 31 + (index >> 8))
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

const big = seeded(3_500_000)
const unknown = (says: boolean): readonly [string, boolean] => ['UNKNOWN', says]

/** What each scene finds, by its name. */
const expected = {
  server: { version: '1.5' },
  repos: {
    again: unknown(true),
    missing: unknown(true),
    names: ['data'],
    descriptions: ['of a client'],
  },
  'whole files': {
    big: digest(big),
    bigSize: big.length,
    range: digest(big.subarray(1_234_567, 1_234_567 + 890)),
    appended: 'alpha\nagain\n',
    empty: 0,
    listed: ['dir/a.txt', 'dir/b.txt', 'dir/empty'],
    globbed: ['/dir/a.txt', '/dir/b.txt'],
    finished: true,
  },
  'refused writes': {
    finished: unknown(true),
    nameless: 'UNKNOWN',
    absent: unknown(true),
    unknown: 'UNIMPLEMENTED',
  },
  'cancelled upload': { listed: ['/big.bin', '/dir', '/kept'] },
  'cancelled download': { began: true, after: 'kept\n' },
  'many at once': { failed: [], files: 400, one: '7 13\n' },
  'large answer': { listed: 20_000, last: 'lines/0000000000004e1f' },
  'kept objects': {
    byName: 'one object',
    byTag: 'one object',
    several: 'objectone ',
    tags: ['tagged'],
    listed: true,
    exists: true,
    absent: false,
  },
  waiting: { over: 'DEADLINE_EXCEEDED', told: true },
  pipelines: {
    outputs: ['copies'],
    state: 'JOB_SUCCESS',
    processed: 3,
    total: 3,
    datums: 3,
    logged: ['copied', 'copied', 'copied'],
    output: 'word b\n',
  },
  'failing pipeline': { state: 'JOB_FAILURE', flushed: 'UNKNOWN', inUse: 'UNKNOWN' },
  ends: { repos: 0 },
} as const

const clients = peersHere({ Go: GoGrpcClient, Python: PythonGrpcClient })

describe.each(clients)('a client in %s', (_language, Client) => {
  let found: ReadonlyMap<string, unknown>
  const opened = new AsyncDisposableStack()

  beforeAll(async () => {
    const pachd = opened.use(await TestPachd.start())
    const client: GrpcClient = opened.use(await Client.make())
    found = await client.play(`127.0.0.1:${pachd.port}`)
  }, secondsToMake * 1000)
  afterAll(async () => opened.disposeAsync())

  test('plays every scene, and no other', () => {
    expect([...found.keys()]).toEqual(Object.keys(expected))
  })

  test.each(Object.entries(expected))('%s', (scene, finds) => {
    expect(found.get(scene)).toEqual(finds)
  })
})
