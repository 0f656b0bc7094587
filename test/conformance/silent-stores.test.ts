import { expect, test } from 'vitest'
import { SystemClock } from '../../src/base/clock.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor } from '../harness/child-pachd.ts'
import { freePort } from '../harness/child-program.ts'
import { GcsServer } from '../harness/gcs-server.ts'
import { UnsteadyPort } from '../harness/unsteady-port.ts'

const environment = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' }
/** A notice comes after three seconds. */
const noticedMs = 6000

/** At the end of a test it says nothing more. */
async function openSilent(opened: AsyncDisposableStack): Promise<string> {
  const server = opened.use(await GcsServer.start())
  const port = opened.use(await UnsteadyPort.open(server.url))
  port.trouble = () => 'no answer'
  return port.url
}

test('a start that waits for a bucket says for which, and can be stopped', async () => {
  await using opened = new AsyncDisposableStack()
  const endpoint = await openSilent(opened)
  const root = opened.use(await TemporaryDirectory.create()).join('data')
  const store = ['--store', `s3://bucket/packs?endpoint=${endpoint}`]
  await using pachd = new ChildPachd([...oneDoor(root), ...store], { environment })
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
  const endpoint = await openSilent(opened)
  const root = opened.use(await TemporaryDirectory.create()).join('data')
  const store = ['--store', `s3://bucket/packs?endpoint=${endpoint}`, '--take-bucket']
  await using pachd = new ChildPachd(['--root', root, ...store, '--recover-metadata'], {
    environment,
  })
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
