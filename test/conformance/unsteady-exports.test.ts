import type { IncomingMessage } from 'node:http'
import {
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { peersHere } from '../harness/child-program.ts'
import { failed } from '../harness/expectations.ts'
import { collect, commitFiles, fileOf, noise } from '../harness/files.ts'
import { Radosgw } from '../harness/radosgw.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { UnsteadyPort } from '../harness/unsteady-port.ts'

const forgotten = { status: 404, body: '<Error><Code>NoSuchUpload</Code></Error>' } as const

/** Whether a request completes an upload. */
function isLast({ method, url = '' }: IncomingMessage): boolean {
  return method === 'POST' && url.includes('uploadId=')
}

/** Two parts. */
const large = Buffer.from(noise(9_000_000)).toString('base64')

const peers = {
  'Ceph, by S3': { start: () => Radosgw.start(), isInstalled: Radosgw.isInstalled },
} as const

describe.each(peersHere(peers))('to %s that is unsteady', (_name, { start }) => {
  const opened = new AsyncDisposableStack()
  let store: Radosgw
  let port: UnsteadyPort
  let pachd: TestPachd

  beforeAll(async () => {
    store = opened.use(await start())
    port = opened.use(await UnsteadyPort.open(store.endpoint))
    const variables = { ...store.variables, AWS_ENDPOINT_URL: port.url }
    const clouds = { variables, secretsDirectory: '/nonexistent' }
    pachd = opened.use(await TestPachd.start({ clouds }))
    await pachd.pfs.createRepo({ repo: { name: 'r' } })
    await commitFiles(pachd, { repo: 'r', branch: 'master' }, { small: 'small', large })
  })
  afterAll(async () => {
    await opened.disposeAsync()
  })

  async function exported(key: string, path: string) {
    const request = { file: fileOf('r', 'master', path), url: `s3://bucket/${key}` }
    return (await collect(pachd.files.exportFiles(request))).at(-1)
  }

  async function unfinishedCount(): Promise<number> {
    using client = disposable(store)
    const { Uploads = [] } = await client.send(
      new ListMultipartUploadsCommand({ Bucket: 'bucket' }),
    )
    return Uploads.length
  }

  test('a file is there though the answer to its last request was lost', async () => {
    let count = 0
    // Ceph remembers what it has completed; others have forgotten it.
    port.trouble = (request) => {
      if (!isLast(request)) return undefined
      count += 1
      return count === 1 ? 'lost answer' : forgotten
    }
    expect(await exported('lost', '/large')).toMatchObject({ files: 1n, done: true })
    expect(count).toBe(2)
    using client = disposable(store)
    const { Body } = await client.send(new GetObjectCommand({ Bucket: 'bucket', Key: 'lost' }))
    const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array()
    expect(Buffer.from(bytes).toString() === large).toBe(true)
    expect(await unfinishedCount()).toBe(0)
  })

  test('an upload that is gone without having become the file can be tried again', async () => {
    port.trouble = (request) => (isLast(request) ? forgotten : undefined)
    await expect(exported('gone', '/large')).rejects.toEqual(
      failed(Code.unavailable, 'unavailable', 'the store has forgotten the upload'),
    )
    expect(await unfinishedCount()).toBe(0)
  })

  test('a store that asks to slow down is asked again, oftener than its client asks by itself', async () => {
    const counts = new Map<string, number>()
    port.trouble = ({ method = '', url = '' }) => {
      const kind = `${method} ${url.includes('partNumber=1&') ? 'part' : ''}`
      const count = (counts.get(kind) ?? 0) + 1
      counts.set(kind, count)
      return count <= 4 ? { status: 503, body: '<Error><Code>SlowDown</Code></Error>' } : undefined
    }
    expect(await exported('slow', '/')).toMatchObject({ files: 2n, done: true })
    using client = disposable(store)
    const list = new ListObjectsV2Command({ Bucket: 'bucket', Prefix: 'slow/' })
    const { Contents = [] } = await client.send(list)
    expect(Contents.map(({ Key, Size }) => [Key, Size])).toEqual([
      ['slow/large', large.length],
      ['slow/small', 5],
    ])
    expect(Math.min(...counts.values())).toBeGreaterThan(4)
  })
})

function disposable(store: Radosgw): ReturnType<Radosgw['client']> & Disposable {
  const client = store.client()
  return Object.assign(client, { [Symbol.dispose]: () => client.destroy() })
}
