import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { getPriority } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { newHexId, SystemRandom } from '../base/random.ts'
import { serverScript } from '../testing/executor-script.ts'
import { processesWith, runIn, sh, transform } from '../testing/process-fixture.ts'
import { type Isolation, openProcessExecutor, type ProcessExecutor } from './process.ts'
import { isTested, leaveOut } from '../testing/left-out.ts'

const clock = new SystemClock()
const random = new SystemRandom()
const isRoot = process.geteuid?.() === 0
const never = new AbortController().signal
const nobody = 65_534
/** The number of `prlimit64`. */
const prlimitCall = process.arch === 'arm64' ? 261 : 302

// Below the checkout: what is below /tmp is out of sight for user code anyway.
const home = resolve('node_modules')

let data = ''

beforeEach(() => {
  data = mkdtempSync(join(home, '.pachyderm-executor-'))
})

afterEach(() => {
  rmSync(data, { recursive: true, force: true })
})

function open(isolation?: Isolation): Promise<ProcessExecutor> {
  return openProcessExecutor({
    directory: join(data, 'scratch'),
    hiddenDirectories: [data],
    clock,
    random,
    ...(isolation === undefined ? {} : { isolation }),
  })
}

const isolations: readonly Isolation[] = ['root', 'user', 'none']

/** Whoever is not root cannot test its sandbox. */
function describeFor(isolation: Isolation): typeof describe | typeof describe.skip {
  return isolation === 'root' && !isTested(isRoot) ? describe.skip : describe
}

