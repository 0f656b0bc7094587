import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { listenAt } from '../../src/testing/unix-listener.ts'
import { freshRepo } from '../harness/expectations.ts'
import { commitFiles } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, outputOf } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

test('code that runs as a process finds no socket where an engine may listen', async () => {
  // Below the checkout: what is below /tmp is out of sight for user code anyway.
  const shown = mkdtempSync(join(resolve('node_modules'), '.pachyderm-engine-'))
  await using held = new AsyncDisposableStack()
  held.defer(() => rmSync(shown, { recursive: true, force: true }))
  for (const name of ['first', 'engine']) mkdirSync(join(shown, name))
  // Elsewhere than the kernel was told: only the configuration knows of it.
  held.use(await listenAt(join(shown, 'first/s')))
  const place = join(shown, 'engine/s')
  renameSync(join(shown, 'first/s'), place)
  const pachd = held.use(
    await TestPachd.start({
      executors: {
        choice: 'auto',
        sandbox: 'auto',
        engineSockets: [],
        enginePlaces: [place],
        network: 'host',
        pullPolicy: 'Never',
      },
    }),
  )
  const repo = await freshRepo(pachd)
  const commit = await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
  const script = `[ -d '${shown}/engine' ] && ls -A '${shown}/engine' >"$PFS/out/found"`
  const pipeline = await freshPipeline(pachd, script, atomOf(repo, '/'))
  await flush(pachd, repo, commit)
  expect(await outputOf(pachd, pipeline)).toEqual({ '/found': '' })
})
