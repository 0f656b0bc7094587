import { spawn } from 'node:child_process'
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { SystemClock } from '../../base/clock.ts'
import { UnavailableError } from '../../base/errors.ts'
import { noSecrets } from '../../pipelines/executor.ts'
import { transform } from '../../testing/process-fixture.ts'
import { datumScript } from './environment.ts'
import { RemoteMounts } from './remote-mounts.ts'
import { parseAnswer } from './runner-answers.ts'
import { openSandbox, Sandbox, type SandboxOptions, toolPathOf } from './sandbox.ts'
import { makeSlotDirectory } from './slot-directory.ts'

const nonce = 'ab'.repeat(16)

async function optionsIn(data: string): Promise<SandboxOptions> {
  return {
    mode: 'root',
    filterLoader: undefined,
    directory: await makeSlotDirectory(join(data, 'slot'), {
      transform: transform(['true']),
      secrets: noSecrets,
    }),
    hiddenDirectories: [],
    coveredDirectories: [],
    leftOut: [],
    secrets: noSecrets,
    command: ['true'],
    limits: { groupEntries: [], dataBytes: 0, processCount: 0 },
    clock: new SystemClock(),
    onStdout: () => {},
    onStderr: () => {},
  }
}

test.each([
  ['exit 0'],
  ['ready 1'],
  ['ready'],
  [`${'cd'.repeat(16)} exit 0`],
  [`${nonce} exit 256`],
  [`${nonce} broken`],
  ['x'.repeat(1000)],
])('an answer that is not to the datum ends the sandbox, and nobody else: %s', async (answer) => {
  const data = mkdtempSync(join(tmpdir(), 'pachyderm-sandbox-'))
  const victim = spawn('sleep', ['1000'])
  try {
    const options = await optionsIn(data)
    const script = 'echo ready >&3; read -r _; for l; do echo "$l" >&3; done; read -r _'
    const forged = answer === 'ready 1' ? `ready ${victim.pid}` : answer
    await using sandbox = new Sandbox(options, [
      'sh',
      '-c',
      `sh -c '${script}' sh "$@"; :`,
      'sh',
      forged,
    ])
    await sandbox.ready
    await expect(sandbox.run(nonce)).rejects.toThrow(UnavailableError)
    await expect(sandbox.run(nonce)).rejects.toThrow(UnavailableError)
    expect([victim.exitCode, victim.signalCode]).toEqual([null, null])
  } finally {
    victim.kill()
    rmSync(data, { recursive: true, force: true })
  }
})

/** How many descriptors lead into the directory. */
function openFilesIn(directory: string): number {
  const links = readdirSync('/proc/self/fd').map((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`)
    } catch {
      return ''
    }
  })
  return links.filter((path) => path.startsWith(directory)).length
}

test('a sandbox that cannot be started leaves nothing open', async () => {
  const data = mkdtempSync(join(tmpdir(), 'pachyderm-sandbox-'))
  try {
    const options = await optionsIn(data)
    const tooLong = 'x'.repeat(200_000)
    expect(() => new Sandbox(options, ['sh', '-c', tooLong])).toThrow('E2BIG')
    expect(openFilesIn(data)).toBe(0)
  } finally {
    rmSync(data, { recursive: true, force: true })
  }
})

test('only the right nonce makes an answer', () => {
  expect(parseAnswer(`${nonce} exit 137`, nonce)).toEqual({ kind: 'exit', exitCode: 137 })
  expect(parseAnswer(`${nonce} missing`, nonce)).toEqual({ kind: 'missing' })
  expect(parseAnswer(`${nonce} exit`, nonce)).toBeUndefined()
  expect(parseAnswer(`${nonce} exit 0 1`, nonce)).toBeUndefined()
})

test('tools are looked for in the usual places first, then where the server has programs', () => {
  const homes = '/home'
  const usual = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  expect(toolPathOf('')).toBe(usual)
  expect(
    toolPathOf(
      `.:bin:/run/wrappers/bin:${homes}/a/bin:/root/bin:/tmp/bin:/own/bin:/usr/bin::/own/bin:/sw/bin`,
    ),
  ).toBe(`${usual}:/own/bin:/sw/bin`)
})

test('what is to be hidden and has gone keeps no sandbox from opening', async () => {
  const data = mkdtempSync(join(tmpdir(), 'pachyderm-sandbox-'))
  try {
    const mode = process.geteuid?.() === 0 ? 'root' : 'user'
    const hiddenDirectories = ['/usr/no such place']
    const options = { ...(await optionsIn(data)), mode, hiddenDirectories } as const
    const mounts = new RemoteMounts(options.clock)
    await using sandbox = await openSandbox(options, mounts, new AbortController().signal)
    await expect(sandbox.ready).resolves.toBeUndefined()
  } finally {
    rmSync(data, { recursive: true, force: true })
  }
})

test('in a sandbox of an ordinary user nobody makes user namespaces, even without a filter of calls', async () => {
  const data = mkdtempSync(join(tmpdir(), 'pachyderm-sandbox-'))
  try {
    const command = ['unshare', '--user', 'true']
    const options = { ...(await optionsIn(data)), mode: 'user', command } as const
    writeFileSync(options.directory.datumFile, datumScript({ PATH: '/usr/bin:/bin' }))
    const mounts = new RemoteMounts(options.clock)
    await using sandbox = await openSandbox(options, mounts, new AbortController().signal)
    expect(await sandbox.run(nonce)).toEqual({ kind: 'exit', exitCode: 1 })
    const host = readFileSync('/proc/sys/user/max_user_namespaces', 'utf8')
    expect(Number(host)).toBeGreaterThan(0)
  } finally {
    rmSync(data, { recursive: true, force: true })
  }
})
