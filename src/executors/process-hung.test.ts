import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { parseMounts } from '../base/mount-table.ts'
import { executorScript, type ExecutorScriptOptions } from '../testing/executor-script.ts'
import type { Isolation } from './process.ts'
import { lateText, remoteMounts } from './process/remote-mounts.ts'
import { isTested } from '../testing/left-out.ts'

const canMount = process.geteuid?.() === 0 && existsSync('/dev/fuse')

/** In a directory of `/`, from the descriptor 9. */
const mount =
  'exec 9<>/dev/fuse; mount -i -n -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0,allow_other hung /srv'
/** A program that takes all requests of a file system, and answers none but the first, which is a greeting. */
const silentProgram = `
  import { readSync, writeSync } from 'node:fs'
  const request = Buffer.alloc(1 << 20)
  const greeting = Buffer.alloc(80)
  for (;;) {
    readSync(9, request)
    if (request.readUInt32LE(4) !== 26) continue
    greeting.writeUInt32LE(80, 0)
    greeting.writeBigUInt64LE(request.readBigUInt64LE(8), 8)
    for (const [at, value] of [[16, 7], [20, 31], [24, 65536], [36, 131072], [40, 1]]) {
      greeting.writeUInt32LE(value, at)
    }
    writeSync(9, greeting)
  }
`
/** Whoever waits for it cannot even be killed, as long as its program is there: `PROGRAM`, which ends with the shell. */
const silentDisk = `${mount}; setpriv --pdeathsig KILL -- "$NODE" --input-type=module -e "$SILENT" & export PROGRAM=$!; exec 9>&-`

/** What every script here begins with: a time that passes quicker. */
const quickly = `
  let lateCount = 0
  class QuickClock extends SystemClock {
    async sleep(ms, signal) {
      const isLong = ms > 29_000 && ms <= 30_000
      await super.sleep(isLong ? 3000 : ms, signal)
      if (isLong) lateCount += 1
    }
  }
  await using executor = await open(new QuickClock())
  const textOf = (opening) => opening.then(() => 'opened', (error) => error.name + ': ' + error.message)
`

let data = ''

beforeEach(() => {
  data = mkdtempSync(join(resolve('node_modules'), '.pachyderm-hung-'))
})

afterEach(() => {
  rmSync(data, { recursive: true, force: true })
})

/** What a script prints, in a view of its own of what is mounted, that begins with `prepare`. */
function linesOf(
  prepare: string,
  body: string,
  options: ExecutorScriptOptions = {},
): readonly string[] {
  const script = executorScript(data, body, options)
  const program = [process.execPath, '--input-type=module', '-e', script]
  const { stdout, status } = spawnSync(
    'unshare',
    ['-m', 'sh', '-c', `${prepare}; exec "$@"`, 'sh', ...program],
    {
      encoding: 'utf8',
      timeout: 120_000,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE: process.execPath, SILENT: silentProgram, DISK: silentDisk },
    },
  )
  return [...stdout.split('\n'), `ended with ${status}`]
}

