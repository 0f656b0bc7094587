import { spawnSync } from 'node:child_process'
import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { noSecrets } from '../pipelines/executor.ts'
import { serverScript } from '../testing/executor-script.ts'
import { runIn, sh, transform } from '../testing/process-fixture.ts'
import { openProcessExecutor, type ProcessExecutor } from './process.ts'
import { commandLine, Sandbox, type SandboxMode } from './process/sandbox.ts'
import { makeSlotDirectory } from './process/slot-directory.ts'
import { leaveOut } from '../testing/left-out.ts'

const isRoot = process.geteuid?.() === 0
const modes: readonly SandboxMode[] = isRoot ? ['root', 'user'] : ['user']
const never = new AbortController().signal
const nobody = 65_534
const asNobody = ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--']

// Below the checkout: what is below /tmp is out of sight for user code anyway.
const home = resolve('node_modules')

let data = ''

beforeEach(() => {
  data = mkdtempSync(join(home, '.pachyderm-closed-'))
})

afterEach(() => {
  rmSync(data, { recursive: true, force: true })
})

/** Where a datum may write, and nothing of it is there for the next; root's could change /proc for all. */
const writable = ['/dev/mqueue', '/dev/pts', '/dev/shm', '/pfs/out', '/proc', '/tmp', '/var/tmp']
// Of mounts at one place, the last; of those that can be reached.
const printWritable =
  "awk '{ flags[$5] = $6 } END { for (place in flags) if (flags[place] ~ /^rw/) print place }' " +
  '/proc/self/mountinfo | sort | while read -r place; do [ ! -e "$place" ] || echo "$place"; done'

/** Says what of it came true. */
const changeAll = [
  ...['/', '/run', '/dev', '/etc', '/usr/bin', '/sys', '/pfs', '/pfs/in', '/.pachyderm'].map(
    (directory) => `touch ${directory}/left`,
  ),
  ...['/bin', '/lib64', '/lib', '/usr', '/etc'].flatMap((path) => [
    `mv ${path} ${path}.old`,
    `ln -s /tmp ${path}/left`,
    `[ -L ${path} ] && rm ${path}`,
    `mount -t tmpfs none ${path}`,
  ]),
  'echo x >/.pachyderm/stdin',
  // Which they have, so that nothing comes of it.
  'chmod 666 /dev/null',
  'chown 0 /dev/zero',
  'touch /dev/full',
  'chmod 444 /proc/execdomains',
  'chmod 444 /proc/self/net/dev',
  'cat /proc/keys',
]
  .map((change) => `(${change}) 2>/dev/null && echo ${JSON.stringify(change)}; `)
  .join('')

for (const mode of modes) {
  describe(`what user code can write to in the sandbox of "${mode}"`, () => {
    let executor: ProcessExecutor

    beforeEach(async () => {
      executor = await openProcessExecutor({
        directory: join(data, 'scratch'),
        hiddenDirectories: [data],
        clock: new SystemClock(),
        random: new SystemRandom(),
        isolation: mode,
      })
    })

    afterEach(async () => {
      await executor[Symbol.asyncDispose]()
    })

    test('is the places that are its own', async () => {
      await using slot = await executor.openSlot(sh(printWritable), never)
      const expected = writable.filter((place) => !isRoot || place !== '/proc')
      expect((await runIn(slot)).stdout).toEqual(expected)
    })

    test('is no keyring of the machine', async (context) => {
      const first = { x64: 248, arm64: 217 }[process.arch as string]
      if (first === undefined || spawnSync('perl', ['-e', '1']).status !== 0) {
        leaveOut(context, 'without perl there is no calling the kernel from here')
      }
      // Into the user's keyring (-4) and the session's (-3), asked for, and got by its number.
      const calls = [
        `${first}, my $t = "user", my $n = "left", my $v = "foreign", 7, -4`,
        `${first}, $t, $n, $v, 7, -3`,
        `${first} + 1, $t, $n, 0, -4`,
        `${first} + 2, 0, -4, 1`,
        `${first} + 2, 10, -4, $t, $n, 0`,
      ]
      const script = `${calls.map((call) => `print "$!\n" if syscall(${call}) < 0; `).join('')}print "end\n"`
      await using slot = await executor.openSlot(transform(['perl', '-e', script]), never)
      expect((await runIn(slot)).stdout).toEqual([
        ...calls.map(() => 'Function not implemented'),
        'end',
      ])
    })

    test('is nothing that the next datum, or what the runner starts, or the machine would find', async () => {
      // So that the runner has something to clear away.
      const script = `${changeAll}echo x >/dev/shm/x; exit 7`
      await using slot = await executor.openSlot(sh(script), never)
      mkdirSync(join(slot.pfsDirectory, 'in'))
      for (let round = 0; round < 3; round += 1) {
        expect(await runIn(slot)).toMatchObject({ exitCode: 7, stdout: [], stderr: [] })
        await slot.reset()
      }
    })
  })

  // A step of the setup that does not do what it is there for.
  test.each([
    ['/', 'mount -n -o remount,bind,ro /\n'],
    [isRoot ? '/proc' : '/dev', 'restrict\nmount -n -a -T "$table" 2>/dev/null || :\n'],
  ])(
    `a sandbox of "${mode}" in which %s could be written to does not open`,
    async (place, step) => {
      const script = fileURLToPath(new URL('process/sandbox.sh', import.meta.url))
      const lame = join(data, 'sandbox.sh')
      const whole = readFileSync(script, 'utf8')
      writeFileSync(lame, whole.replace(step, ''))
      expect(readFileSync(lame, 'utf8')).toHaveLength(whole.length - step.length)
      const directory = await makeSlotDirectory(join(data, 'slot'), {
        transform: sh('true'),
        secrets: noSecrets,
      })
      const options = {
        mode,
        clock: new SystemClock(),
        filterLoader: undefined,
        directory,
        hiddenDirectories: [data],
        coveredDirectories: [],
        leftOut: [],
        secrets: noSecrets,
        command: ['true'],
        limits: { groupEntries: [], dataBytes: 0, processCount: 0 },
        onStdout: () => {},
        onStderr: () => {},
      }
      await using sandbox = new Sandbox(options, commandLine(options, lame))
      await expect(sandbox.ready).rejects.toThrow(`no sandbox: ${place} is not read-only`)
    },
  )
}

