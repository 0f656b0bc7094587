import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { freshName, freshRepo } from '../harness/expectations.ts'
import { commitFiles } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { atomOf, flush, jobsOf } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

test('list-job and stats count datums that err_cmd let go', async () => {
  await using pachd = await TestPachd.start()
  await using home = await TemporaryDirectory.create()
  const [repo, name] = [await freshRepo(pachd), freshName('lenient')]
  const code = 'cd ${PFS:-/pfs}/in; ! grep -q bad * && cp * ../out/'
  await pachd.pps.createPipeline({
    pipeline: { name },
    transform: { cmd: ['sh', '-c', code], errCmd: ['true'] },
    datumTries: 1n,
    input: atomOf(repo, '/*', 'in'),
  })
  const commit = await commitFiles(pachd, { repo, branch: 'master' }, { a: 'good', b: 'bad' })
  await flush(pachd, repo, commit)
  const pachctl = async (...args: readonly string[]): Promise<string> =>
    (await pachctlHere(args, { port: pachd.port, home: home.path })).out
  expect(await pachctl('list-job', '-p', name)).toContain(' 1 + 0 / 2 (1 recovered) ')
  const counts = 'Datums: 1 processed, 0 skipped, 0 failed, 1 recovered\n'
  const [job] = await jobsOf(pachd, name)
  expect(await pachctl('stats', '--job', job?.job?.id ?? '')).toContain(counts)
  expect(await pachctl('stats', '--pipeline', name)).toContain(counts)
})
