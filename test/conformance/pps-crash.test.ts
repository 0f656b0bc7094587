import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { commitFiles } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, lastJobOf, outputOf } from '../harness/pipelines.ts'
import { TestClient } from '../harness/test-pachd.ts'

const datumCount = 24

test('a server that is killed again and again while a chain runs goes on where it was', async () => {
  await using directory = await TemporaryDirectory.create()
  const args = ['--root', directory.join('data'), '--address', '127.0.0.1:0']
  const files = Object.fromEntries(
    Array.from({ length: datumCount }, (_, at) => [`f${at}`, `${at}`]),
  )
  const repo = 'in'
  let [first, second, commit] = ['', '', '']
  {
    await using pachd = new ChildPachd(args)
    await using client = new TestClient(await pachd.ready)
    await client.pfs.createRepo({ repo: { name: repo } })
    const slow = 'sleep 0.1; cp $PFS/in/* $PFS/out'
    first = await freshPipeline(client, slow, atomOf(repo, '/*', 'in'))
    second = await freshPipeline(client, 'cat $PFS/up/* > $PFS/out/all', atomOf(first, '/', 'up'))
    commit = await commitFiles(client, { repo, branch: 'master' }, files)
    await pause(300)
  }
  for (const lifeMs of [250, 400, 600]) {
    await using pachd = new ChildPachd(args)
    await pachd.ready
    await pause(lifeMs)
  }
  await using pachd = new ChildPachd(args)
  await using client = new TestClient(await pachd.ready)
  await flush(client, repo, commit)
  const job = await lastJobOf(client, first)
  const { dataProcessed, dataSkipped, dataTotal, dataFailed } = job
  expect({ dataProcessed, dataSkipped, dataTotal, dataFailed }).toEqual({
    dataProcessed: BigInt(datumCount),
    dataSkipped: 0n,
    dataTotal: BigInt(datumCount),
    dataFailed: 0n,
  })
  expect(job.restart).toBeGreaterThanOrEqual(1n)
  const expected = Object.fromEntries(
    Object.entries(files).map(([name, text]) => [`/${name}`, text]),
  )
  expect(await outputOf(client, first)).toEqual(expected)
  const joined = Object.keys(files)
    .toSorted()
    .map((name) => files[name])
    .join('')
  expect(await outputOf(client, second)).toEqual({ '/all': joined })
})
