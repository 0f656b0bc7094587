import { describe, expect, test } from 'vitest'
import { parseCommandLine, UsageError } from './command-line.ts'

const usualSockets = ['/var/run/docker.sock', '/run/podman/podman.sock']
const executors = {
  choice: 'auto',
  sandbox: 'auto',
  engineSockets: usualSockets,
  enginePlaces: usualSockets,
  network: 'host',
  pullPolicy: 'IfNotPresent',
}

const everywhere = {
  executors,
  host: '0.0.0.0',
  port: 30_650,
  http: { host: '0.0.0.0', port: 30_652, isAsked: false },
  s3: { host: '0.0.0.0', port: 30_600, isAsked: false },
}

/** What a command line says about the port for S3. */
function s3Of(environment: Readonly<Record<string, string>>, ...args: readonly string[]): unknown {
  const command = parseCommandLine(['--root=/d', ...args], environment)
  return command.kind === 'serve' ? command.config.s3 : undefined
}

/** What a command line says about where packs are. */
function packsOf(
  environment: Readonly<Record<string, string>>,
  ...args: readonly string[]
): unknown {
  const command = parseCommandLine(['--root=/d', ...args], environment)
  return command.kind === 'serve' ? command.config.packs : undefined
}

/** What a command line says about the port for files by HTTP. */
function httpOf(...args: readonly string[]): unknown {
  const command = parseCommandLine(['--root=/d', ...args], {})
  return command.kind === 'serve' ? command.config.http : undefined
}

/** What a command line says about where user code runs. */
function executorsOf(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): unknown {
  const command = parseCommandLine(['--root=/d', ...args], environment)
  return command.kind === 'serve' ? command.config.executors : undefined
}