describe.runIf(isTested(canMount))('a disk that does not answer', () => {
  test('keeps no server from starting, nor from ending, nor do settings of engines on it', () => {
    const lines = linesOf(
      mount,
      `
        ${quickly}
        console.log(executor.isolation, lateCount)
        console.log(await textOf(executor.openSlot(sh('true'), signal)))
        const begunMs = performance.now()
        console.log(await textOf(executor.openSlot(sh('true'), AbortSignal.timeout(500))))
        await executor[Symbol.asyncDispose]()
        console.log(performance.now() - begunMs < 20_000 ? 'quickly' : 'late')
      `,
      { engineVariables: { HOME: '/srv', CONTAINERS_STORAGE_CONF: '/srv/storage.conf' } },
    )
    expect(lines).toEqual([
      'unknown 1',
      expect.stringContaining(
        'UnavailableError: no sandbox could be made (it was not ready after 30 seconds: /srv (fuse) does not answer',
      ),
      expect.stringContaining('CancelledError'),
      'quickly',
      '',
      'ended with 0',
    ])
  })

  test('is told of while the first look waits for it, and then nobody waits who asks what holds', () => {
    const lines = linesOf(
      mount,
      `
        const executor = await openUntried()
        void executor.lookWhole().catch(() => {})
        console.log(...executor.notices(sh('true')))
        await new SystemClock().sleep(6000)
        console.log(executor.isolation, ...executor.notices(sh('true')))
        const begunMs = performance.now()
        await executor.look()
        console.log(performance.now() - begunMs < 1000 ? 'at once' : 'late')
        await executor[Symbol.asyncDispose]()
        console.log(...executor.notices(sh('true')))
      `,
      { engineVariables: { HOME: '/srv', CONTAINERS_STORAGE_CONF: '/srv/storage.conf' } },
    )
    expect(lines).toEqual([
      '',
      expect.stringMatching(/^unknown trying to make a sandbox takes long: /),
      'at once',
      '',
      '',
      'ended with 0',
    ])
  })

  test('keeps nobody from ending who looks at what is on it', () => {
    const lines = linesOf(
      silentDisk,
      `
        import { DuSums } from ${JSON.stringify(new URL('process/disk-sums.ts', import.meta.url).href)}
        const sums = new DuSums()
        void sums.bytesIn(['/srv']).then(() => console.log('answered'))
        await new SystemClock().sleep(500)
        sums[Symbol.dispose]()
        console.log('left')
      `,
    )
    expect(lines).toEqual(['left', '', 'ended with 0'])
  })

  test.each<Isolation>(['root', 'none'])(
    'keeps nobody waiting when code says that a program on it could not be started (%s)',
    (isolation) => {
      const lines = linesOf(
        'mount -t tmpfs disks /srv; mkdir /srv/d; ' + silentDisk.replace('/srv', '/srv/d'),
        `
        await using executor = await open()
        const slot = await executor.openSlot(sh('echo "sh: 1: /srv/d/p: not found" >&2; exit 127'), signal)
        let tickCount = 0
        const ticks = setInterval(() => (tickCount += 1), 100)
        const { exitCode, bound } = await runIn(slot)
        clearInterval(ticks)
        console.log(exitCode, bound, tickCount > 10)
      `,
        { isolation },
      )
      expect(lines).toEqual(['127 undefined true', '', 'ended with 0'])
    },
  )

  test('and lets nobody end who waits for it, is told of, and nothing is left once it has gone', () => {
    const lines = linesOf(
      silentDisk,
      `
        import { readdirSync } from 'node:fs'
        ${quickly}
        console.log(executor.isolation, lateCount)
        console.log(await textOf(executor.openSlot(sh('true'), signal)))
        console.log(executor.leftovers.filter((text) => !/^control group .* do not end .* disk/.test(text)))
        console.log(readdirSync(${JSON.stringify(join(data, 'scratch'))}))
        process.kill(Number(process.env.PROGRAM), 'SIGKILL')
        const clock = new SystemClock()
        for (let round = 0; round < 600 && executor.leftovers.length > 0; round += 1) await clock.sleep(100)
        console.log(executor.leftovers)
        console.log(await textOf(executor.openSlot(sh('true'), signal)))
      `,
    )
    expect(lines).toEqual([
      'unknown 1',
      expect.stringContaining('UnavailableError: no sandbox could be made (it was not ready after'),
      '[]',
      '[]',
      '[]',
      'opened',
      '',
      'ended with 0',
    ])
  })

  test.each<Isolation>(['root', 'none'])(
    'ends no server that waits for a datum, which cannot be ended either (%s)',
    (isolation) => {
      const lines = linesOf(
        'mount -t tmpfs disks /srv; mkdir /srv/d; ' + silentDisk.replace('/srv', '/srv/d'),
        `
        ${quickly}
        const slot = await executor.openSlot(sh('echo begun; ls /srv/d'), signal)
        const stop = new AbortController()
        const onLine = ({ text }) => {
          console.log(text)
          // It waits for the disk by then.
          setTimeout(() => stop.abort(), 2000)
        }
        const run = slot.run({ environment: {}, onLine, onLeftOut: () => {} }, stop.signal)
        console.log(await textOf(run))
        await executor[Symbol.asyncDispose]()
        console.log('closed')
      `,
        { isolation },
      )
      expect(lines).toEqual([
        'begun',
        'CancelledError: the datum was cancelled',
        'closed',
        '',
        'ended with 0',
      ])
    },
  )

  test('fails the slots that must look at it, and stops nothing else', () => {
    const lines = linesOf(
      'mount -t tmpfs sockets /srv',
      `
        import { spawn } from 'node:child_process'
        import { once } from 'node:events'
        import { readFileSync } from 'node:fs'
        import { createServer } from 'node:net'
        ${quickly}
        console.log(await textOf(executor.openSlot(sh('true'), signal)))
        const listener = createServer().listen('/srv/s.sock')
        await once(listener, 'listening')
        const disk = spawn('sh', ['-c', process.env.DISK + '; echo; exec sleep 100'])
        await once(disk.stdout, 'data')
        let last = performance.now()
        let longestMs = 0
        const timer = setInterval(() => {
          longestMs = Math.max(longestMs, performance.now() - last)
          last = performance.now()
        }, 10)
        const openings = [1, 2, 3].map(() => textOf(executor.openSlot(sh('true'), signal)))
        console.log(new Set(await Promise.all(openings)))
        clearInterval(timer)
        console.log(longestMs < 2500, lateCount)
        disk.kill('SIGKILL')
        await once(disk, 'close')
        let end = ''
        while (end !== 'opened') end = await textOf(executor.openSlot(sh('true'), signal))
        console.log(end)
        listener.close()
      `,
    )
    expect(lines).toEqual([
      'opened',
      'Set(1) {',
      expect.stringContaining(
        "'SandboxLateError: no sandbox: it was not ready after 30 seconds: /srv (fuse) does not answer",
      ),
      '}',
      'true 1',
      'opened',
      '',
      'ended with 0',
    ])
  })
})

test('what is mounted from elsewhere is named, and nothing else', () => {
  const table = [
    '21 1 8:1 / / rw - ext4 /dev/sda1 rw',
    '30 21 0:40 / /mnt/a\\040b rw,relatime shared:9 - nfs4 server:/x rw',
    '31 21 0:41 / /sys/fs/fuse/connections rw - fusectl fusectl rw',
    '32 21 0:42 / /data rw - fuse.sshfs me@host:/ rw',
    '',
  ].join('\n')
  const mounts = remoteMounts(parseMounts(table))
  expect(lateText(30_000, mounts, [])).toContain(
    'see whether these do: /mnt/a b (nfs4), /data (fuse.sshfs); mend',
  )
  expect(lateText(30_000, mounts, mounts.slice(1))).toContain(
    ': /data (fuse.sshfs) does not answer',
  )
  expect(lateText(30_000, mounts, mounts)).toContain('/data (fuse.sshfs) do not answer')
  expect(lateText(30_000, [], [])).not.toContain('see whether')
  const many = [...mounts, ...mounts, ...mounts]
  expect(lateText(30_000, many, [])).toContain('/mnt/a b (nfs4) and others')
})
