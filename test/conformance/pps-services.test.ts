import { connect, createServer, type Server } from 'node:net'
import { dirname } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { JobState } from '../../src/gen/pps_pb.ts'
import { SeenPrograms } from '../../src/testing/seen-programs.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { freePort } from '../harness/child-program.ts'
import { freshName, freshRepo, refused } from '../harness/expectations.ts'
import { commitFiles, commitOf, fileOf, putFile } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { atomOf, flush, type InputInit, jobsOf } from '../harness/pipelines.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'

const programs = SeenPrograms.make()
const programPath = dirname(programs.node)
afterAll(() => programs[Symbol.dispose]())

const patience = { timeout: 60_000, interval: 20 }
const master = (repo: string) => ({ repo, branch: 'master' })

/** Opens a port of this machine; 0 picks a free one. */
async function listen(port: number): Promise<Server> {
  const server = createServer((socket) => socket.end('of the test'))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  return server
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => void server.close(() => resolve()))
}

/** Answers a line: the name of a file below /pfs with its text; `exit` ends the program. */
const program = `
  const { existsSync, readFileSync } = require('fs')
  const server = require('net').createServer({ allowHalfOpen: true }, (socket) => {
    let asked = ''
    socket.on('data', (bytes) => (asked += bytes))
    socket.on('end', () => {
      if (asked === 'exit') process.exit(4)
      const path = (process.env.PFS || '/pfs') + '/' + asked
      socket.end(existsSync(path) ? readFileSync(path) : asked === 'env' ? JSON.stringify(process.env) : 'nothing')
    })
    socket.on('error', () => {})
  })
  console.log('began')
  server.listen(Number(process.env.PPS_SERVICE_PORT), '127.0.0.1')
`

/** What the service says; undefined when nobody answers. */
async function ask(port: number, text: string): Promise<string | undefined> {
  return await new Promise((resolve) => {
    let answer = ''
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true }, () => socket.end(text))
    socket.on('data', (bytes) => (answer += bytes.toString()))
    socket.on('error', () => resolve(undefined))
    socket.on('close', () => resolve(answer === '' ? undefined : answer))
  })
}

/** Waits until the service says so. */
async function until(port: number, text: string, answer: string | undefined): Promise<void> {
  await vi.waitFor(async () => expect(await ask(port, text)).toBe(answer), patience)
}

interface Ports {
  readonly internalPort: number
  readonly externalPort: number
}

async function freshPorts(): Promise<Ports> {
  return { internalPort: await freePort(), externalPort: await freePort() }
}

async function freshService(
  { pps }: Pick<TestClient, 'pps'>,
  service: Ports,
  input: InputInit,
  more: object = {},
): Promise<string> {
  const pipeline = { name: freshName('service') }
  const transform = { cmd: ['node', '-e', program] }
  await pps.createPipeline({ pipeline, transform, input, service, ...more })
  return pipeline.name
}

