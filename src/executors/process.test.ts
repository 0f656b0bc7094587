import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
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
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { CancelledError, FailedPreconditionError } from '../base/errors.ts'
import { newHexId, SystemRandom } from '../base/random.ts'
import type { LogLine, RunResult, Slot, Transform } from '../pipelines/executor.ts'
import { type Isolation, openProcessExecutor, type ProcessExecutor } from './process.ts'

const clock = new SystemClock()
const random = new SystemRandom()
const isRoot = process.geteuid?.() === 0
const never = new AbortController().signal
const nobody = 65_534

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

function transform(command: readonly string[], more: Partial<Transform> = {}): Transform {
  return {
    image: '',
    command,
    stdinLines: [],
    environment: {},
    acceptedReturnCodes: [],
    ...more,
  }
}

function sh(script: string): Transform {
  return transform(['sh', '-c', script])
}

interface Ran extends RunResult {
  readonly stdout: readonly string[]
  readonly stderr: readonly string[]
}

async function runIn(slot: Slot, environment: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const lines: LogLine[] = []
  const result = await slot.run({ environment, onLine: (line) => lines.push(line) }, never)
  const textsOf = (stream: string): readonly string[] =>
    lines.filter((line) => line.stream === stream).map((line) => line.text)
  return { ...result, stdout: textsOf('stdout'), stderr: textsOf('stderr') }
}

/** All that is below a directory but the directories right in it. */
function filesIn(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => !entry.isDirectory() || entry.parentPath !== directory)
    .map((entry) => entry.name)
}

/** Processes of the host with `text` in their command line. */
function processesWith(text: string): readonly string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text)
    } catch {
      return false
    }
  })
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await clock.sleep(2)
}

const isolations: readonly Isolation[] = ['root', 'user', 'none']

/** Whoever is not root cannot test its sandbox. */
function describeFor(isolation: Isolation): typeof describe | typeof describe.skip {
  return isolation === 'root' && !isRoot ? describe.skip : describe
}