for (const isolation of isolations.filter((each) => each !== 'none')) {
  describeFor(isolation)(`the sandbox of "${isolation}"`, () => {
    test('of a program that it hides, says where the host has it', async () => {
      const program = join(data, 'hidden-program')
      writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 })
      await using executor = await open(isolation)
      const found = { environment: { PATH: `/usr/bin:/bin:${data}` } }
      for (const what of [transform([program]), transform(['hidden-program'], found)]) {
        await using slot = await executor.openSlot(what, never)
        await expect(runIn(slot)).rejects.toThrow(
          `was not found: the host has it as ${program}, which user code does not see`,
        )
      }
      // Of what is no program, not even that it is there.
      const key = join(data, 'key')
      writeFileSync(key, 'K', { mode: 0o600 })
      for (const other of ['/no/such/program', key]) {
        await using slot = await executor.openSlot(transform([other]), never)
        await expect(runIn(slot)).rejects.toThrow(
          "was not found: the process executor runs the host's",
        )
      }
    })

    let executor: ProcessExecutor

    beforeEach(async () => {
      executor = await open(isolation)
    })

    afterEach(async () => {
      await executor[Symbol.asyncDispose]()
    })

    test('/pfs is real', async () => {
      await using slot = await executor.openSlot(sh('ls /pfs; pwd -P; cd /pfs/in && pwd -P'), never)
      expect(slot.pfsPath).toBe('/pfs')
      mkdirSync(join(slot.pfsDirectory, 'in'))
      expect((await runIn(slot)).stdout).toEqual(['in', 'out', '/', '/pfs/in'])
    })

    test('user code can change no input, whatever it is to it', async () => {
      const script =
        'cd /pfs/in; for c in "echo x >f" "echo x >>f" "rm f" "mv f g" "chmod 777 f" "chown 5 f" "touch f" ' +
        '"ln f g" "ln f ../out/g" "mkdir d" "mv ../in ../other" "mv ../out ../other" "rmdir ../out" ' +
        '"mount -o remount,rw /pfs" "umount /pfs" "truncate -s 0 /proc/self/cwd/f"; do ' +
        '(eval "$c") 2>/dev/null && echo "$c"; done; cat f; echo >../out/f'
      await using slot = await executor.openSlot(sh(script), never)
      expect(slot.isInputReadOnly).toBe(true)
      mkdirSync(join(slot.pfsDirectory, 'in'))
      const file = join(slot.pfsDirectory, 'in/f')
      writeFileSync(file, 'as it was')
      const before = statSync(file)
      expect(await runIn(slot)).toMatchObject({ exitCode: 0, stdout: ['as it was'], stderr: [] })
      expect(statSync(file)).toEqual(before)
      expect(readdirSync(join(slot.pfsDirectory, 'out'))).toEqual(['f'])
    })

    test('user code can neither read nor change the data directory or another slot', async () => {
      writeFileSync(join(data, 'secret'), 'secret')
      await using other = await executor.openSlot(sh('exit 0'), never)
      writeFileSync(join(other.pfsDirectory, 'foreign'), 'secret')
      const paths = [join(data, 'secret'), join(other.pfsDirectory, 'foreign')]
      const script = [
        `umount "${data}"; umount -l "${data}"; umount /; mount -t tmpfs x /mnt`,
        `ls -A "${data}"`,
        ...paths.flatMap((path) => [
          ...['', '/proc/1/root', '/proc/self/root', '/proc/1/cwd'].map(
            (at) => `cat "${at}${path}"`,
          ),
          `echo broken >"${path}"`,
        ]),
        `for p in /proc/[0-9]*; do cat "$p/root${paths[0]}"; done`,
        'chroot /proc/1/root cat "$0"',
        'exit 9',
      ].join('\n')
      await using slot = await executor.openSlot(sh(script), never)
      const ran = await runIn(slot)
      expect(ran.exitCode).toBe(9)
      expect(ran.stdout).toEqual([])
      for (const path of paths) expect(readFileSync(path, 'utf8')).toBe('secret')
      expect(readdirSync(data).toSorted()).toEqual(['scratch', 'secret'])
    })

    test('user code cannot change the host, and sees no process or device of it', async () => {
      const mark = `.pachyderm-test-${newHexId(random)}`
      const victim = spawn('sleep', ['1000'], { stdio: 'ignore' })
      using ended = new DisposableStack()
      ended.defer(() => victim.kill('SIGKILL'))
      const script =
        `for d in / /etc /usr /var /home /root /dev /proc/sys "${home}"; do touch "$d/${mark}"; done; ` +
        'ls -d /proc/[0-9]*; ls /dev; echo x >/proc/sys/kernel/hostname; mknod /tmp/d b 254 0; ' +
        `kill -9 1; kill -9 ${victim.pid}; ls /dev/null && echo alive`
      await using slot = await executor.openSlot(sh(script), never)
      const { stdout } = await runIn(slot)
      expect(victim.kill()).toBe(true)
      expect(await once(victim, 'exit')).toEqual([null, 'SIGTERM'])
      expect(stdout.filter((line) => line.startsWith('/proc/')).length).toBeLessThanOrEqual(3)
      expect(stdout).toContain('/proc/1')
      expect(stdout).toContain('alive')
      expect(stdout.join(' ')).not.toMatch(/\b(vda|sda|mem|kmsg)\b/)
      const marks = ['/', '/etc', '/usr', '/var', '/home', '/root', home].map((at) =>
        join(at, mark),
      )
      const made = marks.filter((path) => existsSync(path))
      for (const path of made) rmSync(path, { recursive: true, force: true })
      expect(made).toEqual([])
    })

    test('user code cannot get at the keeper, and the runner is out of sight', async (context) => {
      if (spawnSync('perl', ['-e', '1']).status !== 0) {
        leaveOut(context, 'without perl there is no calling the kernel from here')
      }
      // pidfd_open, and then pidfd_getfd, which have these numbers on every kind of machine.
      const script = [
        'my $runner = syscall(434, 1, 0); print $runner >= 0 ? "" : "no runner: $!\\n";',
        'for my $fd (0..9) { print "took $fd\\n" if syscall(438, $runner, $fd, 0) >= 0 }',
        'print "$!\\n"; for (qw(mem environ fd/0 fd/3 cwd)) { print "read $_\\n" if open(F, "+</proc/1/$_") || readlink("/proc/1/$_") }',
        'my $self = syscall(434, $$ + 0, 0); print "works\\n" if syscall(438, $self, 1, 0) >= 0;',
        'print getppid(), "\\n"',
      ].join(' ')
      await using slot = await executor.openSlot(transform(['perl', '-e', script]), never)
      const stdout = ['Operation not permitted', 'works', '0']
      const expected = { exitCode: 0, stdout, stderr: [], leftOutCount: 0 }
      expect(await runIn(slot)).toEqual(expected)
      expect(await runIn(slot)).toEqual(expected)
    })

    test('user code can take no lease, and cannot bound the keeper', async (context) => {
      if (spawnSync('perl', ['-e', '1']).status !== 0) {
        context.skip('without perl there is no calling the kernel from here')
        return
      }
      // F_SETLEASE with F_RDLCK, F_NOTIFY with DN_MODIFY, and F_GETFD; then RLIMIT_CORE of process 1, and of its own.
      const script = [
        'sub told { print "$_[0]: ", (defined $_[1] && $_[1] != -1 ? "done" : $!), "\n" }',
        'open(F, ">", "/tmp/f"); close F; open(F, "<", "/tmp/f"); open(D, "<", "/tmp");',
        'told("lease", fcntl(F, 1024, 0)); told("notice", fcntl(D, 1026, 2)); told("flags", fcntl(F, 1, 0));',
        `my $bounds = pack("QQ", 0, 0); told("keeper", syscall(${prlimitCall}, 1, 4, $bounds, 0));`,
        `told("own", syscall(${prlimitCall}, 0, 4, $bounds, 0))`,
      ].join(' ')
      await using slot = await executor.openSlot(transform(['perl', '-e', script]), never)
      expect((await runIn(slot)).stdout).toEqual([
        'lease: Invalid argument',
        'notice: Invalid argument',
        'flags: done',
        'keeper: Operation not permitted',
        'own: done',
      ])
    })

    test('user code that signals its process group ends itself only', async () => {
      await using slot = await executor.openSlot(sh('kill -9 0'), never)
      for (let round = 0; round < 3; round += 1) expect((await runIn(slot)).exitCode).toBe(137)
    })

    test('whom user code leaves are reaped while it runs', async () => {
      const script =
        'for i in 1 2 3 4 5; do (setsid sh -c : &); done; ' +
        'until set -- /proc/[0-9]*; [ $# -eq 2 ]; do :; done; echo "$@" | wc -w'
      await using slot = await executor.openSlot(sh(script), never)
      for (let round = 0; round < 3; round += 1) {
        expect((await runIn(slot)).stdout).toEqual(['2'])
      }
    })

    test('processes that user code foists on the runner do not survive it', async (context) => {
      const clone = { x64: 56, arm64: 220 }[process.arch as string]
      if (clone === undefined || spawnSync('perl', ['-e', '1']).status !== 0) {
        leaveOut(context, 'without perl there is no calling the kernel from here')
      }
      const mark = `1000.${BigInt(`0x${newHexId(random)}`)}`
      // CLONE_PARENT and SIGCHLD: the new process is a brother, not a child.
      const script =
        `for (1..3) { my $pid = syscall(${clone}, 0x8000 | 17, 0, 0, 0, 0); ` +
        `exec("sleep", $_ == 1 ? "0" : "${mark}") if $pid == 0; print "$pid\n" if $pid < 0 } ` +
        'print getppid(), "\n"; exit 7'
      await using slot = await executor.openSlot(transform(['perl', '-e', script]), never)
      for (let round = 0; round < 3; round += 1) {
        const { exitCode, stdout } = await runIn(slot)
        expect([exitCode, stdout]).toEqual([7, ['0']])
        expect(processesWith(`sleep\0${mark}`)).toEqual([])
      }
    })

    test('user code has fewer rights than the keeper, and comes last', async () => {
      const script = 'grep CapBnd /proc/self/status; nice; cat /proc/self/oom_score_adj'
      await using slot = await executor.openSlot(sh(script), never)
      const { stdout } = await runIn(slot)
      expect(stdout).toEqual(['CapBnd:\t00000000000404fb', String(getPriority() + 5), '500'])
    })

    test('what comes into /pfs/out shows without a look, and so does that nothing did', async () => {
      // Whatever there is now was there long before a datum begins.
      class LateClock extends SystemClock {
        override now(): number {
          return super.now() + 3_600_000_000
        }
      }
      await using late = await openProcessExecutor({
        directory: join(data, 'late'),
        hiddenDirectories: [data],
        clock: new LateClock(),
        random,
        isolation,
      })
      const script =
        'case $DO in f) : >/pfs/out/f ;; d) mkdir /pfs/out/d && rmdir /pfs/out/d ;; esac'
      await using slot = await late.openSlot(sh(script), never)
      const seen: boolean[] = []
      for (const step of ['', '', 'f', '', '', 'd', '', '']) {
        // One tick of the file system's clock.
        await clock.sleep(15)
        expect((await runIn(slot, { DO: step })).exitCode).toBe(0)
        seen.push(slot.mayHaveOutput)
        await slot.reset({ copies: [], otherFiles: [], directories: new Set(['/out']) })
      }
      expect(seen).toEqual([true, false, true, true, false, true, false, false])
    })

    test('a run finds the environment that it is given, whatever was prepared', async () => {
      await using slot = await executor.openSlot(sh('echo "$A"'), never)
      const prepared = { A: 'prepared' }
      slot.prepare(prepared)
      expect((await runIn(slot, prepared)).stdout).toEqual(['prepared'])
      slot.prepare(prepared)
      expect((await runIn(slot, { A: 'another' })).stdout).toEqual(['another'])
      expect((await runIn(slot, prepared)).stdout).toEqual(['prepared'])
    })

    test('shared memory and message queues do not survive a datum', async () => {
      await using slot = await executor.openSlot(
        sh(
          'ls -A /dev/shm /dev/mqueue /tmp /var/tmp; ipcs | grep ^0x; ' +
            ': >/dev/shm/a; : >/dev/shm/.b; : >/dev/mqueue/q; : >/var/tmp/c; ipcmk -M 10 >/dev/null',
        ),
        never,
      )
      const first = await runIn(slot)
      await slot.reset()
      expect(await runIn(slot)).toEqual(first)
      expect(first.stdout.join(' ')).toBe('/dev/mqueue:  /dev/shm:  /tmp:  /var/tmp:')
    })

    test('a sandbox that dies fails the datum instead of hanging', async () => {
      await using slot = await executor.openSlot(sh('echo started; sleep 1000'), never)
      const mark = slot.pfsDirectory.replace(/\/pfs$/, '')
      const run = slot.run(
        {
          environment: {},
          onLeftOut: () => {},
          onLine: () => {
            for (const pid of processesWith(mark)) process.kill(Number(pid), 'SIGKILL')
          },
        },
        never,
      )
      await expect(run).rejects.toThrow('the sandbox ended')
    })
  })
}