describe('a service', () => {
  let pachd: TestPachd
  beforeAll(async () => {
    pachd = await TestPachd.start({ programPath })
  })
  afterAll(async () => {
    await pachd[Symbol.asyncDispose]()
  })

  test('serves the newest commit at its port, whatever came before', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, master(repo), { a: 'one' })
    await commitFiles(pachd, master(repo), { b: 'two' })
    const service = await freshPorts()
    const name = await freshService(pachd, service, atomOf(repo, '/', 'in'))
    await until(service.externalPort, 'in/b', 'two')
    expect(await ask(service.internalPort, 'in/a')).toBe('one')
    const third = await commitFiles(pachd, master(repo), { c: 'three' })
    await flush(pachd, repo, third)
    await until(service.externalPort, 'in/c', 'three')
    const environment = JSON.parse((await ask(service.externalPort, 'env')) ?? '') as object
    const [job, ...older] = await jobsOf(pachd, name)
    expect(environment).toMatchObject({ in_COMMIT: third, PACH_JOB_ID: job?.job?.id })
    expect(job).toMatchObject({ state: JobState.JOB_RUNNING, service })
    expect(job?.outputCommit).toBeUndefined()
    for (const each of older) {
      const reason = expect.stringMatching(/^replaced by job .*, which serves what came later$/)
      expect(each).toMatchObject({ state: JobState.JOB_KILLED, reason: reason as string })
    }
    const info = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect(info).toMatchObject({ service })
    // The branch goes back, and the service with it; a flush waits for that, too.
    await pachd.pfs.setBranch({ commit: commitOf(repo, `${third}^`), branch: 'master' })
    await flush(pachd, repo, 'master')
    await until(service.externalPort, 'in/c', 'nothing')
    expect(await ask(service.externalPort, 'in/b')).toBe('two')
    await pachd.pfs.setBranch({ commit: commitOf(repo, third), branch: 'master' })
    await until(service.externalPort, 'in/c', 'three')
    // An older one, because somebody asks for it.
    await pachd.pps.createJob({
      pipeline: { name },
      inputs: [{ commit: commitOf(repo, `${third}^`) }],
    })
    await until(service.externalPort, 'in/c', 'nothing')
    expect(await ask(service.externalPort, 'in/b')).toBe('two')
    await pachd.pps.deletePipeline({ pipeline: { name } })
    await until(service.externalPort, 'in/b', undefined)
    expect(await ask(service.internalPort, 'in/b')).toBeUndefined()
  })

  test('shows all that its inputs match, each file once', async () => {
    const [left, right] = [await freshRepo(pachd), await freshRepo(pachd)]
    await commitFiles(pachd, master(left), { 'd/a': 'a', 'd/b': 'b' })
    await commitFiles(pachd, master(right), { x: 'x', y: 'y', z: 'z' })
    const service = await freshPorts()
    const deep = { union: [atomOf(left, '/d', 'l'), atomOf(left, '/d/*', 'l')] }
    const name = await freshService(pachd, service, { cross: [deep, atomOf(right, '/[xy]', 'r')] })
    await until(service.externalPort, 'l/d/a', 'a')
    const shown = ['l/d/b', 'r/x', 'r/y', 'r/z'].map((path) => ask(service.externalPort, path))
    expect(await Promise.all(shown)).toEqual(['b', 'x', 'y', 'nothing'])
    await pachd.pps.deletePipeline({ pipeline: { name } })
  })

  test('is started again when it ends, and says why', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, master(repo), { a: 'one' })
    const service = await freshPorts()
    const name = await freshService(pachd, service, atomOf(repo, '/', 'in'))
    await until(service.externalPort, 'in/a', 'one')
    await ask(service.externalPort, 'exit')
    await vi.waitFor(async () => {
      const [job] = await jobsOf(pachd, name)
      expect(job?.reason).toBe('user code ended with exit code 4; it is started again after 1 s')
    }, patience)
    await until(service.externalPort, 'in/a', 'one')
    const [job] = await jobsOf(pachd, name)
    expect(job).toMatchObject({ state: JobState.JOB_RUNNING, reason: '' })
    const lines: string[] = []
    for await (const { message } of pachd.pps.getLogs({ job: job?.job ?? {} })) lines.push(message)
    expect(lines.join('')).toMatch(
      /^began\n\(run 1 ended: user code ended with exit code 4.*\nbegan\n$/,
    )
    await pachd.pps.deletePipeline({ pipeline: { name } })
  })

  test('waits for a port that is taken, and says so', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, master(repo), { a: 'one' })
    const service = await freshPorts()
    const other = await listen(service.externalPort)
    const name = await freshService(pachd, service, atomOf(repo, '/', 'in'))
    await vi.waitFor(async () => {
      expect((await jobsOf(pachd, name))[0]?.reason).toMatch(
        /cannot listen on .*another program does/,
      )
    }, patience)
    await close(other)
    await until(service.externalPort, 'in/a', 'one')
    await pachd.pps.deletePipeline({ pipeline: { name } })
  })

  test('is stopped, started and updated as other pipelines are, and shown with its address', async () => {
    await using home = await TemporaryDirectory.create()
    const pachctl = (...args: readonly string[]) =>
      pachctlHere(args, { port: pachd.port, home: home.path })
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, master(repo), { a: 'one' })
    const service = await freshPorts()
    const name = await freshService(pachd, service, atomOf(repo, '/', 'in'))
    await until(service.externalPort, 'in/a', 'one')
    expect((await pachctl('list-pipeline')).out).toMatch(
      new RegExp(`^${name} .* 127\\.0\\.0\\.1:${service.externalPort} .*running`, 'm'),
    )
    expect((await pachctl('inspect-pipeline', name)).out).toContain(
      `Service: 127.0.0.1:${service.externalPort} (port ${service.internalPort} of the code)\n`,
    )
    expect(JSON.parse((await pachctl('extract-pipeline', name)).out)).toMatchObject({
      service: { internal_port: service.internalPort, external_port: service.externalPort },
    })
    await pachd.pps.stopPipeline({ pipeline: { name } })
    await until(service.externalPort, 'in/a', undefined)
    expect(await ask(service.internalPort, 'in/a')).toBeUndefined()
    // Meanwhile others come, and only the last is served.
    for (const text of ['two', 'three']) await commitFiles(pachd, master(repo), { [text]: text })
    await pachd.pps.startPipeline({ pipeline: { name } })
    await until(service.externalPort, 'in/three', 'three')
    const elsewhere = { internalPort: service.internalPort, externalPort: 0 }
    const transform = { cmd: ['node', '-e', program], env: { VERSION: '2' } }
    const spec = { pipeline: { name }, transform, input: atomOf(repo, '/', 'in') }
    await pachd.pps.createPipeline({ ...spec, service: elsewhere, update: true })
    await vi.waitFor(async () => {
      expect(await ask(service.internalPort, 'env')).toContain('"VERSION":"2"')
    }, patience)
    expect(await ask(service.externalPort, 'in/a')).toBeUndefined()
    await pachd.pps.deletePipeline({ pipeline: { name } })
  })

  test('finds its secrets', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, master(repo), { a: 'one' })
    const secret = freshName('secret')
    await pachd.secrets.createSecret({
      name: secret,
      entries: [{ name: 'k', value: new Uint8Array([104, 105]) }],
    })
    const service = await freshPorts()
    const secrets = [{ name: secret, key: 'k', envVar: 'HIDDEN' }]
    const transform = { cmd: ['node', '-e', program], secrets }
    const name = await freshService(pachd, service, atomOf(repo, '/', 'in'), { transform })
    await until(service.externalPort, 'in/a', 'one')
    expect(await ask(service.externalPort, 'env')).toContain('"HIDDEN":"hi"')
    await pachd.pps.deletePipeline({ pipeline: { name } })
  })

  test.each([
    [{ service: { internalPort: 0 } }, 'service.internal_port 0 must be a port'],
    [
      { service: { internalPort: 80, externalPort: 65_536 } },
      'service.external_port 65536 must be',
    ],
    [{ egress: { URL: 's3://bucket/a' } }, 'egress is about datums and jobs that end'],
    [{ datumTimeout: { seconds: 1n } }, "a service's code runs for ever"],
    [{ enableStats: true }, 'enable_stats has no meaning for a service'],
    [{ incremental: true }, 'incremental has no meaning for a service'],
    [{ parallelismSpec: { constant: 2n } }, 'parallelism_spec of more than 1 has no meaning'],
  ])('is refused that makes no sense: %#', async (more, text) => {
    const input = atomOf(await freshRepo(pachd), '/')
    const making = freshService(pachd, { internalPort: 80, externalPort: 0 }, input, more)
    await expect(making).rejects.toEqual(refused('invalid-argument', text))
  })

  test('has a port of its own', async () => {
    const repo = await freshRepo(pachd)
    const service = await freshPorts()
    const name = await freshService(pachd, service, atomOf(repo, '/'))
    const again = { ...service, internalPort: await freePort() }
    await expect(freshService(pachd, again, atomOf(repo, '/'))).rejects.toEqual(
      refused(
        'already-exists',
        `external_port ${service.externalPort} is service.external_port of pipeline ${name}`,
      ),
    )
    const [external, internal] = [await freePort(), await freePort()]
    const others = [
      [
        { ...service, externalPort: external },
        `internal_port ${service.internalPort} is service.internal_port`,
      ],
      [
        { internalPort: service.externalPort, externalPort: external },
        `internal_port ${service.externalPort} is service.external_port`,
      ],
    ] as const
    for (const [ports, text] of others) {
      await expect(freshService(pachd, ports, atomOf(repo, '/'))).rejects.toEqual(
        refused('already-exists', `${text} of pipeline ${name}, and both are ports of one machine`),
      )
    }
    const own = { internalPort: internal, externalPort: pachd.port }
    await expect(freshService(pachd, own, atomOf(repo, '/'))).rejects.toEqual(
      refused('invalid-argument', `external_port ${pachd.port} is a port of pachd itself`),
    )
    await pachd.pps.deletePipeline({ pipeline: { name } })
    const other = await freshService(pachd, again, atomOf(repo, '/'))
    await pachd.pps.deletePipeline({ pipeline: { name: other } })
  })
})

test('a service whose server is killed ends with it, and goes on with the next', async () => {
  await using directory = await TemporaryDirectory.create()
  const args = ['--root', directory.join('data'), '--address', '127.0.0.1:0']
  const start = () => new ChildPachd([...args, '--program-path', programPath])
  const service = await freshPorts()
  const repo = freshName('repo')
  {
    await using server = start()
    await using client = new TestClient(await server.ready)
    await client.pfs.createRepo({ repo: { name: repo } })
    await commitFiles(client, master(repo), { a: 'one' })
    await freshService(client, service, atomOf(repo, '/', 'in'))
    await until(service.externalPort, 'in/a', 'one')
    server.signal('SIGKILL')
    await server.exit
    await until(service.internalPort, 'in/a', undefined)
    expect(await ask(service.externalPort, 'in/a')).toBeUndefined()
  }
  await using server = start()
  await using client = new TestClient(await server.ready)
  await until(service.externalPort, 'in/a', 'one')
  const commit = await client.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  await putFile(client, fileOf(repo, commit.id, 'b'), 'two')
  await client.pfs.finishCommit({ commit: commitOf(repo, commit.id) })
  await until(service.externalPort, 'in/b', 'two')
})
