import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { executorScript } from '../testing/executor-script.ts'
import { makeFifos } from './process/fifo.ts'
import { isTested } from '../testing/left-out.ts'

/** Becomes a program for which mknod and mknodat fail (EPERM), as on a file system without named pipes. */
const withoutPipes = `
import ctypes, os, struct, sys
step = lambda *words: struct.pack('HBBI', *words)
rules = step(0x20, 0, 0, 0) + step(0x15, 1, 0, 133) + step(0x15, 0, 1, 259) + step(6, 0, 0, 0x50001) + step(6, 0, 0, 0x7fff0000)
held = ctypes.create_string_buffer(rules, len(rules))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
if libc.prctl(22, 2, struct.pack('@HP', len(rules) // 8, ctypes.addressof(held)), 0, 0): sys.exit(1)
os.execv(sys.argv[1], sys.argv[1:])
`
const canRefuse = process.arch === 'x64' && isTested(existsSync('/usr/bin/python3'))

test.runIf(canRefuse).each([undefined, 'none'] as const)(
  'on a file system without named pipes the executor opens, and says why no code can run (isolation %s)',
  (isolation) => {
    const data = mkdtempSync(join(tmpdir(), 'pachyderm-fifos-'))
    const body = `
      await using executor = await open()
      console.log(executor.isolation, executor.advice)
      console.log(executor.notices(sh('true')).join())
      await executor.openSlot(sh('true'), signal).catch((error) => console.log(error.kind, error.message))
    `
    const program = executorScript(data, body, { isolation })
    try {
      const node = [process.execPath, '--input-type=module', '-e', program]
      const { stdout, stderr } = spawnSync('/usr/bin/python3', ['-Ic', withoutPipes, ...node], {
        encoding: 'utf8',
      })
      expect(stderr).toBe('')
      const fault =
        `the file system at ${join(data, 'scratch')} has no named pipes, without which no code of pipelines ` +
        'can run: move the data directory (pachd --root) to a file system of Linux'
      const [isolations, notice, refusal] = stdout.split('\n')
      expect(isolations).toBe('unknown then start pachd anew')
      expect(notice?.startsWith(fault)).toBe(true)
      expect(refusal?.startsWith(`failed-precondition ${fault}`)).toBe(true)
    } finally {
      rmSync(data, { recursive: true, force: true })
    }
  },
)

test('pipes that cannot be made for another reason may be made later', async () => {
  await expect(makeFifos('/nonexistent/pipe')).rejects.toMatchObject({
    kind: 'unavailable',
    message:
      "no named pipes could be made in /nonexistent: mkfifo: cannot create fifo '/nonexistent/pipe': No such file or directory",
  })
})
