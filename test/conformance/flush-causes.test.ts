import { expect, test } from 'vitest'
import { runPachctl } from '../../src/cli/pachctl.ts'
import { upgradeStore } from '../../src/server/store-upgrades.ts'
import { freshName, freshRepo } from '../harness/expectations.ts'
import { commitFiles } from '../harness/files.ts'
import { Collector } from '../harness/pachctl-here.ts'
import { atomOf } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

test('pachctl flush-commit says on standard error, once, that it waits for a stopped pipeline, and goes on', async () => {
  await using pachd = await TestPachd.start()
  const [repo, pipeline] = [await freshRepo(pachd), { name: freshName('flushed') }]
  const input = atomOf(repo, '/')
  await pachd.pps.createPipeline({ pipeline, transform: { cmd: ['true'] }, input })
  await pachd.pps.stopPipeline({ pipeline })
  await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
  const told = Promise.withResolvers<undefined>()
  const [out, err] = [new Collector(), new Collector(() => told.resolve(undefined))]
  const flushed = runPachctl(
    {
      argv: ['node', 'pachctl', 'flush-commit', `${repo}/master`],
      env: { ADDRESS: `127.0.0.1:${pachd.port}`, HOME: '/nowhere' },
      stdin: process.stdin,
      stdout: out,
      stderr: err,
    },
    { upgradeStore: () => Promise.resolve(upgradeStore) },
  )
  await told.promise
  await pachd.pps.startPipeline({ pipeline })
  expect(await flushed).toBe(0)
  const { name } = pipeline
  expect(err.text).toBe(
    `Notice: still waiting: pipeline ${name} is stopped: start-pipeline ${name} has it go on\n`,
  )
  expect(out.text).toContain(name)
})