describe('the command line of pachd', () => {
  test('a root alone means every address of this machine, port 30650', () => {
    expect(parseCommandLine(['--root', '/var/pachd'], {})).toEqual({
      kind: 'serve',
      config: { root: '/var/pachd', ...everywhere },
    })
  })

  test.each([
    ['127.0.0.1:0', '127.0.0.1', 0],
    ['localhost:1234', 'localhost', 1234],
    [':65535', '', 65_535],
    ['[::1]:80', '::1', 80],
  ])('%s is an address', (address, host, port) => {
    const command = parseCommandLine(['--root=/d', `--address=${address}`], {})
    expect(command).toEqual({ kind: 'serve', config: { root: '/d', host, port, executors } })
  })

  test('programs of pipelines are found in the usual places, and where one says, not in PATH', () => {
    const environment = { PATH: '/opt/ada/bin' }
    const config = { root: '/d', ...everywhere }
    expect(parseCommandLine(['--root', '/d'], environment)).toEqual({ kind: 'serve', config })
    const programPath = '/opt/ada/bin:/opt/bin'
    const said = { kind: 'serve', config: { ...config, programPath } }
    expect(parseCommandLine(['--root', '/d', '--program-path', programPath], {})).toEqual(said)
    expect(parseCommandLine(['--root', '/d'], { PACHD_PROGRAM_PATH: programPath })).toEqual(said)
  })

  test('user code runs where one says', () => {
    expect(executorsOf(['--container-engine=off'])).toEqual({ ...executors, engineSockets: [] })
    const own = '/run/user/7'
    const ownSockets = [...usualSockets, `${own}/docker.sock`, `${own}/podman/podman.sock`]
    const user = { XDG_RUNTIME_DIR: own, DOCKER_HOST: 'ssh://elsewhere', HOME: '/people/ada' }
    expect(executorsOf([], user)).toEqual({
      ...executors,
      engineSockets: ownSockets,
      enginePlaces: [...ownSockets, '/people/ada/.docker/run/docker.sock'],
    })
    expect(executorsOf([], { DOCKER_HOST: 'unix:///d.sock' })).toEqual({
      ...executors,
      engineSockets: ['/d.sock'],
      enginePlaces: ['/d.sock', ...usualSockets],
    })
    const said = [
      '--executor=container',
      '--sandbox=off',
      '--container-network=none',
      '--image-pull=never',
    ]
    const expected = {
      choice: 'container',
      sandbox: 'off',
      engineSockets: ['/p.sock'],
      enginePlaces: ['/p.sock', ...usualSockets],
      network: 'none',
      pullPolicy: 'Never',
    }
    expect(executorsOf([...said, '--container-engine=unix:///p.sock'])).toEqual(expected)
    const variables = {
      PACHD_EXECUTOR: 'container',
      PACHD_SANDBOX: 'off',
      PACHD_CONTAINER_ENGINE: '/p.sock',
      PACHD_CONTAINER_NETWORK: 'none',
      PACHD_IMAGE_PULL: 'Never',
    }
    expect(executorsOf([], variables)).toEqual(expected)
  })

  test('what a datum may use is what one says', () => {
    const said = {
      kind: 'serve',
      config: {
        root: '/d',
        ...everywhere,
        datumBounds: { diskBytesMax: 20e9, processCountMax: 50 },
      },
    }
    const flags = ['--root=/d', '--datum-disk=20G', '--datum-processes=50']
    expect(parseCommandLine(flags, {})).toEqual(said)
    const variables = { PACHD_DATUM_DISK: '20G', PACHD_DATUM_PROCESSES: '50' }
    expect(parseCommandLine(['--root=/d'], variables)).toEqual(said)
  })

  test('files by HTTP have a port of their own beside 30650, elsewhere where one says, or nowhere', () => {
    expect(httpOf()).toEqual(everywhere.http)
    const beside = { host: '127.0.0.1', port: 30_652, isAsked: false }
    expect(httpOf('--address=127.0.0.1:30650')).toEqual(beside)
    expect(httpOf('--address=127.0.0.1:1234')).toBeUndefined()
    expect(httpOf('--http-address=off')).toBeUndefined()
    const asked = { host: 'localhost', port: 80, isAsked: true }
    expect(httpOf('--http-address=localhost:80')).toEqual(asked)
    expect(httpOf('--address=:0', '--http-address=:0')).toEqual({
      host: '',
      port: 0,
      isAsked: true,
    })
    const environment = { PACH_ROOT: '/d', PACHD_HTTP_ADDRESS: 'localhost:80' }
    expect(parseCommandLine([], environment)).toMatchObject({ config: { http: asked } })
    expect(parseCommandLine(['--http-address', 'off'], environment)).not.toHaveProperty(
      'config.http',
    )
  })

  test('S3 has a port beside 30650, elsewhere where one says, or nowhere, and keys from the environment', () => {
    expect(s3Of({})).toEqual(everywhere.s3)
    expect(s3Of({}, '--address=127.0.0.1:1234')).toBeUndefined()
    expect(s3Of({}, '--s3-address=off')).toBeUndefined()
    expect(s3Of({ PACHD_S3_ADDRESS: 'off' })).toBeUndefined()
    const asked = { host: 'localhost', port: 80, isAsked: true }
    expect(s3Of({}, '--s3-address=localhost:80')).toEqual(asked)
    const keys = { accessKey: 'A', secretKey: 'S' }
    const environment = { PACHD_S3_ACCESS_KEY: 'A', PACHD_S3_SECRET_KEY: 'S' }
    expect(s3Of({ ...environment, PACHD_S3_ADDRESS: 'localhost:80' })).toEqual({ ...asked, keys })
    const domain = 's3.example.com'
    expect(s3Of({ PACHD_S3_DOMAIN: domain })).toEqual({ ...everywhere.s3, domain })
    for (const only of ['PACHD_S3_ACCESS_KEY', 'PACHD_S3_SECRET_KEY']) {
      expect(() => s3Of({ [only]: 'x' })).toThrow('or neither of them to let anybody in')
    }
    expect(() => s3Of({}, '--s3-address=:30650')).toThrow('is the port of --address')
  })

  test('flags win over the environment', () => {
    const environment = { PACH_ROOT: '/from-environment', PACHD_ADDRESS: 'localhost:1' }
    expect(parseCommandLine([], environment)).toMatchObject({
      config: { root: '/from-environment', host: 'localhost', port: 1 },
    })
    expect(parseCommandLine(['--root', '/d', '--address', ':2'], environment)).toMatchObject({
      config: { root: '/d', host: '', port: 2 },
    })
  })

  test('a relative root is meant from where pachd is started', () => {
    const command = parseCommandLine(['--root', 'data'], {})
    expect(command).toMatchObject({ config: { root: `${process.cwd()}/data` } })
  })

  test('help and version need nothing else', () => {
    expect(parseCommandLine(['--help'], {})).toEqual({ kind: 'help' })
    expect(parseCommandLine(['-h'], {})).toEqual({ kind: 'help' })
    expect(parseCommandLine(['--version'], {})).toEqual({ kind: 'version' })
  })

  test.each([
    [[], '--root is missing'],
    [['--root'], '--root'],
    [['--root='], '--root is missing'],
    [['--rot', '/d'], "'--rot'"],
    [['/d'], "'/d'"],
    [['--root', '/d', '--address', 'localhost'], '--address "localhost" is no address'],
    [['--root', '/d', '--http-address', 'on'], '--http-address "on" is no address'],
    [['--root', '/d', '--http-address', 'localhost:30650'], 'is the port of --address'],
    [['--root', '/d', '--address', 'localhost:65536'], 'is no address'],
    [['--root', '/d', '--address', '::1:80'], 'is no address'],
    [['--root', '/d', '--address', 'a b:80'], 'is no address'],
    [['--root', '/d', '--executor', 'kubernetes'], 'is none of auto, process, container'],
    [['--root', '/d', '--sandbox', 'on'], 'is none of auto, off'],
    [['--root', '/d', '--container-engine', 'tcp://a:1'], 'is no socket of this machine'],
    [['--root', '/d', '--container-network=--privileged'], 'is no name of a network'],
    [['--root', '/d', '--image-pull', 'sometimes'], 'is none of IfNotPresent, Always, Never'],
    [['--root', '/d', '--datum-disk', '5 bananas'], 'is no size of at least 1 MiB'],
    [['--root', '/d', '--datum-disk', '5'], 'is no size of at least 1 MiB'],
    [['--root', '/d', '--datum-processes', '0'], 'is no number from 1 to 4000000'],
    [['--root', '/d', '--program-path', '/a:bin'], '"bin" is no absolute directory'],
    [['--root', '/d', '--program-path', '/a::/b'], '"" is no absolute directory'],
    [['--root', '--fsck'], '--root needs a value, and another flag follows it'],
    [
      ['--root', '/d', '--backup-to', '/b', '--backup-keep', '-1'],
      '--backup-keep "-1" is no count',
    ],
    [
      ['--root', '/d', '--backup-to', ''],
      '--backup-to is empty: say where backups go, or leave it out for none',
    ],
    [['--root', '/d', '--restore', ''], '--restore is empty: say where the backup is'],
    [['--root', '/d', '--restore-packs', ''], '--restore-packs is empty: say where the backup is'],
    [
      ['--root', '/d', '--backup-to', 'file:///b'],
      '--backup-to: cannot keep a backup in file:///b',
    ],
    [['--root', '/d', '--restore', 'file:///b'], '--restore: cannot keep a backup in file:///b'],
  ])('%j is refused in words', (args, text) => {
    expect(() => parseCommandLine(args, {})).toThrow(UsageError)
    expect(() => parseCommandLine(args, {})).toThrow(text)
  })

  test('packs are in the directory, or where a flag or the environment says', () => {
    expect(packsOf({})).toBeUndefined()
    const bucket = { kind: 's3', bucket: 'bucket', prefix: 'a/', url: 's3://bucket/a' }
    expect(packsOf({ PACHD_STORE: 's3://bucket/a' })).toEqual({ bucket })
    expect(packsOf({ PACHD_STORE: 's3://other' }, '--store=s3://bucket/a')).toEqual({ bucket })
    expect(packsOf({ PACHD_STORE_CACHE: '1GiB' }, '--take-bucket')).toEqual({
      cacheBytes: 1024 ** 3,
      takesBucket: true,
    })
    expect(() => packsOf({}, '--store=/d')).toThrow(UsageError)
    expect(() => packsOf({}, '--store-cache=x')).toThrow(/^--store-cache: "x" is no size/)
    const leaving = parseCommandLine(['--root=/d', '--leave-bucket'], {})
    expect(leaving).toEqual({ kind: 'leave-bucket', root: '/d' })
  })
})