for (const mode of modes) {
  test(`what the server keeps outside of its data directory is out of sight in the sandbox of "${mode}"`, async () => {
    const kept = mkdtempSync(join(home, '.pachyderm-kept-'))
    const mounted = join(kept, 'keys/disk')
    try {
      for (const name of ['keys', 'linked', 'backups', 'plain']) mkdirSync(join(kept, name))
      for (const name of ['keys/k', 'keys/other', 'linked/real', 'backups/b', 'plain/p']) {
        writeFileSync(join(kept, name), `text of ${name}`, { mode: 0o600 })
      }
      symlinkSync('../linked/real', join(kept, 'plain/link'))
      mkdirSync(mounted)
      // A disk below a directory of which something is hidden.
      const disk = isRoot ? spawnSync('mount', ['-t', 'tmpfs', 'disk', mounted]).status : 0
      expect(disk).toBe(0)
      await using executor = await openProcessExecutor({
        directory: join(data, 'scratch'),
        hiddenDirectories: [data],
        hiddenPaths: ['keys/k', 'plain/link', 'backups', 'later/b', 'none/of/these'].map((name) =>
          join(kept, name),
        ),
        clock: new SystemClock(),
        random: new SystemRandom(),
        isolation: mode,
      })
      await using slot = await executor.openSlot(
        sh(`cd ${kept}; grep -rs text . | sort; cat plain/link 2>&- || ls backups linked`),
        never,
      )
      // As keys are changed, and as a first backup makes its place.
      writeFileSync(join(kept, 'keys/new'), 'text of a new key', { mode: 0o600 })
      renameSync(join(kept, 'keys/new'), join(kept, 'keys/k'))
      mkdirSync(join(kept, 'later'))
      writeFileSync(join(kept, 'later/b'), 'text of a backup')
      expect((await runIn(slot)).stdout).toEqual([
        './keys/other:text of keys/other',
        './plain/p:text of plain/p',
        'backups:',
        '',
        'linked:',
      ])
    } finally {
      if (isRoot) spawnSync('umount', ['-l', mounted])
      rmSync(kept, { recursive: true, force: true })
    }
  })
}

// The kernel locks what a user namespace finds.
test.each([
  ['whose data directory has flags of its own', 'mount --bind -o nodev,noexec,noatime "$0" "$0"'],
  ['whose devices have flags of their own', 'mount -o remount,bind,nosuid,noexec /dev'],
  ['with mounts of nothing by name', 'mount -t tmpfs none /mnt; mount -t tmpfs mount /srv'],
  ['with mounts over mounts', 'mount -t tmpfs one /mnt; mount -t tmpfs other /mnt'],
  [
    'with a mount in a directory that it may not search',
    'mount -t tmpfs one /mnt; mkdir -p -m 700 /mnt/own/place; mount -t tmpfs other /mnt/own/place; chmod 700 /mnt/own',
  ],
])('an ordinary user has the same on a machine %s', (_name, prepare) => {
  if (isRoot) chownSync(data, nobody, nobody)
  const server = [
    process.execPath,
    '--input-type=module',
    '-e',
    serverScript(data, sh(printWritable)),
  ]
  const apart = ['--mount', ...(isRoot ? [] : ['--user', '--map-root-user'])]
  const { stdout, stderr } = spawnSync(
    'unshare',
    [...apart, 'sh', '-ec', `${prepare}; exec "$@"`, data, ...(isRoot ? asNobody : []), ...server],
    { encoding: 'utf8', env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' } },
  )
  expect([stderr, stdout]).toEqual([
    '',
    [...writable, `${isRoot ? 'user' : 'root'} 0`, ''].join('\n'),
  ])
})
