import { execFile } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { newHexId, SystemRandom } from '../../src/base/random.ts'
import { JobState } from '../../src/gen/pps_pb.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { failed, freshName, freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles } from '../harness/files.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import {
  atomOf,
  type CodeInit,
  flush,
  freshPipeline,
  lastJobOf,
  outputOf,
} from '../harness/pipelines.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'

const execute = promisify(execFile)

const random = new SystemRandom()
const master = (repo: string) => ({ repo, branch: 'master' })

/** A value that nothing else has. */
function freshValue(): string {
  return `hush-${newHexId(random)}`
}

function entriesOf(values: Readonly<Record<string, string>>) {
  return Object.entries(values).map(([name, text]) => ({ name, value: utf8(text) }))
}

async function freshSecret(
  { secrets }: TestPachd,
  values: Readonly<Record<string, string>>,
): Promise<string> {
  const name = freshName('secret')
  await secrets.createSecret({ name, entries: entriesOf(values) })
  return name
}

/** Code that says which of its values it finds, without saying them. */
function hashing(secret: string, more: object = {}): CodeInit {
  const script =
    'cd $PFS; sum() { sha256sum | cut -c1-64; }; ' +
    'for f in in/*; do (sum < /etc/made/keys/password; printf %s "$TOKEN" | sum) > out/${f#in/}; done'
  return {
    cmd: ['sh', '-e'],
    stdin: [script],
    secrets: [
      { name: secret, mountPath: '/etc/made/keys/' },
      { name: secret, key: 'token', envVar: 'TOKEN' },
    ],
    ...more,
  }
}

async function hashOf(text: string): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(text))).toString('hex')
}

/** Everything in files below a directory. */
async function bytesBelow(directory: string): Promise<string> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true })
  const files = entries.filter((entry) => entry.isFile())
  const texts = files.map((file) => readFile(join(file.parentPath, file.name), 'latin1'))
  return (await Promise.all(texts)).join('\n')
}

