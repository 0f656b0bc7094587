import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

import { parseMounts } from '../base/mount-table.ts'
import { executorScript } from '../testing/executor-script.ts'
import { lateText, remoteMounts } from './process/remote-mounts.ts'
import { isTested } from '../testing/left-out.ts'

const canMount = process.geteuid?.() === 0 && existsSync('/dev/fuse')
/** A file system in a directory of `/` whose program never answers, in a view of its own. */
const hungMount =
  'exec 9<>/dev/fuse; mount -i -n -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 hung /srv; exec "$@"'

/** Opens an executor in a time that passes quicker, and tells what it says of itself. */
function script(data: string): string {
  const body = `
    let tries = 0
    class QuickClock extends SystemClock {
      async sleep(ms, signal) {
        if (ms === 30_000) tries += 1
        await super.sleep(ms === 30_000 ? 3000 : ms, signal)
      }
    }
    await using executor = await open(new QuickClock())
    console.log(executor.isolation, tries)
    const textOf = (opening) => opening.then(() => 'opened', (error) => error.name + ': ' + error.message)
    console.log(await textOf(executor.openSlot(sh('true'), signal)))
    const begunMs = performance.now()
    console.log(await textOf(executor.openSlot(sh('true'), AbortSignal.timeout(500))))
    await executor[Symbol.asyncDispose]()
    console.log(performance.now() - begunMs < 20_000 ? 'quickly' : 'late')
  `
  return executorScript(data, body)
}

test.runIf(isTested(canMount))('a disk that does not answer keeps no server from starting', () => {
  const data = mkdtempSync(join(resolve('node_modules'), '.pachyderm-hung-'))
  try {
    const { stdout, status } = spawnSync(
      'unshare',
      [
        '-m',
        'sh',
        '-c',
        hungMount,
        'sh',
        process.execPath,
        '--input-type=module',
        '-e',
        script(data),
      ],
      { encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [first, second, third, last] = stdout.split('\n')
    expect(first).toBe('unknown 1')
    expect(second).toContain('UnavailableError: no sandbox could be made (it was not ready after')
    expect(second).toContain('/srv (fuse)')
    expect(third).toContain('CancelledError')
    expect(last).toBe('quickly')
    expect(status).toBe(0)
  } finally {
    rmSync(data, { recursive: true, force: true })
  }
})

test('what is mounted from elsewhere is named, and nothing else', () => {
  const table = [
    '21 1 8:1 / / rw - ext4 /dev/sda1 rw',
    '30 21 0:40 / /mnt/a\\040b rw,relatime shared:9 - nfs4 server:/x rw',
    '31 21 0:41 / /sys/fs/fuse/connections rw - fusectl fusectl rw',
    '32 21 0:42 / /data rw - fuse.sshfs me@host:/ rw',
    '',
  ].join('\n')
  expect(remoteMounts(parseMounts(table))).toEqual(['/mnt/a b (nfs4)', '/data (fuse.sshfs)'])
  expect(lateText(30_000, [])).not.toContain('see whether')
  expect(lateText(30_000, ['/1', '/2', '/3', '/4', '/5', '/6'])).toContain('/5 and others')
})