for (const isolation of isolations) {
  describeFor(isolation)(`with isolation "${isolation}"`, () => {
    let executor: ProcessExecutor

    beforeEach(async () => {
      executor = await open(isolation)
    })

    afterEach(async () => {
      await executor[Symbol.asyncDispose]()
    })

    async function runOnce(
      what: Transform,
      environment: Readonly<Record<string, string>> = {},
    ): Promise<Ran> {
      await using slot = await executor.openSlot(what, never)
      return await runIn(slot, environment)
    }

    test('the command gets its arguments as they are, its lines of input, and / to work in', async () => {
      const odd = ['a b', '', '$HOME', '*', "it's", 'new\nline', '-n', '%s']
      const script = 'cat; pwd; printf "<%s>" "$@"'
      const ran = await runOnce(
        transform(['sh', '-c', script, ...odd], { stdinLines: ['one', '', ' $x ', 'per % cent'] }),
      )
      expect(ran.exitCode).toBe(0)
      expect(ran.stdout.slice(0, 5)).toEqual(['one', '', ' $x ', 'per % cent', '/'])
      expect(ran.stdout.slice(5).join('\n')).toBe(
        odd
          .slice(1)
          .map((each) => `<${each}>`)
          .join(''),
      )
    })

    test("the environment is the transform's and the datum's, nothing of the server", async () => {
      const what = transform(['env'], { environment: { A: '1', 'my-odd.name': 'x', B: "2'" } })
      const ran = await runOnce(what, { A: 'datum', PACH_JOB_ID: 'job' })
      const names = ran.stdout.map((line) => line.slice(0, line.indexOf('=')))
      const expected = ['A', 'B', 'HOME', 'LANG', 'PACH_JOB_ID', 'PATH', 'PFS', 'my-odd.name']
      expect(
        names.filter((name) => !['PWD', 'TMPDIR', 'PACHYDERM_DATUM_TAG'].includes(name)).toSorted(),
      ).toEqual(expected)
      expect(ran.stdout).toContain('A=datum')
      expect(ran.stdout).toContain("B=2'")
    })

    test('$PFS names the directory that the server fills, and what is written there is found', async () => {
      await using slot = await executor.openSlot(sh('cat "$PFS/in/f"; echo x >"$PFS/out/g"'), never)
      mkdirSync(join(slot.pfsDirectory, 'in'))
      mkdirSync(join(slot.pfsDirectory, 'out'))
      writeFileSync(join(slot.pfsDirectory, 'in/f'), 'input\n')
      expect((await runIn(slot)).stdout).toEqual(['input'])
      expect(readFileSync(join(slot.pfsDirectory, 'out/g'), 'utf8')).toBe('x\n')
      await slot.reset()
      expect(filesIn(slot.pfsDirectory)).toEqual([])
    })

    test.each([
      ['exit 0', 0],
      ['exit 3', 3],
      ['exit 126', 126],
      ['exit 127', 127],
      ['kill -TERM $$', 143],
      ['kill -KILL $$', 137],
    ])('%j ends with code %d', async (script, exitCode) => {
      expect((await runOnce(sh(script))).exitCode).toBe(exitCode)
    })

    test('a program that is missing or cannot be started fails with its name, not with a code', async () => {
      const script = join(home, `.pachyderm-script-${newHexId(random)}`)
      try {
        writeFileSync(script, '#!/no/such/interpreter\n')
        chmodSync(script, 0o755)
        for (const program of ['no-such-program', '/no/such/program', '/etc/passwd', script]) {
          const ran = runOnce(transform([program, 'x']))
          await expect(ran).rejects.toThrow(FailedPreconditionError)
          await expect(ran).rejects.toThrow(program)
        }
      } finally {
        rmSync(script)
      }
    })

    test('a slot serves on after a program was missing', async () => {
      await using slot = await executor.openSlot(transform(['no-such-program']), never)
      await expect(runIn(slot)).rejects.toThrow('no-such-program')
      await expect(runIn(slot)).rejects.toThrow('no-such-program')
    })

    test('lines come while the program runs', async () => {
      await using slot = await executor.openSlot(
        sh('echo first; until [ -e "$PFS/go" ]; do sleep 0.01; done; printf last >&2'),
        never,
      )
      const lines: string[] = []
      await slot.run(
        {
          environment: {},
          onLine: (line) => {
            lines.push(`${line.stream} ${line.text}`)
            if (line.text === 'first') writeFileSync(join(slot.pfsDirectory, 'go'), '')
          },
        },
        never,
      )
      expect(lines).toEqual(['stdout first', 'stderr last'])
    })

    test('no line is lost or leaks into the next datum, however much is written', async () => {
      await using slot = await executor.openSlot(
        sh('seq 1 20000; printf "%s" "$N"; seq 1 5000 >&2; echo "$N" >/dev/stderr'),
        never,
      )
      for (const number of ['a', 'b']) {
        const ran = await runIn(slot, { N: number })
        expect(ran.stdout.length).toBe(20_001)
        expect(ran.stdout.at(-2)).toBe('20000')
        expect(ran.stdout.at(-1)).toBe(number)
        expect(ran.stderr.at(-1)).toBe(number)
      }
    })

    test('nothing that a datum started survives it, daemons included', async () => {
      const mark = `1000.${BigInt(`0x${newHexId(random)}`)}`
      await using slot = await executor.openSlot(
        sh(
          `sleep ${mark} & nohup sleep ${mark} >/dev/null 2>&1 & setsid sleep ${mark} & ` +
            `(setsid sh -c '(trap "" TERM HUP; sleep ${mark}; :) & exit' &) ; ` +
            `until [ "$(pgrep -c -f '^sleep ${mark}')" = 4 ]; do :; done; exit 5`,
        ),
        never,
      )
      for (let round = 0; round < 3; round += 1) {
        expect((await runIn(slot)).exitCode).toBe(5)
        // Not the slot's own, which know the whole script.
        expect(processesWith(`sleep\0${mark}`)).toEqual([])
      }
    })

    test('an abort kills the datum and all it started', async () => {
      const mark = `1000.${BigInt(`0x${newHexId(random)}`)}`
      await using slot = await executor.openSlot(
        sh(`setsid sleep ${mark} & echo started; sleep ${mark}`),
        never,
      )
      const abort = new AbortController()
      const run = slot.run({ environment: {}, onLine: () => abort.abort() }, abort.signal)
      await expect(run).rejects.toThrow(CancelledError)
      expect(processesWith(mark)).toEqual([])
      await expect(slot.run({ environment: {}, onLine: () => {} }, abort.signal)).rejects.toThrow(
        CancelledError,
      )
    })

    test('a reset removes what user code left, without rights and with odd names', async () => {
      await using slot = await executor.openSlot(
        sh(
          `cd "$PFS"; mkdir -p a/b/c "$(printf '\\377x')/y"; touch a/b/c/f; ln -s / a/root; ` +
            'for i in $(seq 300); do : >a/$i; done; chmod 000 a/b/c a/b; chmod 500 a',
        ),
        never,
      )
      expect((await runIn(slot)).exitCode).toBe(0)
      await slot.reset()
      expect(filesIn(slot.pfsDirectory)).toEqual([])
    })

    test('a reset gives /pfs its rights back', async () => {
      const script = 'mkdir "$PFS/a"; chmod 0 "$PFS/a" "$PFS"'
      await using slot = await executor.openSlot(sh(script), never)
      await runIn(slot)
      await slot.reset()
      expect(readdirSync(slot.pfsDirectory)).toEqual([])
      expect(statSync(slot.pfsDirectory).mode & 0o777).toBe(0o755)
    })

    test('the home and temporary directory is writable, and empty for each datum', async () => {
      await using slot = await executor.openSlot(sh('ls -A "$HOME"; echo x >"$HOME/left"'), never)
      for (let round = 0; round < 2; round += 1) {
        expect(await runIn(slot)).toMatchObject({ exitCode: 0, stdout: [], stderr: [] })
        await slot.reset()
      }
    })

    test('disposing of the executor ends its slots and leaves nothing', async () => {
      const slot = await executor.openSlot(sh('exit 0'), never)
      await executor[Symbol.asyncDispose]()
      expect(existsSync(slot.pfsDirectory)).toBe(false)
      expect(readdirSync(join(data, 'scratch'))).toEqual([])
      await slot[Symbol.asyncDispose]()
    })

    test('when the server is killed, what it ran dies too', async () => {
      const mark = `1000.${BigInt(`0x${newHexId(random)}`)}`
      const script = serverScript(sh(`echo started; sleep ${mark}`), { isolation })
      const server = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      await new Promise((done) => server.stdout.once('data', done))
      expect(processesWith(mark).length).toBeGreaterThan(0)
      server.kill('SIGKILL')
      // Without a sandbox nobody is left who could.
      if (isolation === 'none') {
        for (const pid of processesWith(mark)) process.kill(Number(pid), 'SIGKILL')
      }
      await until(() => processesWith(mark).length === 0)
    })
  })
}