describe('secrets', () => {
  let pachd: TestPachd
  let home: TemporaryDirectory
  beforeAll(async () => {
    pachd = await TestPachd.start()
    home = await TemporaryDirectory.create()
  })
  afterAll(async () => {
    await pachd[Symbol.asyncDispose]()
    await home[Symbol.asyncDispose]()
  })

  const pachctl = (...args: readonly string[]) =>
    pachctlHere(args, { port: pachd.port, home: home.path })

  test('are made, listed, inspected, changed and deleted, and no value is ever shown', async () => {
    const [name, value] = [freshName('secret'), freshValue()]
    const file = home.join('password')
    await writeFile(file, value)
    expect(await pachctl('create-secret', name, `password=${file}`)).toMatchObject({ code: 0 })
    const twice = await pachctl('create-secret', name, `password=${file}`)
    expect(twice).toMatchObject({
      code: 1,
      err: expect.stringMatching(/already exists; use update-secret/),
    })
    expect((await pachctl('inspect-secret', name)).out).toMatch(/Entries: password\n/)
    const user = await freshPipeline(
      pachd,
      { cmd: ['true'], secrets: [{ name, mountPath: '/keys' }] },
      atomOf(await freshRepo(pachd), '/'),
    )
    expect((await pachctl('inspect-secret', name)).out).toContain(`Pipelines: ${user}\n`)
    await writeFile(file, `${value} anew`)
    expect(await pachctl('update-secret', name, `a=${file}`, `b=${file}`)).toMatchObject({
      code: 0,
    })
    expect((await pachctl('list-secret')).out).toMatch(new RegExp(`^${name} +2 `, 'm'))
    const info = await pachd.secrets.inspectSecret({ name })
    expect(info).toMatchObject({ name, entries: ['a', 'b'], pipelines: [user] })
    const pages = await collect(pachd.secrets.listSecrets({}))
    const shown = [
      await pachctl('inspect-secret', name, '--raw'),
      await pachctl('list-secret', '--raw'),
      await pachctl('inspect-pipeline', user, '--raw'),
      await pachctl('fsck', '--full'),
      JSON.stringify([info, pages], (_, each: unknown) =>
        typeof each === 'bigint' ? `${each}` : each,
      ),
    ]
    expect(JSON.stringify(shown)).not.toContain(value)
    expect(await bytesBelow(pachd.root)).not.toContain(value)
    expect(pachd.log.join('\n')).not.toContain(value)
    expect(await pachctl('delete-secret', name)).toMatchObject({ code: 0 })
    await expect(pachd.secrets.inspectSecret({ name })).rejects.toEqual(
      failed(Code.notFound, 'not-found', `secret ${name} not found`),
    )
  })

  test('are read from a Secret as Kubernetes has it', async () => {
    const name = freshName('secret')
    const manifest = home.join('secret.yaml')
    await writeFile(
      manifest,
      `apiVersion: v1\nkind: Secret\nmetadata: {name: ${name}}\ndata: {a: aGk=}\nstringData: {b: "1"}\n`,
    )
    expect(await pachctl('create-secret', '-f', manifest)).toMatchObject({ code: 0 })
    expect(await pachd.secrets.inspectSecret({ name })).toMatchObject({ entries: ['a', 'b'] })
    await writeFile(
      manifest,
      '{"kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "hush?"}}',
    )
    const refusal = await pachctl('create-secret', '-f', manifest)
    expect(refusal).toMatchObject({
      code: 1,
      err: expect.stringMatching(/"data.a" is not in base64/),
    })
    expect(refusal.err).not.toContain('hush')
  })

  test('are not taken from the command line, and what was typed there is not said again', async () => {
    for (const word of ['hush', 'password=', '=hush', 'password=hush']) {
      const run = await pachctl('create-secret', freshName('secret'), word)
      expect(run).toMatchObject({ code: 1, err: expect.stringMatching(/file|FILE/) })
      expect(run.err).not.toContain('hush')
    }
  })

  test('have bounds', async () => {
    const { secrets } = pachd
    const value = new Uint8Array(1024 * 1024)
    const name = freshName('secret')
    await secrets.createSecret({ name, entries: [{ name: 'a', value }] })
    const refusals: readonly (readonly [string, { name: string; value: Uint8Array }[], string])[] =
      [
        ['Upper', entriesOf({ a: '' }), 'is not the name of a secret'],
        ['x'.repeat(254), entriesOf({ a: '' }), 'is not the name of a secret'],
        ['x', [], 'has no entries'],
        ['x', entriesOf({ '../a': '' }), 'is not the name of an entry'],
        ['x', entriesOf({ '..': '' }), 'is not the name of an entry'],
        ['x', entriesOf({ '.': '' }), 'is not the name of an entry'],
        ['x', [...entriesOf({ a: '' }), ...entriesOf({ a: '' })], 'has two entries called a'],
        ['x', [{ name: 'a', value }, ...entriesOf({ b: 'x' })], 'at most 1048576 are allowed'],
        [
          'x',
          Array.from({ length: 101 }, (_, index) => ({ name: `e${index}`, value: utf8('') })),
          'entries',
        ],
      ]
    for (const [each, entries, text] of refusals) {
      await expect(secrets.createSecret({ name: each, entries })).rejects.toThrow(text)
    }
    await expect(
      secrets.updateSecret({ name: 'x', entries: entriesOf({ a: '' }) }),
    ).rejects.toEqual(failed(Code.notFound, 'not-found', 'secret x not found'))
  })

  test('are given to user code; what is changed, the next datum finds', async () => {
    const repo = await freshRepo(pachd)
    const [password, token] = [freshValue(), `${freshValue()}\n'"$x`]
    const secret = await freshSecret(pachd, { password, token })
    const pipeline = await freshPipeline(pachd, hashing(secret), atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '' }))
    const first = `${await hashOf(password)}\n${await hashOf(token)}\n`
    expect(await outputOf(pachd, pipeline)).toEqual({ '/a': first })
    const anew = { password: freshValue(), token: freshValue() }
    await pachd.secrets.updateSecret({ name: secret, entries: entriesOf(anew) })
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { b: '' }))
    expect(await outputOf(pachd, pipeline)).toEqual({
      '/a': first,
      '/b': `${await hashOf(anew.password)}\n${await hashOf(anew.token)}\n`,
    })
    const kept = await bytesBelow(pachd.root)
    for (const value of [password, token, ...Object.values(anew)]) {
      expect(kept.includes(value.slice(0, 37))).toBe(false)
    }
  })

  test('are not there for other pipelines', async () => {
    const repo = await freshRepo(pachd)
    const value = freshValue()
    const secret = await freshSecret(pachd, { password: value, token: value })
    await freshPipeline(pachd, hashing(secret), atomOf(repo, '/*', 'in'))
    const search = `cd /; { env; ls /etc/made; grep -rsl '${value.slice(0, 20)}' /dev/shm /run /tmp /proc/[0-9]*/environ; } > $PFS/out/found 2>&1 || :`
    const other = await freshPipeline(pachd, search, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '' }))
    const found = (await outputOf(pachd, other))['/found'] ?? ''
    expect(found).toMatch(/PACH_JOB_ID[^]*cannot access '\/etc\/made'/)
    expect(found).not.toMatch(/TOKEN|hush|^\//m)
  })

  test('that are missing refuse a pipeline, or fail a job that needs them, with the reason', async () => {
    const repo = await freshRepo(pachd)
    const make = (secret: string) => freshPipeline(pachd, hashing(secret), atomOf(repo, '/*', 'in'))
    await expect(make('nowhere')).rejects.toEqual(
      refused('failed-precondition', 'secret nowhere does not exist; make it with'),
    )
    const without = await freshSecret(pachd, { password: 'x' })
    await expect(make(without)).rejects.toEqual(
      refused('failed-precondition', `secret ${without} has no entry token; it has password`),
    )
    const secret = await freshSecret(pachd, { password: 'x', token: 'y' })
    const pipeline = await make(secret)
    await pachd.secrets.deleteSecret({ name: secret })
    const commit = await commitFiles(pachd, master(repo), { a: '' })
    await expect(flush(pachd, repo, commit)).rejects.toThrow(`secret ${secret} does not exist`)
    await pachd.secrets.createSecret({
      name: secret,
      entries: entriesOf({ password: 'x', token: '\0' }),
    })
    await pachd.pps.createJob({ pipeline: { name: pipeline } })
    const job = await lastJobOf(pachd, pipeline)
    const ended = await pachd.pps.inspectJob({ job: job.job ?? {}, blockState: true })
    expect(ended).toMatchObject({
      state: JobState.JOB_FAILURE,
      reason: expect.stringContaining('token holds a null character') as string,
    })
  })

  test.each([
    [{ name: 'x' }, 'says neither "mount_path" nor "env_var"'],
    [{ name: 'x', envVar: 'A' }, 'no "key" that says which entry it gets'],
    [{ name: 'x', envVar: 'A-B', key: 'k' }, 'is not a name that shells know'],
    [{ name: 'x', envVar: 'PACH_JOB_ID', key: 'k' }, 'says whose run it is'],
    [{ name: 'x', envVar: 'TAKEN', key: 'k' }, 'is the name of another variable'],
    [{ name: 'x', mountPath: '/a', key: '../k' }, 'is not the name of an entry'],
    [{ name: 'x', mountPath: '/tmp/keys' }, 'nor in /pfs, /tmp,'],
    [{ name: 'x', mountPath: '//proc/../etc' }, 'must be an absolute path without ".."'],
    [{ name: 'x', mountPath: '/' }, 'neither "/" nor in'],
    [{ name: 'x', mountPath: '/.pachyderm' }, 'neither "/" nor in'],
    [{ name: 'x', mountPath: '/dev/shm/keys' }, 'nor in /pfs, /tmp,'],
    [
      { name: 'x', mountPath: '/etc/' },
      "transform.secrets[0].mount_path /etc/ would hide the system's files that are there; choose a directory of its own, such as /secrets/x",
    ],
    [{ name: 'x', mountPath: '/usr/bin' }, 'would hide the programs that are there'],
    [
      { name: 'x', mountPath: '/etc/passwd' },
      '/etc/passwd: /etc/passwd is a file on every system, and a secret is shown as a directory; choose',
    ],
    [{ name: 'x', mountPath: '/etc/hosts/x' }, '/etc/hosts is a file on every system'],
    [{ name: 'x', mountPath: '/a\nb' }, 'must be an absolute path'],
  ])('are refused that make no sense: %j', async (secret, text) => {
    const transform = { cmd: ['true'], env: { TAKEN: '' }, secrets: [secret] }
    const making = freshPipeline(pachd, transform, atomOf(await freshRepo(pachd), '/'))
    await expect(making).rejects.toEqual(refused('invalid-argument', text))
  })
})

