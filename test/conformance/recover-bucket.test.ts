import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parseBucketPlace } from '../../src/server/bucket-place.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { commitFiles, fileOf, getText } from '../harness/files.ts'
import { GcsServer } from '../harness/gcs-server.ts'
import { TestPachd } from '../harness/test-pachd.ts'

test('metadata are recovered from a bucket only where it has a copy of them; else it stays as it was', async () => {
  await using directory = await TemporaryDirectory.create()
  await using gcs = await GcsServer.start()
  const [root, url] = [directory.join('data'), 'gs://bucket/packs']
  const environment = { STORAGE_EMULATOR_HOST: gcs.url }
  const packs = { bucket: parseBucketPlace(url) }
  const clouds = { variables: environment, secretsDirectory: '/nonexistent' }
  const start = async (metadataCopyMinutes: number): Promise<TestPachd> =>
    await TestPachd.start({ root, packs, clouds, metadataCopyMinutes })
  const recover = async (...args: readonly string[]) => {
    await rm(`${root}/metadata.db`)
    await using pachd = new ChildPachd(['--root', root, '--recover-metadata', ...args], {
      environment,
    })
    return await pachd.exit
  }
  const state = async (): Promise<readonly string[]> => [
    Buffer.from(gcs.get('packs/.owner') ?? []).toString(),
    await readFile(`${root}/bucket`, 'utf8'),
  ]
  {
    await using pachd = await start(0)
    await pachd.pfs.createRepo({ repo: { name: 'data' } })
    await commitFiles(pachd, { repo: 'data', branch: 'master' }, { file: 'kept' })
  }
  const before = await state()
  expect(before[0]).toMatch(/^pachyderm-ts bucket 1\n/)
  const metadata = await readFile(`${root}/metadata.db`)
  for (const args of [[], ['--store', url, '--take-bucket']]) {
    const refused = await recover(...args)
    expect(refused).toMatchObject({ code: 1, out: '' })
    expect(refused.err).toContain(`${url} holds no copy of the metadata`)
    expect(await state()).toEqual(before)
    await writeFile(`${root}/metadata.db`, metadata)
  }
  {
    await using _ = await start(0.001)
    await expect
      .poll(() => gcs.names().some((name) => name.startsWith('packs/snapshots/')))
      .toBe(true)
  }
  const recovered = await recover()
  expect(recovered.code).toBe(0)
  expect(recovered.out).toContain('what was changed since then is lost')
  expect(await readdir(root)).toContain('metadata.db')
  await using pachd = await start(0)
  expect(await getText(pachd, fileOf('data', 'master', 'file'))).toBe('kept')
})