function quotedUrl(path: string): string {
  return JSON.stringify(new URL(path, import.meta.url).href)
}

/** A program that runs one datum and prints its lines, and how it ended. */
function serverScript(
  what: Transform,
  options: { readonly isolation?: Isolation; readonly hidden?: string } = {},
): string {
  return `
    import { openProcessExecutor } from ${quotedUrl('process.ts')}
    import { SystemClock } from ${quotedUrl('../base/clock.ts')}
    import { SystemRandom } from ${quotedUrl('../base/random.ts')}
    await using executor = await openProcessExecutor({
      directory: ${JSON.stringify(join(data, 'scratch'))},
      hiddenDirectories: [${JSON.stringify(options.hidden ?? data)}],
      clock: new SystemClock(),
      random: new SystemRandom(),
      ...${JSON.stringify(options.isolation === undefined ? {} : { isolation: options.isolation })},
    })
    const signal = new AbortController().signal
    await using slot = await executor.openSlot(${JSON.stringify(what)}, signal)
    const onLine = (line) => console.log(line.text)
    const { exitCode } = await slot.run({ environment: {}, onLine }, signal)
    await slot.reset()
    console.log(executor.isolation, exitCode)
  `
}

for (const isolation of isolations.filter((each) => each !== 'none')) {
  describeFor(isolation)(`the sandbox of "${isolation}"`, () => {
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
      expect((await runIn(slot)).stdout).toEqual(['in', '/', '/pfs/in'])
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
        `unshare -r -m sh -c 'umount "${data}"; umount -l "${data}"; cat "${paths[0]}"'`,
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
      const script =
        `for d in / /etc /usr /var /home /root /dev /proc/sys "${home}"; do touch "$d/${mark}"; done; ` +
        'ls -d /proc/[0-9]*; ls /dev; echo x >/proc/sys/kernel/hostname; mknod /tmp/d b 254 0; ' +
        `kill -9 1; kill -9 ${process.pid}; ls /dev/null && echo alive`
      await using slot = await executor.openSlot(sh(script), never)
      const { stdout } = await runIn(slot)
      expect(stdout.filter((line) => line.startsWith('/proc/')).length).toBeLessThanOrEqual(3)
      expect(stdout).toContain('/proc/1')
      expect(stdout).toContain('alive')
      expect(stdout.join(' ')).not.toMatch(/\b(vda|sda|mem|kmsg)\b/)
      for (const directory of ['/', '/etc', '/var', home]) {
        expect(existsSync(join(directory, mark))).toBe(false)
      }
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
    expect(executor.isolation).toBe(isRoot ? 'root' : 'user')
    expect(executor.notices(sh('true'))).toEqual([])
  })

  test('says that an image is not used, and when there is no sandbox', async () => {
    await using executor = await open('none')
    const notices = executor.notices(transform(['true'], { image: 'ubuntu:16.04' }))
    expect(notices).toEqual([
      "image ubuntu:16.04 is recorded, but this executor runs the host's programs",
      'this machine allows no sandbox: /pfs is the directory named by $PFS, and the code can see ' +
        'the rest of the machine',
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
    await using executor = await openProcessExecutor({
      directory: join(odd, 'scratch'),
      hiddenDirectories: [data],
      clock,
      random,
    })
    expect(executor.isolation).not.toBe('none')
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
      `id -u; cat "${data}/secret" 2>/dev/null; mkdir -m 0 /pfs/out; ` +
      'setsid sleep 1000 & chown 5 /pfs/out 2>/dev/null; exit 6'
    const { stdout, status } = spawnSync(
      'setpriv',
      [...asNobody, process.execPath, '--input-type=module', '-e', serverScript(sh(script))],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: '/usr/bin:/bin' } },
    )
    expect(status).toBe(0)
    expect(stdout).toBe('0\nuser 6\n')
  })
})

const asNobody = [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--']
