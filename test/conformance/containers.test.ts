import { writeFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SystemClock } from '../../src/base/clock.ts'
import { JobState } from '../../src/gen/pps_pb.ts'
import type { ExecutorsConfig } from '../../src/server/executors-config.ts'
import { canHavePodman, PodmanEngine } from '../../src/testing/podman-engine.ts'
import { processesWith } from '../../src/testing/process-fixture.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { busyboxImage } from '../../src/testing/test-images.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { freePort } from '../harness/child-program.ts'
import { freshName } from '../harness/expectations.ts'
import { commitFiles } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, lastJobOf, outputOf } from '../harness/pipelines.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { mountSmallDisk } from '../harness/small-disk.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'
import { leaveOut } from '../../src/testing/left-out.ts'

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

async function specOf(directory: TemporaryDirectory, spec: object): Promise<string> {
  const path = directory.join('spec.json')
  await writeFile(path, JSON.stringify(spec))
  return path
}

/** Undefined while there is no such file, or no output at all. */
async function textAt(
  client: TestClient,
  pipeline: string,
  path: string,
): Promise<string | undefined> {
  const output = await outputOf(client, pipeline).catch(() => undefined)
  return output?.[path]
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
    return {
      choice: 'auto',
      sandbox: 'auto',
      engineSockets,
      enginePlaces: engineSockets,
      network: 'host',
      pullPolicy: 'IfNotPresent',
      ...more,
    }
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
    const { symptoms } = await pachd.admin.diagnose({})
    expect(symptoms.find(({ subject }) => subject === 'container engine')?.text).toMatch(
      /^Podman 4.* starts containers$/,
    )
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

  test('lazy inputs are pipes there, too, and links to them are stored unread', async () => {
    await using pachd = await TestPachd.start({ executors: executors() })
    const repo = freshName('repo')
    await pachd.pfs.createRepo({ repo: { name: repo } })
    const files = { f: 'read', g: 'linked to', h: 'left' }
    const commit = await commitFiles(pachd, { repo, branch: 'master' }, files)
    const script =
      '[ -p /pfs/in/f ] && [ ! -s /pfs/in/h ]; cat /pfs/in/f /pfs/in/f >/pfs/out/f; ' +
      'ln -s /pfs/in/g /pfs/out/g'
    const transform = { image, cmd: ['sh', '-ec', script] }
    const input = { atom: { repo, glob: '/', name: 'in', lazy: true } }
    const name = await freshPipeline(pachd, transform, input)
    await flush(pachd, repo, commit)
    expect(await outputOf(pachd, name)).toEqual({ '/f': 'readread', '/g': 'linked to' })
    const { stats } = await lastJobOf(pachd, name)
    expect([stats?.downloadBytes, stats?.uploadBytes]).toEqual([8n, 8n])
  })

  test('a service in a container serves the newest commit', async () => {
    await using pachd = await TestPachd.start({ executors: executors() })
    const [repo] = await filledRepo(pachd)
    const service = { internalPort: await freePort(), externalPort: await freePort() }
    const script = 'exec httpd -f -p "127.0.0.1:$PPS_SERVICE_PORT" -h /pfs/in'
    const transform = { image, cmd: ['sh', '-c', script] }
    const name = await freshPipeline(pachd, transform, atomOf(repo, '/', 'in'), { service })
    const served = async (path: string): Promise<string> => {
      const url = `http://127.0.0.1:${service.externalPort}/${path}`
      const response = await fetch(url, { headers: { connection: 'close' } }).catch(() => undefined)
      return response?.ok === true ? await response.text().catch(() => '') : ''
    }
    await until(async () => (await served('f')) === 'text')
    await commitFiles(pachd, { repo, branch: 'master' }, { g: 'more' })
    await until(async () => (await served('g')) === 'more')
    expect(await served('f')).toBe('text')
    await pachd.pps.stopPipeline({ pipeline: { name } })
    await until(async () => (await served('f')) === '')
    await until(async () => (await containers()).length === 0)
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

  describe('pachctl --build', () => {
    test('builds an image of a folder with a Dockerfile, and another when it changes', async () => {
      await using pachd = await TestPachd.start({ executors: executors() })
      await using directory = await TemporaryDirectory.create()
      const [repo] = await filledRepo(pachd)
      const name = freshName('built')
      const transform = { cmd: ['tool'] }
      const spec = { pipeline: { name }, transform, input: { atom: { repo, glob: '/*' } } }
      const file = await specOf(directory, spec)
      const folder = directory.join('code')
      await mkdir(folder)
      await writeFile(`${folder}/Dockerfile`, `FROM ${image}\nCOPY tool /bin/tool\n`)
      const images: string[] = []
      for (const command of ['create-pipeline', 'update-pipeline', 'update-pipeline']) {
        const text = images.length < 2 ? 'one' : 'two'
        const script = `#!/bin/sh\nset -e\ncp /pfs/${repo}/* /pfs/out/${text}\n`
        await writeFile(`${folder}/tool`, script, { mode: 0o755 })
        const flags = command === 'update-pipeline' ? ['--reprocess'] : []
        const args = [command, '-f', file, '--build', folder, ...flags]
        const ran = await pachctlHere(args, { port: pachd.port, home: directory.path })
        expect(ran).toMatchObject({ code: 0, out: '' })
        await until(async () => (await textAt(pachd, name, `/${text}`)) === 'text')
        const info = await pachd.pps.inspectPipeline({ pipeline: { name } })
        images.push(info.transform?.image ?? '')
        expect(ran.err).toContain(`Built ${images.at(-1)}\n`)
      }
      expect(images[0]).toMatch(/^localhost\/pachyderm-build\/built[-0-9a-z]*:[0-9a-f]{16}$/)
      expect(images[1]).toBe(images[0])
      expect(images[2]).not.toBe(images[1])
      await writeFile(`${folder}/Dockerfile`, `FROM ${image}\nRUN echo half way; false\n`)
      const args = ['update-pipeline', '-f', file, '--build', folder]
      const ran = await pachctlHere(args, { port: pachd.port, home: directory.path })
      expect(ran.code).toBe(1)
      expect(ran.err).toMatch(/could not be built: .*RUN echo half way; false[^]*half way/)
      const info = await pachd.pps.inspectPipeline({ pipeline: { name } })
      expect([info.version, info.transform?.image]).toEqual([3n, images[2]])
      const again = ['create-pipeline', '-f', file, '--build', folder]
      expect(await pachctlHere(again, { port: pachd.port, home: directory.path })).toMatchObject({
        code: 1,
        err: expect.stringContaining(`pipeline ${name} already exists`),
      })
      await pachd.pps.deletePipeline({ pipeline: { name } })
      const missing = await pachctlHere(args, { port: pachd.port, home: directory.path })
      expect(missing.code).toBe(1)
      expect(missing.err).toContain(`pipeline ${name} does not exist`)
      // Nothing was built for them: the Dockerfile is wrong.
      expect(missing.err).not.toContain('half way')
    })

    test.each([
      ['container', /^localhost\/pachyderm-build\//],
      ['process', /^ubuntu:16.04$/],
    ] as const)('runs a folder of code alone by a %s', async (choice, expected) => {
      await using pachd = await TestPachd.start({ executors: executors({ choice }) })
      await using directory = await TemporaryDirectory.create()
      await engine.makeImage('docker.io/library/debian:12-slim', busyboxImage)
      const [repo, commit] = await filledRepo(pachd)
      const name = freshName('alone')
      const file = await specOf(directory, {
        pipeline: { name },
        input: { atom: { repo, glob: '/*' } },
      })
      const folder = directory.join('code')
      await mkdir(folder)
      await writeFile(`${folder}/main.sh`, `cat "$PFS"/${repo}/* >"$PFS/out/all"\n`)
      const args = ['create-pipeline', '-f', file, '--build', folder]
      const ran = await pachctlHere(args, { port: pachd.port, home: directory.path })
      expect(ran.code).toBe(0)
      expect(ran.err).toContain(`${folder} has no Dockerfile, and is built as shell\n`)
      await flush(pachd, repo, commit)
      expect(await outputOf(pachd, name)).toEqual({ '/all': 'text' })
      const info = await pachd.pps.inspectPipeline({ pipeline: { name } })
      expect(info.transform?.image).toMatch(expected)
      expect(info.runsIn.split(' ')[0]).toBe(choice)
    })
  })

  test('who takes the last files of the disk is ended, and a lack of them is told as what it is', async (context) => {
    await using directory = await TemporaryDirectory.create()
    const disk = directory.join('disk')
    await using mounted = await mountSmallDisk(disk, 64, 2000)
    if (mounted === undefined) leaveOut(context, 'no disk may be mounted here')
    await using pachd = await TestPachd.start({
      root: `${disk}/data`,
      executors: executors(),
    })
    const [repo] = await filledRepo(pachd)
    const script = 'cd /pfs/out; seq 100000 | xargs touch; sleep 1000'
    const transform = { image, cmd: ['sh', '-c', script] }
    const pipeline = await freshPipeline(pachd, transform, atomOf(repo, '/*', 'in'))
    await until(async () => (await lastJobOf(pachd, pipeline)).state === JobState.JOB_FAILURE)
    expect((await lastJobOf(pachd, pipeline)).reason).toMatch(
      /user code was ended: it had \d+ files, in .* can hold only \d+ more, however small/,
    )
    await pachd.pps.deletePipeline({ pipeline: { name: pipeline } })
    const refusal = Promise.resolve().then(() => {
      for (let count = 0; ; count += 1) writeFileSync(`${disk}/${count}`, '')
    })
    await expect(refusal).rejects.toThrow('ENOSPC')
    const large = { f: 'x'.repeat(1_000_000) }
    await expect(commitFiles(pachd, { repo, branch: 'master' }, large)).rejects.toThrow(
      'can hold no more files, however small',
    )
    const { symptoms } = await pachd.admin.diagnose({})
    const textOf = (subject: string): string =>
      symptoms
        .filter((symptom) => symptom.subject === subject)
        .map(({ text }) => text)
        .join()
    expect(textOf('disk')).toContain('can hold only 0 more files')
    expect(textOf('container engine')).toContain('can hold no more files')
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
