import { describe, expect, test } from 'vitest'
import { parseCommandLine, UsageError } from './command-line.ts'

describe('the command line of pachd', () => {
  test('a root alone means every address of this machine, port 30650', () => {
    expect(parseCommandLine(['--root', '/var/pachd'], {})).toEqual({
      kind: 'serve',
      config: { root: '/var/pachd', host: '0.0.0.0', port: 30_650 },
    })
  })

  test.each([
    ['127.0.0.1:0', '127.0.0.1', 0],
    ['localhost:1234', 'localhost', 1234],
    [':65535', '', 65_535],
    ['[::1]:80', '::1', 80],
  ])('%s is an address', (address, host, port) => {
    const command = parseCommandLine(['--root=/d', `--address=${address}`], {})
    expect(command).toEqual({ kind: 'serve', config: { root: '/d', host, port } })
  })

  test('programs of pipelines are found in the usual places, and where one says, not in PATH', () => {
    const environment = { PATH: '/opt/ada/bin' }
    const config = { root: '/d', host: '0.0.0.0', port: 30_650 }
    expect(parseCommandLine(['--root', '/d'], environment)).toEqual({ kind: 'serve', config })
    const programPath = '/opt/ada/bin:/opt/bin'
    const said = { kind: 'serve', config: { ...config, programPath } }
    expect(parseCommandLine(['--root', '/d', '--program-path', programPath], {})).toEqual(said)
    expect(parseCommandLine(['--root', '/d'], { PACHD_PROGRAM_PATH: programPath })).toEqual(said)
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
    [['--root', '/d', '--address', 'localhost'], 'is no address'],
    [['--root', '/d', '--address', 'localhost:65536'], 'is no address'],
    [['--root', '/d', '--address', '::1:80'], 'is no address'],
    [['--root', '/d', '--address', 'a b:80'], 'is no address'],
    [['--root', '/d', '--program-path', '/a:bin'], '"bin" is no absolute directory'],
    [['--root', '/d', '--program-path', '/a::/b'], '"" is no absolute directory'],
  ])('%j is refused in words', (args, text) => {
    expect(() => parseCommandLine(args, {})).toThrow(UsageError)
    expect(() => parseCommandLine(args, {})).toThrow(text)
  })
})
