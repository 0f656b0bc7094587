import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { UnavailableError } from '../../base/errors.ts'
import { noSecrets } from '../../pipelines/executor.ts'
import { transform } from '../../testing/process-fixture.ts'
import { parseAnswer } from './runner-answers.ts'
import { missingTool, Sandbox, toolPath } from './sandbox.ts'
import { makeSlotDirectory } from './slot-directory.ts'

const nonce = 'ab'.repeat(16)

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
    const directory = await makeSlotDirectory(join(data, 'slot'), {
      transform: transform(['true']),
      secrets: noSecrets,
    })
    const script = 'echo ready >&3; read -r _; for l; do echo "$l" >&3; done; read -r _'
    const options = {
      mode: 'root',
      directory,
      hiddenDirectories: [],
      listeningDirectories: [],
      secrets: noSecrets,
      command: ['true'],
      limits: { groupEntries: [], dataBytes: 0, processCount: 0 },
      onStdout: () => {},
      onStderr: () => {},
    } as const
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

test('only the right nonce makes an answer', () => {
  expect(parseAnswer(`${nonce} exit 137`, nonce)).toEqual({ kind: 'exit', exitCode: 137 })
  expect(parseAnswer(`${nonce} missing`, nonce)).toEqual({ kind: 'missing' })
  expect(parseAnswer(`${nonce} exit`, nonce)).toBeUndefined()
  expect(parseAnswer(`${nonce} exit 0 1`, nonce)).toBeUndefined()
})

test('a tool that is missing is known by its name', () => {
  expect(missingTool('/nonexistent')).toBe('unshare')
  expect(missingTool(toolPath)).toBeUndefined()
})
