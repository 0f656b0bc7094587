import { describe, expect, test } from 'vitest'
import { SystemClock } from '../../src/base/clock.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor } from '../harness/child-pachd.ts'
import { freePort } from '../harness/child-program.ts'
import { commitFiles } from '../harness/files.ts'
import { GcsServer } from '../harness/gcs-server.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { UnsteadyPort } from '../harness/unsteady-port.ts'

const environment = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' }
/** A notice comes after three seconds. */
const noticedMs = 6000

/** What answers nothing; `asked` resolves when it was asked for the first time. */
async function openSilent(
  opened: AsyncDisposableStack,
): Promise<{ readonly endpoint: string; readonly asked: Promise<undefined> }> {
  const server = opened.use(await GcsServer.start())
  const port = opened.use(await UnsteadyPort.open(server.url))
  const asked = Promise.withResolvers<undefined>()
  port.trouble = () => {
    asked.resolve(undefined)
    return 'no answer'
  }
  return { endpoint: port.url, asked: asked.promise }
}

test('a start that waits for a bucket says for which, and can be stopped', async () => {
  await using opened = new AsyncDisposableStack()
  const { endpoint, asked } = await openSilent(opened)
  const root = opened.use(await TemporaryDirectory.create()).join('data')
  const store = ['--store', `s3://bucket/packs?endpoint=${endpoint}`]
  await using pachd = new ChildPachd([...oneDoor(root), ...store], { environment })
  await asked
  await new SystemClock().sleep(noticedMs)
  pachd.signal('SIGTERM')
  const { code, err } = await pachd.exit
  expect(code).toBe(0)
  expect(err).toMatch(
    new RegExp(`does not answer, and is asked again bucket=s3://bucket endpoint=${endpoint} `),
  )
  expect(err).toContain('stopped before it was ready')
})

test('so can a recovery', async () => {
  await using opened = new AsyncDisposableStack()
  const { endpoint, asked } = await openSilent(opened)
  const root = opened.use(await TemporaryDirectory.create()).join('data')
  const store = ['--store', `s3://bucket/packs?endpoint=${endpoint}`, '--take-bucket']
  await using pachd = new ChildPachd(['--root', root, ...store, '--recover-metadata'], {
    environment,
  })
  await asked
  await new SystemClock().sleep(noticedMs)
  pachd.signal('SIGTERM')
  const { code, err } = await pachd.exit
  expect(code).toBe(1)
  expect(err).toContain(
    `waiting for s3://bucket at ${endpoint} for 3 s, and trying on: it has not answered yet\n`,
  )
})

test.each([
  ['S3', (url: string) => [`s3://bucket/packs?endpoint=${url}`, {}] as const],
  ['Google', (url: string) => ['gs://bucket/packs', { STORAGE_EMULATOR_HOST: url }] as const],
  [
    'Azure',
    (url: string) =>
      [
        'as://host/bucket/packs',
        {
          AZURE_STORAGE_CONNECTION_STRING: `DefaultEndpointsProtocol=http;AccountName=one;AccountKey=a2V5;BlobEndpoint=${url}/one;`,
        },
      ] as const,
  ],
])('an endpoint of %s that is not there is named, with what to do', async (_, placeAt) => {
  await using directory = await TemporaryDirectory.create()
  const endpoint = `http://127.0.0.1:${await freePort()}`
  const [store, variables] = placeAt(endpoint)
  await using pachd = new ChildPachd([...oneDoor(directory.join('data')), '--store', store], {
    environment: { ...environment, ...variables },
  })
  const { code, err } = await pachd.exit
  expect(code).toBe(1)
  expect(err).toContain('does not answer, and is asked again bucket=')
  expect(err).toContain(
    `/.owner at ${endpoint}: nothing listens there (ECONNREFUSED): see that it is up, and that the machine of pachd reaches it; see that the bucket exists`,
  )
})

const master = { repo: 'data', branch: 'master' }

/** All commands have the server ask a store, and say what it waits for, whoever else does not see the log. */
const waiting = {
  'extract --url': ['extract', '--url', 'gs://bucket/backup'],
  'verify-backup --url': ['verify-backup', '--url', 'gs://bucket/before'],
  'put-file from a store': ['put-file', 'data', 'master', '/got', '-c', '-f', 'gs://bucket/key'],
  export: ['export', 'data', 'master', '/', 'gs://bucket/exported'],
} as const

describe.each(Object.entries(waiting))('%s', (_, args) => {
  test('says which object store is waited for, until that answers', async () => {
    await using server = await GcsServer.start()
    await using port = await UnsteadyPort.open(server.url)
    server.put('key', Buffer.from('value'))
    await using pachd = await TestPachd.start({
      clouds: { variables: { STORAGE_EMULATOR_HOST: port.url }, secretsDirectory: '/nowhere' },
    })
    await pachd.pfs.createRepo({ repo: { name: master.repo } })
    await commitFiles(pachd, master, { file: 'file' })
    const before = ['extract', '--url', 'gs://bucket/before']
    const options = { port: pachd.port, home: '/' }
    expect(await pachctlHere(before, options)).toMatchObject({ code: 0 })
    const clock = new SystemClock()
    const startedMs = clock.monotonicMs()
    port.trouble = () => (clock.monotonicMs() - startedMs < noticedMs ? 'lost request' : undefined)
    const { code, err } = await pachctlHere(args, options)
    expect(err.match(/^waiting for/gm)).toHaveLength(1)
    expect(err).toMatch(
      new RegExp(
        `^waiting for gs://bucket at ${port.url} for \\d+ s, and trying on: cannot read gs://bucket.* at ${port.url}: the connection broke: see that it is up`,
        'm',
      ),
    )
    expect(code).toBe(0)
    const log = pachd.log.join('')
    expect(log).toContain(`is asked again bucket=gs://bucket endpoint=${port.url}`)
    expect(log).toContain(`the object store answers bucket=gs://bucket endpoint=${port.url}`)
    expect((await pachd.admin.listStoreWaits({ bucket: 'gs://bucket' })).waits).toEqual([])
  })
})

test('what an earlier command has waited for is not said to be waited for', async () => {
  const clouds = {
    variables: { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' },
    secretsDirectory: '/nowhere',
  }
  await using pachd = await TestPachd.start({ clouds })
  await pachd.pfs.createRepo({ repo: { name: master.repo } })
  const options = { port: pachd.port, home: '/' }
  const put = async (endpoint: string): Promise<string> => {
    const url = `s3://bucket/key?endpoint=${endpoint}`
    return (await pachctlHere(['put-file', 'data', 'master', '/x', '-c', '-f', url], options)).err
  }
  const [one, other] = [await freePort(), await freePort()].map(
    (port) => `http://127.0.0.1:${port}`,
  )
  expect(await put(one ?? '')).toContain(`waiting for s3://bucket at ${one}`)
  const err = await put(other ?? '')
  expect(err).toContain(`waiting for s3://bucket at ${other}`)
  expect(err).not.toContain(one)
})