describe('an executor', () => {
  test('opens with the best isolation that the machine allows', async () => {
    await using executor = await open()
    expect(executor.isolation).toBe('unknown')
    await executor.lookWhole()
    expect(executor.isolation).toBe(isRoot ? 'root' : 'user')
    expect(executor.notices(sh('true'))).toEqual([])
  })

  test('says that an image is not used, and when there is no sandbox', async () => {
    await using executor = await open('none')
    await executor.lookWhole()
    const notices = executor.notices(transform(['true'], { image: 'ubuntu:16.04' }))
    expect(notices).toEqual([
      "image ubuntu:16.04 is recorded, but this executor runs the host's programs",
      'there is no sandbox (as pachd --sandbox off says): /pfs is the directory named by $PFS, and the ' +
        'code can see the rest of the machine',
    ])
  })

  test('removes what a crash left', async () => {
    mkdirSync(join(data, 'scratch/old/pfs/a'), { recursive: true })
    writeFileSync(join(data, 'scratch/old/pfs/a/f'), '')
    await using executor = await open()
    expect(readdirSync(join(data, 'scratch'))).toEqual([])
    expect(executor.name).toBe('process')
  })

  test('works in a directory whose path has spaces and quotes', async () => {
    const odd = join(data, `it's a "dir" $x`)
    mkdirSync(odd)
    await using executor = await openProcessExecutor({
      directory: join(odd, 'scratch'),
      hiddenDirectories: [data],
      clock,
      random,
    })
    await executor.lookWhole()
    expect(['root', 'user']).toContain(executor.isolation)
  })

  test('an ordinary user gets the sandbox, too', async (context) => {
    const canBecomeNobody =
      isRoot &&
      spawnSync('setpriv', [
        ...asNobody,
        process.execPath,
        '-e',
        `require('fs').readdirSync(${JSON.stringify(home)})`,
      ]).status === 0
    if (!canBecomeNobody) {
      context.skip('only root can become another user, and only in a checkout that all can read')
      return
    }
    chownSync(data, nobody, nobody)
    writeFileSync(join(data, 'secret'), 'secret')
    const script =
      `id -u; cat "${data}/secret" 2>/dev/null; mkdir -m 0 /pfs/out/d; ` +
      'setsid sleep 1000 & chown 5 /pfs/out/d 2>/dev/null; exit 6'
    const { stdout, status } = spawnSync(
      'setpriv',
      [...asNobody, process.execPath, '--input-type=module', '-e', serverScript(data, sh(script))],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: '/usr/bin:/bin' } },
    )
    expect(status).toBe(0)
    expect(stdout).toBe('0\nuser 6\n')
  })
})

const asNobody = [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--']
