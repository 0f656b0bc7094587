import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor } from '../harness/child-pachd.ts'
import { commitFiles } from '../harness/files.ts'
import { GcsServer } from '../harness/gcs-server.ts'
import { atomOf, flush, freshPipeline } from '../harness/pipelines.ts'
import { TestClient } from '../harness/test-pachd.ts'

const master = { repo: 'in', branch: 'master' }
const names = Array.from({ length: 200 }, (_, index) => `f${index}`)

function textOf(store: GcsServer, name: string): string {
  return Buffer.from(store.get(`x/${name}`) ?? []).toString()
}

test('an export that a kill interrupts goes on with what has changed, and so does the next job', async () => {
  await using store = await GcsServer.start()
  await using directory = await TemporaryDirectory.create()
  const environment = { STORAGE_EMULATOR_HOST: store.url }
  const open = (): ChildPachd => new ChildPachd(oneDoor(directory.join('data')), { environment })
  let commit = ''
  {
    await using pachd = open()
    await using client = new TestClient(await pachd.ready)
    await client.pfs.createRepo({ repo: { name: 'in' } })
    const egress = { URL: 'gs://bucket/x' }
    await freshPipeline(client, 'cp $PFS/in/* $PFS/out', atomOf('in', '/', 'in'), { egress })
    const files = Object.fromEntries(names.map((name) => [name, name]))
    await flush(client, 'in', await commitFiles(client, master, files))
    expect(store.names()).toHaveLength(names.length)
    expect(store.requests, 'a list, and two requests for each file').toHaveLength(401)
    store.held = 'x/f7'
    commit = await commitFiles(client, master, { f3: ' and more', f7: ' and more' })
    await expect.poll(() => textOf(store, 'f3')).toBe('f3 and more')
    await expect.poll(() => store.requests.filter((each) => each === 'PUT ')).toHaveLength(202)
  }
  store.held = undefined
  store.requests.length = 0
  await using pachd = open()
  await using client = new TestClient(await pachd.ready)
  await flush(client, 'in', commit)
  expect(textOf(store, 'f7')).toBe('f7 and more')
  expect(store.requests).toEqual(['GET ', 'GET x/f3', 'GET x/f7', 'POST ', 'PUT '])
  store.requests.length = 0
  await flush(client, 'in', await commitFiles(client, master, { new: 'new' }))
  expect(store.requests).toEqual(['GET ', 'GET x/new', 'POST ', 'PUT '])
})
