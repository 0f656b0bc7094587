import type { IncomingMessage } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { peersHere } from '../harness/child-program.ts'
import { collect, commitFiles, noise } from '../harness/files.ts'
import { Radosgw } from '../harness/radosgw.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { type Trouble, UnsteadyPort } from '../harness/unsteady-port.ts'

/** Amazon's client asks so often by itself. */
const askedByClient = 3

const peers = {
  'Ceph, by S3': { start: () => Radosgw.start(), isInstalled: Radosgw.isInstalled },
} as const

/** What a request does: to look, to list, to read, to write at once, or a step of writing in parts. */
function kindOf({ method = '', url = '' }: IncomingMessage): string {
  const { searchParams: query } = new URL(url, 'http://store')
  const step = ['list-type', 'uploads', 'partNumber', 'uploadId'].find((name) => query.has(name))
  return `${method} ${step ?? ''}`.trim()
}

describe.each(peersHere(peers))('backups to %s that is unsteady', (_name, { start }) => {
  const opened = new AsyncDisposableStack()
  const place = { url: 's3://bucket/backups' }
  let port: UnsteadyPort
  let clouds: { variables: Record<string, string>; secretsDirectory: string }
  let pachd: TestPachd

  beforeAll(async () => {
    const store = opened.use(await start())
    port = opened.use(await UnsteadyPort.open(store.endpoint))
    const variables = { ...store.variables, AWS_ENDPOINT_URL: port.url }
    clouds = { variables, secretsDirectory: '/nonexistent' }
    pachd = opened.use(await TestPachd.start({ clouds }))
    await pachd.pfs.createRepo({ repo: { name: 'r' } })
    // A pack of two parts.
    const large = Buffer.from(noise(9_000_000)).toString('base64')
    await commitFiles(pachd, { repo: 'r', branch: 'master' }, { large })
  })
  afterAll(async () => {
    await opened.disposeAsync()
  })

  /** Has the first requests of each kind fail, more of them than the client sends by itself. */
  function failFirst(trouble: Trouble): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    port.trouble = (request) => {
      const kind = kindOf(request)
      const count = (counts.get(kind) ?? 0) + 1
      counts.set(kind, count)
      return count <= askedByClient + 1 ? trouble : undefined
    }
    return counts
  }

  test('one is made though each kind of request is refused for a while', async () => {
    const busy = { status: 503, body: '<Error><Code>SlowDown</Code></Error>' }
    const counts = failFirst(busy)
    const events = await collect(pachd.backups.extract({ place }))
    expect(events.at(-1)?.event.case).toBe('end')
    expect([...counts.keys()]).toEqual(
      expect.arrayContaining(['GET list-type', 'PUT', 'POST uploads', 'PUT partNumber']),
    )
    expect(Math.min(...counts.values())).toBeGreaterThan(askedByClient)
  })

  test('it is read though connections break, before and in the midst of an answer', async () => {
    for (const trouble of ['lost request', 'half an answer'] as const) {
      const counts = failFirst(trouble)
      const events = await collect(pachd.backups.verifyBackup({ place }))
      expect(events.at(-1)?.event).toMatchObject({ case: 'end' })
      expect(events.filter(({ event }) => event.case === 'damage')).toEqual([])
      expect(counts.get('GET')).toBeGreaterThan(askedByClient)
    }
  })

  test('and restored', async () => {
    await using directory = await TemporaryDirectory.create()
    await using empty = await TestPachd.start({ root: directory.join('new'), clouds })
    failFirst('half an answer')
    const counts = await collect(empty.backups.restore({ place, snapshot: '' }))
    expect(counts.at(-1)?.objectsDone).toBe(counts.at(-1)?.objectsTotal)
  })
})
