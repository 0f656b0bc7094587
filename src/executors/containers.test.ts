import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { CancelledError, UnavailableError } from '../base/errors.ts'
import { newHexId, SystemRandom } from '../base/random.ts'
import type { Slot, Transform } from '../pipelines/executor.ts'
import { TestContainerExecutor } from '../testing/container-fixture.ts'
import { canHaveDocker, DockerEngine } from '../testing/docker-engine.ts'
import { canHavePodman, PodmanEngine } from '../testing/podman-engine.ts'
import { filesIn, processesWith, runIn, transform } from '../testing/process-fixture.ts'
import type { TestEngine } from '../testing/test-engine.ts'
import {
  bashImage,
  busyboxImage,
  debianImage,
  machineImage,
  shelllessImage,
  userImage,
} from '../testing/test-images.ts'
import { shellEndings } from '../testing/shell-endings.ts'
import type { ContainerExecutor, StartTrial } from './containers.ts'
import { adviceOn } from './containers/starting.ts'

const execute = promisify(execFile)
const clock = new SystemClock()
const random = new SystemRandom()
const never = new AbortController().signal
const images = ['busybox', 'debian', 'bash', 'user']

/** The number of `ptrace`, where this is known. */
const ptraceCall = { x64: 101, arm64: 117 }[process.arch as string]

function nameOf(image: string): string {
  return `localhost/${image}:test`
}

function sh(image: string, script: string, more: Partial<Transform> = {}): Transform {
  return transform(['sh', '-c', script], { image: nameOf(image), ...more })
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await clock.sleep(5)
}

/** The next datum finds it as `/pfs/in/f`. */
function giveInput(slot: Slot, text: string): void {
  mkdirSync(join(slot.pfsDirectory, 'in'))
  writeFileSync(join(slot.pfsDirectory, 'in/f'), text)
}

/** The hostname of a container that uses no network of the host is its id. */
async function startsIn(slot: Slot): Promise<string> {
  const { stdout } = await runIn(slot)
  await slot.reset()
  return stdout.join()
}

describe.skipIf(!canHavePodman())('the container executor with Podman', () => {
  testWith(() => PodmanEngine.start())
})

describe.skipIf(!canHaveDocker())('the container executor with Docker', () => {
  testWith(() => DockerEngine.start())
})

describe.skipIf(!canHavePodman())('an engine that is asked to start a container', () => {
  let engine: PodmanEngine

  beforeAll(async () => {
    engine = await PodmanEngine.start()
  })

  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
  })

  async function trial(): Promise<StartTrial> {
    await using opened = await TestContainerExecutor.open(engine.socketPath)
    const result = await opened.executor.tryStart(never)
    expect(await engine.containers()).toEqual([])
    return result
  }

  test('says where it keeps what is written in containers', async () => {
    await using opened = await TestContainerExecutor.open(engine.socketPath)
    const { directory } = engine
    const places = ['graph', 'run', 'graph/volumes'].map((name) => join(directory, name))
    expect(opened.executor.storage).toEqual(places)
  })

  test('says whether it can, and what to do when its limits are too high', async () => {
    const staticShell = false
    expect(await trial()).toMatchObject({
      kind: 'untried',
      why: expect.stringContaining('no image'),
    })
    await engine.makeImage(nameOf('shellless'), shelllessImage)
    {
      await using opened = await TestContainerExecutor.open(engine.socketPath, { staticShell })
      expect((await opened.executor.tryStart(never)).kind).toBe('untried')
    }
    await engine.makeImage(nameOf('busybox'), busyboxImage)
    expect(await trial()).toEqual({ kind: 'started' })
    await engine.stopService()
    const settings = join(engine.directory, 'containers.conf')
    const limit = 2 ** 30 + 1
    const raised = readFileSync(settings, 'utf8').replace(
      /nofile=\d+:\d+/,
      `nofile=${limit}:${limit}`,
    )
    writeFileSync(settings, raised)
    await engine.startService()
    expect(await trial()).toEqual({
      kind: 'refused',
      reason: expect.stringMatching(
        /rlimit.*: the engine gives containers .* set default_ulimits/is,
      ),
    })
  })
})

