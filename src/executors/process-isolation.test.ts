import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { executorScript } from '../testing/executor-script.ts'

// Below the checkout: what is below /tmp is out of sight for user code anyway.
const home = resolve('node_modules')

let data = ''

beforeEach(() => {
  data = mkdtempSync(join(home, '.pachyderm-executor-'))
})

afterEach(() => {
  rmSync(data, { recursive: true, force: true })
})

/** What a program prints that has an executor, as root of a user namespace of its own. */
function run(body: string, before: readonly string[] = []): readonly string[] {
  const program = executorScript(
    data,
    `
    import { writeFileSync } from 'node:fs'
    const allow = (kind, count) => writeFileSync('/proc/sys/user/max_' + kind + '_namespaces', String(count))
    const told = (executor) => console.log([executor.isolation, ...executor.notices(sh('true'))].join(' '))
    const end = async (executor) => {
      await using slot = await executor.openSlot(sh('echo "$PFS"'), signal)
      console.log((await runIn(slot)).stdout.join())
    }
    ${body}
  `,
  )
  const command = [...before, process.execPath, '--input-type=module', '-e', program]
  const { stdout, stderr } = spawnSync('unshare', ['--user', '--map-root-user', '--', ...command], {
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  return stdout.trim().split('\n')
}

test('code waits for a sandbox that the machine allows and that cannot be made', () => {
  const lines = run(`
    allow('pid', 1)
    await using executor = await open()
    told(executor)
    await end(executor).catch((error) => console.log(error.name, error.message))
    allow('pid', 1000)
    await end(executor)
    told(executor)
  `)
  const text =
    'no sandbox could be made (unshare: unshare failed: No space left on device), and no code runs ' +
    'without one unless pachd --sandbox off says so (docs/executors.md); '
  expect(lines).toEqual([
    `unknown ${text}until one can be made, jobs fail after a few tries`,
    `UnavailableError ${text}pachd tries again with each job`,
    '/pfs',
    'root',
  ])
})

test('whoever asks for notices has it tried again', () => {
  const lines = run(`
    allow('pid', 1)
    await using executor = await open()
    allow('pid', 1000)
    executor.notices(sh('true'))
    await executor.lookWhole()
    told(executor)
  `)
  expect(lines).toEqual(['root'])
})

test('a sandbox that cannot be made is no reason for less of one', () => {
  const lines = run(`
    await using executor = await open()
    allow('pid', 1)
    await end(executor).catch((error) => console.log(error.name, error.message))
    allow('pid', 1000)
    await end(executor)
  `)
  expect(lines).toEqual([
    'UnavailableError no sandbox: unshare: unshare failed: No space left on device',
    '/pfs',
  ])
})

test('where the machine forbids namespaces, code runs without a sandbox, and a notice says why', () => {
  const lines = run(
    `
    await using executor = await open()
    told(executor)
    await end(executor)
  `,
    [
      'sh',
      '-c',
      'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"',
      'sh',
      'setpriv',
      '--bounding-set=-all',
      '--inh-caps=-all',
    ],
  )
  expect(lines[0]).toMatch(
    /^none there is no sandbox \(unshare: unshare failed: No space left on device\): \/pfs is the directory named by \$PFS/,
  )
  expect(lines[1]).toMatch(/\/pfs$/)
  expect(lines[1]).not.toBe('/pfs')
})