/** Whether user code of a new commit finds what it should. */
async function finds(pachd: TestClient, pipeline: string, repo: string): Promise<boolean> {
  const commit = await commitFiles(pachd, master(repo), { [freshName('file')]: '' })
  await flush(pachd, repo, commit)
  const lines = Object.values(await outputOf(pachd, pipeline))
  return new Set(lines).size === 1 && lines[0] === `${await hashOf('p')}\n${await hashOf('t')}\n`
}

describe('the keys of secrets', () => {
  let directory: TemporaryDirectory
  let root: string
  beforeEach(async () => {
    directory = await TemporaryDirectory.create()
    root = directory.join('data')
    return async () => directory[Symbol.asyncDispose]()
  })

  const keysOf = async () => readFile(join(root, 'secrets.key'), 'utf8')

  test('are made with the first secret, for nobody else to read, and can be changed', async () => {
    let secret: string
    let [pipeline, repo] = ['', '']
    {
      await using pachd = await TestPachd.start({ root })
      await expect(keysOf()).rejects.toThrow('ENOENT')
      secret = await freshSecret(pachd, { password: 'p', token: 't' })
      expect((await stat(join(root, 'secrets.key'))).mode & 0o777).toBe(0o600)
      repo = await freshRepo(pachd)
      pipeline = await freshPipeline(pachd, hashing(secret), atomOf(repo, '/*', 'in'))
      expect(await finds(pachd, pipeline, repo)).toBe(true)
    }
    const old = await keysOf()
    const [title, oldKey] = old.split('\n')
    const newKey = `key ${newHexId(random)}${newHexId(random)}`
    await writeFile(join(root, 'secrets.key'), `${title}\n${newKey}\n${oldKey}\n`)
    await chmod(join(root, 'secrets.key'), 0o644)
    {
      await using pachd = await TestPachd.start({ root })
      expect(pachd.log.join('\n')).toMatch(/sealed anew/)
      expect((await stat(join(root, 'secrets.key'))).mode & 0o777).toBe(0o600)
    }
    await writeFile(join(root, 'secrets.key'), `${title}\n# the other is gone\n${newKey}\n`)
    {
      await using pachd = await TestPachd.start({ root })
      expect(await finds(pachd, pipeline, repo)).toBe(true)
    }
    // With what there was before, it is another world.
    await writeFile(join(root, 'secrets.key'), old)
    {
      await using pachd = await TestPachd.start({ root })
      const lost = /sealed with key [0-9a-f]{16}, which is not in .*secrets\.key: put it back/
      expect(pachd.log.join('\n')).toMatch(lost)
      await expect(finds(pachd, pipeline, repo)).rejects.toThrow(lost)
      await writeFile(join(root, 'secrets.key'), `${title}\n${newKey}\n`)
      expect(await finds(pachd, pipeline, repo)).toBe(true)
      expect(JSON.stringify(pachd.log)).not.toContain(newKey.slice(4, 20))
    }
  })

  test('that are lost or damaged hold up nothing but secrets, and are never made over', async () => {
    {
      await using pachd = await TestPachd.start({ root })
      await freshSecret(pachd, { password: 'p' })
    }
    await rm(join(root, 'secrets.key'))
    {
      await using pachd = await TestPachd.start({ root })
      await expect(freshSecret(pachd, { password: 'p' })).rejects.toEqual(
        failed(Code.failedPrecondition, 'failed-precondition', /is missing: put it back/),
      )
      await expect(keysOf()).rejects.toThrow('ENOENT')
    }
    await writeFile(join(root, 'secrets.key'), 'nonsense with key abc\n')
    {
      await using pachd = await TestPachd.start({ root })
      const refusal = failed(Code.dataLoss, 'data-loss', /secrets\.key, is damaged/)
      await expect(freshSecret(pachd, { password: 'p' })).rejects.toEqual(refusal)
      const repo = await freshRepo(pachd)
      await commitFiles(pachd, master(repo), { a: '' })
      for await (const { secrets } of pachd.secrets.listSecrets({})) {
        for (const { name } of secrets) await pachd.secrets.deleteSecret({ name })
      }
    }
    await rm(join(root, 'secrets.key'))
    await using pachd = await TestPachd.start({ root })
    await freshSecret(pachd, { password: 'p' })
    expect(await keysOf()).toMatch(/^pachyderm-ts secret keys 1\nkey [0-9a-f]{64}\n$/)
  })

  test('may lie elsewhere, apart from the data', async () => {
    const place = directory.join('secret.keys')
    await expect(TestPachd.start({ root, secretKeysFile: place })).rejects.toThrow('is missing')
    // A key alone is no file of keys; how to make one is a command of the docs.
    await writeFile(place, `${'0'.repeat(64)}\n`)
    await expect(TestPachd.start({ root, secretKeysFile: place })).rejects.toThrow(
      'if it is new, and has sealed nothing yet, make it as docs/secrets.md says',
    )
    await rm(place)
    const docs = await readFile(join(import.meta.dirname, '../../docs/secrets.md'), 'utf8')
    const command = /^\(umask 077;[^]*? > secret\.keys\)$/m.exec(docs)?.[0] ?? ''
    await execute('sh', ['-euc', command], { cwd: directory.path })
    expect((await stat(place)).mode & 0o777).toBe(0o600)
    await mkdir(root, { recursive: true })
    await using pachd = await TestPachd.start({ root, secretKeysFile: place })
    await freshSecret(pachd, { password: 'p' })
    await expect(keysOf()).rejects.toThrow('ENOENT')
  })

  test('and what they seal are there once that was said, whatever happens to the server', async () => {
    const args = ['--root', root, '--address', '127.0.0.1:0']
    const repo = freshName('repo')
    {
      await using server = new ChildPachd(args)
      await using client = new TestClient(await server.ready)
      await client.secrets.createSecret({
        name: 'kept',
        entries: entriesOf({ password: 'old', token: 't' }),
      })
      await client.secrets.updateSecret({
        name: 'kept',
        entries: entriesOf({ password: 'p', token: 't' }),
      })
      server.signal('SIGKILL')
      await server.exit
    }
    await using server = new ChildPachd(args)
    await using client = new TestClient(await server.ready)
    await client.pfs.createRepo({ repo: { name: repo } })
    const pipeline = await freshPipeline(client, hashing('kept'), atomOf(repo, '/*', 'in'))
    expect(await finds(client, pipeline, repo)).toBe(true)
    server.signal('SIGTERM')
    const { out, err } = await server.exit
    expect(`${out}${err}`).not.toMatch(/hush|warning/)
  })
})