test.each([
  ['crun: the requested cgroup controller `pids` is not available', /install runc/],
  ['default OCI runtime crun not found: invalid argument', /install runc/],
  ['error setting rlimits for ready process: operation not permitted', /set default_ulimits/],
  ['exec /bin/sh: exec format error', /^$/],
])('what an engine says when it starts nothing comes with advice: %s', (text, advice) => {
  expect(adviceOn(text, false)).toMatch(advice)
})

function testWith(start: () => Promise<TestEngine>): void {
  let engine: TestEngine
  let opened: TestContainerExecutor
  let executor: ContainerExecutor

  beforeAll(async () => {
    engine = await start()
    await engine.makeImage(nameOf('busybox'), busyboxImage)
    await engine.makeImage(nameOf('debian'), debianImage)
    await engine.makeImage(nameOf('bash'), bashImage)
    await engine.makeImage(nameOf('user'), userImage)
    await engine.makeImage(nameOf('shellless'), shelllessImage)
    await engine.makeImage(nameOf('perl'), machineImage('dash', 'perl'))
    await engine.makeImage(nameOf('volume'), { ...busyboxImage, changes: ['VOLUME /data'] })
    opened = await TestContainerExecutor.open(engine.socketPath)
    executor = opened.executor
  })

  afterAll(async () => {
    await opened?.[Symbol.asyncDispose]()
    await engine?.[Symbol.asyncDispose]()
  })

  describe.each(images)('in image %s', (image) => {
    test('the command gets its arguments as they are, and its lines of input', async () => {
      const odd = ['a b', '', '$HOME', '*', "it's", 'new\nline', '-n', '%s']
      const script = 'cat; for a in "$@"; do echo "<$a>"; done'
      const stdinLines = ['one', '', ' $x ', 'per % cent']
      const what = transform(['sh', '-c', script, 'sh', ...odd], {
        image: nameOf(image),
        stdinLines,
      })
      await using slot = await executor.openSlot(what, never)
      const ran = await runIn(slot)
      expect(ran.exitCode).toBe(0)
      expect(ran.stdout).toEqual([...stdinLines, ...odd.flatMap((each) => `<${each}>`.split('\n'))])
    })

    test('the environment is that of the image, the transform and the datum', async () => {
      const what = transform(['env'], {
        image: nameOf(image),
        environment: { A: '1', B: "2'", 'my-odd.name': 'x' },
      })
      await using slot = await executor.openSlot(what, never)
      const { stdout } = await runIn(slot, { A: 'datum', PACH_JOB_ID: 'job' })
      expect(stdout).toContain('A=datum')
      expect(stdout).toContain("B=2'")
      expect(stdout).toContain('my-odd.name=x')
      expect(stdout).toContain('PACH_JOB_ID=job')
      expect(stdout).toContain('PFS=/pfs')
      const isUser = image === 'user'
      expect(stdout).toContain(isUser ? 'HOME=/var/someone' : 'HOME=/root')
      expect(stdout.includes('OF_IMAGE=here')).toBe(isUser)
      expect(stdout.includes('PATH=/usr/bin:/bin:/special')).toBe(isUser)
      expect(stdout.filter((line) => /PACHD|SECRET|CONTAINERS_/.test(line))).toEqual([])
    })

    test('it finds its inputs, which it cannot change, and what it writes is found', async () => {
      const script =
        'cat /pfs/in/f; echo x >/pfs/in/f; rm /pfs/in/f; echo x >/pfs/g; mkdir /pfs/out/d; echo y >/pfs/out/d/g'
      await using slot = await executor.openSlot(sh(image, script), never)
      giveInput(slot, 'input\n')
      const ran = await runIn(slot)
      expect(ran.stdout).toEqual(['input'])
      expect(ran.stderr.filter((line) => line.includes('Read-only file system')).length).toBe(3)
      expect(readFileSync(join(slot.pfsDirectory, 'in/f'), 'utf8')).toBe('input\n')
      expect(readFileSync(join(slot.pfsDirectory, 'out/d/g'), 'utf8')).toBe('y\n')
      await slot.reset()
      expect(filesIn(slot.pfsDirectory)).toEqual([])
      // The next datum finds the new files by the same mounts.
      giveInput(slot, 'other\n')
      expect((await runIn(slot)).stdout).toEqual(['other'])
      expect(readFileSync(join(slot.pfsDirectory, 'out/d/g'), 'utf8')).toBe('y\n')
    })

    test('the code that a datum ends with is told, whatever the one before ended with', async () => {
      await using slot = await executor.openSlot(sh(image, '. /pfs/in/f'), never)
      for (const [script, exitCode] of [...shellEndings, ...shellEndings]) {
        giveInput(slot, script)
        const ran = await runIn(slot)
        expect([script, ran.exitCode]).toEqual([script, exitCode])
        await slot.reset()
      }
    })

    test('a program that the image does not have fails with its name and that of the image', async () => {
      const what = transform(['no-such-program'], { image: nameOf(image) })
      await using slot = await executor.openSlot(what, never)
      await expect(runIn(slot)).rejects.toThrow(
        `program "no-such-program" was not found in image localhost/${image}:test`,
      )
    })

    test('nothing that a datum leaves is there for the next one', async () => {
      const mark = `1000.${BigInt(`0x${newHexId(random)}`)}`
      const script =
        'ls -A /tmp /var/tmp /dev/shm "$HOME"; ' +
        'for d in /tmp /var/tmp /dev/shm "$HOME"; do echo left >"$d/left"; done; ' +
        `(sleep ${mark} &); (setsid sleep ${mark} >/dev/null 2>&1 &); echo text >/pfs/out/f`
      await using slot = await executor.openSlot(sh(image, script), never)
      for (let round = 0; round < 2; round += 1) {
        const { stdout, exitCode } = await runIn(slot)
        expect(exitCode).toBe(0)
        expect(stdout.filter((line) => line.includes('left'))).toEqual([])
        expect(processesWith(`sleep\0${mark}`)).toEqual([])
        await slot.reset()
      }
      // The one that has taken the place of the others.
      await runIn(slot)
      expect(await engine.containers()).toHaveLength(1)
    })

    test('an abort ends the datum and its container', async () => {
      const abort = new AbortController()
      const mark = `1000.${BigInt(`0x${newHexId(random)}`)}`
      const code = `trap '' TERM; printf last; echo up >&2; sleep ${mark}`
      const slot = await executor.openSlot(sh(image, code), never)
      const lines: string[] = []
      const onLine = ({
        stream,
        text,
      }: {
        readonly stream: string
        readonly text: string
      }): void => {
        lines.push(text)
        if (stream === 'stderr') abort.abort()
      }
      const run = { environment: {}, onLine, onLeftOut: () => {} }
      await expect(slot.run(run, abort.signal)).rejects.toThrow(CancelledError)
      expect(lines).toEqual(['up', 'last'])
      expect(processesWith(`sleep\0${mark}`)).toEqual([])
      await slot[Symbol.asyncDispose]()
      expect(await engine.containers()).toEqual([])
    })
  })

  test('a container is kept from datum to datum, unless the datum changes its files', async () => {
    await using own = await TestContainerExecutor.open(engine.socketPath, {
      network: 'none',
      storeId: 'another',
    })
    const tidy = { ...sh('busybox', 'hostname; echo x >/tmp/x'), pipeline: 'tidy' }
    await using slot = await own.executor.openSlot(tidy, never)
    expect(await startsIn(slot)).toBe(await startsIn(slot))
    expect(own.executor.notices(tidy)).toEqual([])
    for (const change of ['echo >/root/x', 'chmod 700 /etc', 'rm /bin/vi', 'mkdir /new']) {
      const untidy = { ...sh('busybox', `hostname; ${change}`), pipeline: change }
      await using changing = await own.executor.openSlot(untidy, never)
      expect(await startsIn(changing)).not.toBe(await startsIn(changing))
      expect(own.executor.notices(untidy)[0]).toMatch(
        /^the code changes files of its container \(\/[a-z/]+\)/,
      )
    }
    expect(own.executor.notices(tidy)).toEqual([])
  })

  test('what a datum sets of its runner is not there for the next', async () => {
    await using own = await TestContainerExecutor.open(engine.socketPath, { network: 'none' })
    const score = '/proc/1/oom_score_adj'
    const script = `cat ${score}; echo 900 >${score}; cat ${score}`
    await using slot = await own.executor.openSlot(sh('busybox', script), never)
    for (let round = 0; round < 2; round += 1) {
      expect((await runIn(slot)).stdout).toEqual(['500', '900'])
      await slot.reset()
    }
  })

  describe('what the engine mounts', () => {
    const changes = [
      ...['/etc/hosts', '/etc/resolv.conf', '/etc/hostname', '/run/.containerenv'].map(
        (path) => `echo left >>${path}`,
      ),
      'touch /dev/left',
      'rm /dev/random; ln -s /dev/zero /dev/random',
      'chmod 0 /dev/null',
      'chmod 700 /dev/shm; chmod 0 /dev/pts/ptmx',
      'mkdir /sys/fs/cgroup/left',
      'chmod 711 /',
      'echo left >/data/left',
      'mkdir /data/d; echo left >/data/d/left',
    ]
    const look =
      'for f in /etc/hosts /etc/resolv.conf /etc/hostname; do echo "$(cat $f)"; done; ' +
      'cat /run/.containerenv; stat -c "%n %a %u %F" / /dev /dev/* /dev/pts/* /sys/fs/cgroup/* /data/*'

    test.each(changes)('is the same for the datum after one that does %j', async (change) => {
      const what = sh('volume', `(${look}; ${change}) 2>&1`)
      await using slot = await executor.openSlot(what, never)
      const { stdout } = await runIn(slot)
      await slot.reset()
      expect((await runIn(slot)).stdout).toEqual(stdout)
    })

    test('keeps a container that uses it, and changes nothing', async () => {
      await using own = await TestContainerExecutor.open(engine.socketPath, {
        network: 'none',
        storeId: 'another',
      })
      const use =
        'hostname; cat /etc/hosts /data/* >/dev/null; head -c 9 /dev/random >/dev/null; echo x >/dev/shm/x; rm /dev/shm/x; : >/dev/ptmx'
      await using slot = await own.executor.openSlot(sh('volume', use), never)
      expect(await startsIn(slot)).toBe(await startsIn(slot))
      expect(own.executor.notices(sh('volume', use))).toEqual([])
    })
  })

  test("the image's entry point and command are not used", async () => {
    await using slot = await executor.openSlot(sh('user', 'pwd; id -u; echo the end'), never)
    expect((await runIn(slot)).stdout).toEqual(['/work', '1234', 'the end'])
  })

  test('an image without a shell runs by the static one of the machine', async () => {
    const what = transform(['/cp', '/pfs/in/f', '/pfs/out/g'], { image: nameOf('shellless') })
    await using slot = await executor.openSlot(what, never)
    giveInput(slot, 'input\n')
    expect((await runIn(slot)).exitCode).toBe(0)
    expect(readFileSync(join(slot.pfsDirectory, 'out/g'), 'utf8')).toBe('input\n')
  })

  test('without one it says what to do', async () => {
    await using own = await TestContainerExecutor.open(engine.socketPath, { staticShell: false })
    const what = transform(['/cp'], { image: nameOf('shellless') })
    await expect(own.executor.openSlot(what, never)).rejects.toThrow(
      'image localhost/shellless:test has no /bin/sh, which runs the command for each datum: add a shell',
    )
    expect(await engine.containers()).toEqual([])
  })

  test('an image that is not there is named, with what to do', async () => {
    await expect(executor.openSlot(sh('nonesuch', ''), never)).rejects.toThrow(
      'the container engine has no image localhost/nonesuch:test',
    )
    await expect(executor.openSlot(transform(['true']), never)).rejects.toThrow(
      'set "transform.image"',
    )
  })

  test('memory is limited, and the reason says so', async () => {
    const resources = { cpu: 0.5, memoryBytes: 32 * 1024 * 1024, gpu: 0 }
    const script = 'x=$(head -c 300000000 /dev/zero | tr "\\0" x); exit 3'
    await using slot = await executor.openSlot(sh('busybox', script, { resources }), never)
    for (let round = 0; round < 2; round += 1) {
      const { exitCode, bound } = await runIn(slot)
      expect(exitCode).toBe(137)
      expect(bound).toMatch(/^it came up against its bound of 32MiB of memory/)
      await slot.reset()
    }
  })

  test.each(['busybox', 'user', 'bash'])(
    'secrets are there for user code, and nowhere on a disk (image %s)',
    async (image) => {
      const secret = `a "secret" of 'two'\nlines\nrun\n $HOME ${'x'.repeat(100_000)}`
      const files = new Map([
        ['key', Buffer.from(secret)],
        ['-odd name', Buffer.from('\0\n')],
      ])
      const secrets = {
        environment: { TOKEN: secret },
        directories: [{ path: '/etc/creds', files }],
      }
      const script =
        'printf %s "$TOKEN" >/pfs/out/token; cp -- /etc/creds/* /pfs/out/; ' +
        'echo x >/etc/creds/key || rm /etc/creds/key; printf %s "$A"; exit 3'
      const what = sh(image, script, { environment: { A: 'a' } })
      await using slot = await executor.openSlot(what, never, secrets)
      const out = join(slot.pfsDirectory, 'out')
      for (let round = 0; round < 2; round += 1) {
        const { exitCode, stdout } = await runIn(slot)
        expect([exitCode, stdout]).toEqual([3, ['a']])
        expect(readFileSync(join(out, 'token'), 'utf8')).toBe(secret)
        expect(readFileSync(join(out, 'key'), 'utf8')).toBe(secret)
        expect(readFileSync(join(out, '-odd name'), 'latin1')).toBe('\0\n')
        await slot.reset()
      }
      const [id = ''] = await engine.containers()
      expect(await engine.inspect(id)).not.toContain('secret')
      await expect(execute('grep', ['-rl', '--', 'xxxxx', opened.directory])).rejects.toThrow(
        'Command failed',
      )
    },
  )

  test('secrets at the place of a file are refused in words of the pipeline', async () => {
    for (const path of ['/etc/passwd', '/bin/sh/keys']) {
      const directories = [{ path, files: new Map([['key', Buffer.from('hush')]]) }]
      const opening = executor.openSlot(sh('debian', 'true'), never, {
        environment: {},
        directories,
      })
      await expect(opening).rejects.toThrow(
        `mount_path ${path}: image ${nameOf('debian')} has a file there, and a secret is shown as a directory; choose a directory of its own, such as /secrets`,
      )
    }
  })

  test('secrets with names that shells keep are refused', async () => {
    const secrets = { environment: { PPID: '1' }, directories: [] }
    await expect(executor.openSlot(sh('busybox', 'true'), never, secrets)).rejects.toThrow(
      'env_var PPID is a name that shells keep',
    )
  })

  test('graphics processors that the engine cannot give are refused', async () => {
    const resources = { cpu: 0, memoryBytes: 0, gpu: 1 }
    const what = sh('busybox', 'true', { resources })
    await expect(executor.openSlot(what, never)).rejects.toThrow(
      engine.title === 'Podman'
        ? /resource_spec.gpu is 1, and Podman/
        : /cannot be started: .*gpu.*: install the NVIDIA container toolkit/,
    )
  })

  test('code that ends process 1 fails its datum, and the slot goes on', async () => {
    const script = 'kill -9 1; kill -TERM 1; kill -HUP 1; kill -9 -1; exit 4'
    for (const image of images) {
      await using slot = await executor.openSlot(sh(image, script), never)
      for (let round = 0; round < 2; round += 1) {
        expect((await runIn(slot)).exitCode).not.toBe(0)
        await slot.reset()
      }
    }
  })

  test.skipIf(ptraceCall === undefined).each(['sleep 1000', 'exit 0'])(
    'code that takes hold of the runner fails its datum, and the slot goes on (then %s)',
    async (then) => {
      const script = `perl -e 'syscall(${ptraceCall}, 16, 1, 0, 0) == 0 and ${then}'; exit 3`
      await using slot = await executor.openSlot(sh('perl', script), never)
      for (let round = 0; round < 2; round += 1) {
        await expect(runIn(slot)).rejects.toThrow(
          'user code was ended: it took hold of the process that runs it',
        )
        await slot.reset()
      }
    },
  )

  test('no engine at the socket is told with what to do', async () => {
    const none = TestContainerExecutor.open(join(opened.directory, 'no.sock'))
    await expect(none).rejects.toThrow(UnavailableError)
    await expect(none).rejects.toThrow('start Docker or "podman system service"')
  })

  test('opening that is aborted leaves no container', async () => {
    const abort = new AbortController()
    const opening = executor.openSlot(sh('busybox', 'true'), abort.signal)
    abort.abort()
    await expect(opening).rejects.toThrow(CancelledError)
    await until(async () => (await engine.containers()).length === 0)
  })

  test('what the transform asks for that no process can have is refused', async () => {
    const what = sh('busybox', 'true', { environment: { 'a=b': '' } })
    await using slot = await executor.openSlot(what, never)
    await expect(runIn(slot)).rejects.toThrow(/not a name for an environment variable/)
  })
}
