import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

import { noSecrets } from '../pipelines/executor.ts'
import { executorScript } from '../testing/executor-script.ts'
import { sh } from '../testing/process-fixture.ts'
import { PlainSlot } from './process/plain-slot.ts'
import type { SlotOptions } from './process/sandbox-slot.ts'
import { Leftovers } from './leftovers.ts'
import { SystemClock } from '../base/clock.ts'

const canMount = process.geteuid?.() === 0

test.runIf(canMount)(
  'what a crash left and nobody can remove is told of, and keeps nothing from running',
  () => {
    const data = mkdtempSync(join(resolve('node_modules'), '.pachyderm-left-'))
    try {
      const left = join(data, 'scratch/dead')
      const kept = join(left, 'tmp/kept')
      mkdirSync(kept, { recursive: true })
      const body = `
      import { spawnSync } from 'node:child_process'
      import { existsSync } from 'node:fs'
      await using executor = await open()
      for (const notice of executor.notices(sh('true'))) console.log(notice)
      {
        await using slot = await executor.openSlot(sh('echo runs'), signal)
        console.log((await runIn(slot)).stdout.join())
      }
      spawnSync('umount', [${JSON.stringify(kept)}])
      const clock = new SystemClock()
      for (let round = 0; round < 600 && executor.leftovers.length > 0; round += 1) await clock.sleep(100)
      console.log(existsSync(${JSON.stringify(left)}), executor.leftovers)
    `
      const program = [process.execPath, '--input-type=module', '-e', executorScript(data, body)]
      const { stdout, status } = spawnSync(
        'unshare',
        ['-m', 'sh', '-c', 'mount -t tmpfs kept "$0"; exec "$@"', kept, ...program],
        { encoding: 'utf8', timeout: 120_000, stdio: ['ignore', 'pipe', 'inherit'] },
      )
      expect(stdout.split('\n')).toEqual([
        expect.stringMatching(
          /^\/.*\/dead cannot be removed now, and is tried again: .*mounted at "kept".*: unmount it/,
        ),
        'runs',
        'false []',
        '',
      ])
      expect(status).toBe(0)
    } finally {
      rmSync(data, { recursive: true, force: true })
    }
  },
)

test('a slot that cannot have its secrets keeps no control group', async () => {
  const clock = new SystemClock()
  let isDisposed = false
  const group: AsyncDisposable = {
    async [Symbol.asyncDispose]() {
      isDisposed = true
    },
  }
  const directories = [{ path: '/key', files: new Map<string, Uint8Array>() }]
  const options = {
    path: '/nonexistent/slot',
    transform: sh('true'),
    secrets: { ...noSecrets, directories },
    group,
    leftovers: new Leftovers(clock),
    clock,
  }
  // Of the rest nothing is looked at.
  const opening = PlainSlot.open(options as unknown as SlotOptions)
  await expect(opening).rejects.toThrow('secrets cannot be shown at /key')
  expect(isDisposed).toBe(true)
})
