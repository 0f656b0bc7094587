import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SystemClock } from '../../src/base/clock.ts'
import { JobState } from '../../src/gen/pps_pb.ts'
import type { ExecutorsConfig } from '../../src/server/executors-config.ts'
import { canHavePodman, PodmanEngine } from '../../src/testing/podman-engine.ts'
import { processesWith } from '../../src/testing/process-fixture.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { busyboxImage } from '../../src/testing/test-images.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { freshName } from '../harness/expectations.ts'
import { commitFiles } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, lastJobOf, outputOf } from '../harness/pipelines.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'

const clock = new SystemClock()
const image = 'localhost/busybox:test'

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await clock.sleep(10)
}

/** A repo with a file, made before any pipeline reads it. */
async function filledRepo(client: TestClient): Promise<readonly [string, string]> {
  const repo = freshName('repo')
  await client.pfs.createRepo({ repo: { name: repo } })
  return [repo, await commitFiles(client, { repo, branch: 'master' }, { f: 'text' })]
}

describe.skipIf(!canHavePodman())('pipelines in containers', () => {
  let engine: PodmanEngine

  beforeAll(async () => {
    engine = await PodmanEngine.start()
    await engine.makeImage(image, busyboxImage)
  })

  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
  })

  function executors(more: Partial<ExecutorsConfig> = {}): ExecutorsConfig {
    const engineSockets = [engine.socketPath]
    return { choice: 'auto', engineSockets, network: 'host', pullPolicy: 'IfNotPresent', ...more }
  }

  async function containers(): Promise<readonly string[]> {
    return (await engine.podman('ps', '--all', '--quiet')).split('\n').filter(Boolean)
  }

  const inContainer = {
    image,
    cmd: ['sh', '-e'],
    stdin: ['[ -e /bin/busybox ] && [ ! -e /usr/bin/apt-get ]', 'cp /pfs/in/* /pfs/out/'],
  }

  test('one that names an image runs there, one that does not runs as a process', async () => {
    await using pachd = await TestPachd.start({ executors: executors() })
    const [repo, commit] = await filledRepo(pachd)
    const contained = await freshPipeline(pachd, inContainer, atomOf(repo, '/*', 'in'))
    const script = 'cp "$PFS"/in/* "$PFS"/out/; [ ! -e /.pachyderm/nonces ]'
    const bare = await freshPipeline(pachd, script, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, commit)
    expect(await outputOf(pachd, contained)).toEqual({ '/f': 'text' })
    expect(await outputOf(pachd, bare)).toEqual({ '/f': 'text' })
    const [one, other] = await Promise.all(
      [contained, bare].map((name) => pachd.pps.inspectPipeline({ pipeline: { name } })),
    )
    expect(one?.runsIn).toMatch(/^container \(Podman 4/)
    expect(one?.notices).toEqual([])
    expect(other?.runsIn).toBe('process')
    expect((await pachd.admin.inspectServer({})).executor).toBe('container')
  })

  test('a pipeline may ask for one, and a server decide for all', async () => {
    await using pachd = await TestPachd.start({ executors: executors() })
    const [repo, commit] = await filledRepo(pachd)
    const transform = { image, cmd: ['sh', '-c', 'cp "$PFS"/in/* "$PFS"/out/'] }
    const name = freshName('pipeline')
    const spec = { pipeline: { name }, transform, input: atomOf(repo, '/*', 'in') }
    await expect(pachd.pps.createPipeline({ ...spec, executor: 'vm' })).rejects.toThrow(
      'is none of process and container',
    )
    await pachd.pps.createPipeline({ ...spec, executor: 'process' })
    await flush(pachd, repo, commit)
    const info = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect([info.runsIn, info.executor]).toEqual(['process', 'process'])
    expect(info.notices[0]).toContain(`image ${image} is recorded`)
    await using strict = await TestPachd.start({ executors: executors({ choice: 'container' }) })
    const [strictRepo] = await filledRepo(strict)
    const input = atomOf(strictRepo, '/*', 'in')
    await strict.pps.createPipeline({ ...spec, input, executor: 'process' })
    await until(async () => {
      const { state } = await lastJobOf(strict, name)
      return state === JobState.JOB_FAILURE
    })
    expect((await lastJobOf(strict, name)).reason).toContain('this server has "container" for all')
  })

  test('without an engine, code runs as a process and a notice says why', async () => {
    const engineSockets = ['/nonexistent/engine.sock']
    await using pachd = await TestPachd.start({ executors: executors({ engineSockets }) })
    const [repo, commit] = await filledRepo(pachd)
    const transform = { image, cmd: ['sh', '-c', 'cp "$PFS"/in/* "$PFS"/out/'] }
    const name = await freshPipeline(pachd, transform, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, commit)
    expect(await outputOf(pachd, name)).toEqual({ '/f': 'text' })
    const info = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect(info.runsIn).toBe('process')
    expect(info.notices.join('\n')).toContain('start Docker or "podman system service"')
  })

  test('an image that cannot be had fails the job with the reason', async () => {
    await using pachd = await TestPachd.start({ executors: executors() })
    const [repo] = await filledRepo(pachd)
    const transform = { image: 'localhost/nonesuch', cmd: ['true'] }
    const name = await freshPipeline(pachd, transform, atomOf(repo, '/*', 'in'))
    await until(async () => {
      const { state } = await lastJobOf(pachd, name)
      return state === JobState.JOB_FAILURE
    })
    expect((await lastJobOf(pachd, name)).reason).toContain('has no image localhost/nonesuch')
  })

  test('after kill -9 no container is left, and the job goes on', async () => {
    await using directory = await TemporaryDirectory.create()
    const args = ['--root', directory.join('data'), '--address', '127.0.0.1:0']
    const environment = { PACHD_CONTAINER_ENGINE: engine.url }
    const seconds = `1000.${process.pid}`
    let [pipeline, repo, commit] = ['', '', '']
    {
      await using pachd = new ChildPachd(args, { environment })
      await using client = new TestClient(await pachd.ready)
      ;[repo, commit] = await filledRepo(client)
      // The first time it is there it waits for ever; what it writes down outlives its container.
      const script = `[ -e /mnt/again ] || sleep ${seconds}; cp /pfs/in/* /pfs/out/`
      const transform = { image, cmd: ['sh', '-c', script] }
      pipeline = await freshPipeline(client, transform, atomOf(repo, '/*', 'in'))
      await until(() => processesWith(`sleep\0${seconds}`).length === 1)
    }
    expect(await containers()).toHaveLength(1)
    await engine.makeImage(image, { script: `${busyboxImage.script}\nmkdir mnt\n: >mnt/again` })
    await using pachd = new ChildPachd(args, { environment })
    await using client = new TestClient(await pachd.ready)
    expect(processesWith(`sleep\0${seconds}`)).toEqual([])
    await flush(client, repo, commit)
    expect(await outputOf(client, pipeline)).toEqual({ '/f': 'text' })
  })

  test('an idle container ends with the server that is killed', async () => {
    await using directory = await TemporaryDirectory.create()
    const args = ['--root', directory.join('data'), '--address', '127.0.0.1:0']
    const environment = { PACHD_CONTAINER_ENGINE: engine.url }
    {
      await using pachd = new ChildPachd(args, { environment })
      await using client = new TestClient(await pachd.ready)
      const [repo, commit] = await filledRepo(client)
      await freshPipeline(client, inContainer, atomOf(repo, '/*', 'in'))
      await flush(client, repo, commit)
      expect(await containers()).toHaveLength(1)
    }
    await until(async () => (await containers()).length === 0)
  })
})
