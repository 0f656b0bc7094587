import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

import { canHave } from '../testing/test-engine.ts'

const execute = promisify(execFile)
const init = fileURLToPath(new URL('../testing/newer-groups.sh', import.meta.url))
const child = fileURLToPath(new URL('../testing/newer-groups-child.ts', import.meta.url))

/** A kernel in a kernel takes minutes, and many more on a busy machine. */
const msMax = 1_800_000

const machine = ['rootfstype=hostfs', 'rootflags=/', 'rw', 'mem=1G', `init=${init}`]
const consoles = ['con0=null,fd:1', 'con=null', 'quiet']

/** Not on processors with more registers than that kernel knows, such as those of AMX. */
async function canRun(): Promise<boolean> {
  try {
    await execute('linux.uml', [...machine, ...consoles, 'start=only'])
    return true
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout: string; readonly stderr: string }
    if (`${stdout}${stderr}`.includes('set fp regs failed')) return false
    throw error
  }
}

/** This machine's groups may be the older ones: a kernel of our own, on its files, has the newer. */
test.skipIf(!canHave('linux.uml'))(
  'the newer control groups hold for root, and for an ordinary user with a group of its own',
  async (context) => {
    if (!(await canRun())) context.skip('a kernel in a kernel does not start on this processor')
    // That kernel has a /mnt and a /dev of its own.
    const work = mkdtempSync(resolve('node_modules/.pachyderm-groups-'))
    try {
      const environment = [`work=${work}`, `node=${process.execPath}`, `child=${child}`]
      await execute('linux.uml', [...machine, ...consoles, ...environment])
      for (const who of ['root', 'user']) {
        expect(JSON.parse(readFileSync(join(work, who), 'utf8'))).toEqual({
          isolation: who,
          holds: ['cpu', 'disk', 'memory', 'processes'],
          memory: [137, expect.stringContaining('its bound of 16MiB of memory')],
          processes: [2, 'it came up against its bound of 30 processes and threads'],
          cpu: [0, '', '25000 100000'],
          lifted: [7, 'it came up against its bound of 30 processes and threads', 'tried'],
        })
      }
      // The group that was given, and where the server went in it.
      expect(readFileSync(join(work, 'left'), 'utf8').split('\n').toSorted()).toEqual([
        '',
        '/sys/fs/cgroup/own',
        '/sys/fs/cgroup/own/pachyderm-server',
      ])
    } finally {
      rmSync(work, { recursive: true, force: true })
    }
  },
  msMax,
)
