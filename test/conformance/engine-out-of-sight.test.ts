import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { canHavePodman, PodmanEngine } from '../../src/testing/podman-engine.ts'
import { busyboxImage } from '../../src/testing/test-images.ts'
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

test.skipIf(!canHavePodman())(
  'code that runs as a process finds nothing of what code in containers writes',
  async () => {
    const shown = mkdtempSync(join(resolve('node_modules'), '.pachyderm-graph-'))
    await using held = new AsyncDisposableStack()
    held.defer(() => rmSync(shown, { recursive: true, force: true }))
    const graph = join(shown, 'graph')
    const engine = held.use(await PodmanEngine.start(graph))
    const image = 'localhost/busybox:test'
    await engine.makeImage(image, busyboxImage)
    const engineSockets = [engine.socketPath]
    const pachd = held.use(
      await TestPachd.start({
        executors: {
          choice: 'auto',
          sandbox: 'auto',
          engineSockets,
          enginePlaces: engineSockets,
          network: 'host',
          pullPolicy: 'Never',
        },
      }),
    )
    const repo = await freshRepo(pachd)
    const inContainer = { image, cmd: ['sh', '-c', 'cp /pfs/in/a /private; cp /private /pfs/out'] }
    const written = await freshPipeline(pachd, inContainer, atomOf(repo, '/', 'in'))
    const script = `cd '${graph}' && find . -mindepth 1 >"$PFS/out/found"`
    const spy = await freshPipeline(pachd, script, atomOf(repo, '/'))
    await flush(pachd, repo, await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' }))
    expect(await outputOf(pachd, written)).toEqual({ '/private': '1' })
    expect(await outputOf(pachd, spy)).toEqual({ '/found': '' })
  },
)
