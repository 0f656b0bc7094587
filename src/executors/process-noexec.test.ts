import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { runIn, sh, transform } from '../testing/process-fixture.ts'
import { openProcessExecutor, type ProcessExecutor } from './process.ts'
import { isTested } from '../testing/left-out.ts'

const never = new AbortController().signal
/** Disks of their own take the right to mount. */
const isRoot = process.geteuid?.() === 0

let data = ''

beforeEach(() => {
  data = mkdtempSync(join(resolve('node_modules'), '.pachyderm-noexec-'))
  if (isRoot) spawnSync('mount', ['-t', 'tmpfs', '-o', 'noexec', 'disk', data])
})

afterEach(() => {
  if (isRoot) spawnSync('umount', ['-l', data])
  rmSync(data, { recursive: true, force: true })
})

async function open(isolation: 'root' | 'user' | 'none'): Promise<ProcessExecutor> {
  const directory = join(data, 'scratch')
  const world = { clock: new SystemClock(), random: new SystemRandom() }
  return await openProcessExecutor({ directory, hiddenDirectories: [], isolation, ...world })
}

test.runIf(isTested(isRoot)).each(['root', 'user', 'none'] as const)(
  'a disk on which nothing can be started is told of, by code and as code (isolation %s)',
  async (isolation) => {
    await using executor = await open(isolation)
    const script = 'cd "${TMPDIR:-/tmp}"; echo "#!/bin/sh" >tool; chmod 755 tool; ./tool'
    await using slot = await executor.openSlot(sh(script), never)
    const { exitCode, bound } = await runIn(slot)
    expect([exitCode, bound]).toEqual([126, expect.stringContaining(`${data}, which is mounted`)])
    const tool = join(data, 'tool')
    writeFileSync(tool, '#!/bin/sh\n', { mode: 0o755 })
    const opening = executor
      .openSlot(transform([tool]), never)
      .then(async (other) => await runIn(other))
    await expect(opening).rejects.toThrow(`the disk at ${data} is mounted "noexec"`)
  },
)
