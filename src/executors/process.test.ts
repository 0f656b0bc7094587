import { spawn } from 'node:child_process'
import {
  chmodSync,
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
import type { Transform } from '../pipelines/executor.ts'
import { type Isolation, openProcessExecutor, type ProcessExecutor } from './process.ts'
import { serverScript } from '../testing/executor-script.ts'
import {
  filesIn,
  processesWith,
  type Ran,
  runIn,
  sh,
  transform,
} from '../testing/process-fixture.ts'
import { shellEndings } from '../testing/shell-endings.ts'
import { isTested } from '../testing/left-out.ts'

const clock = new SystemClock()
const random = new SystemRandom()
const isRoot = process.geteuid?.() === 0
const never = new AbortController().signal

// Below the checkout: what is below /tmp is out of sight for user code anyway.
const home = resolve('node_modules')
/** Of `/tmp` and `/var/tmp` user code has its own: there, it sees nothing of a checkout. */
const isHidden = /^(?:\/var)?\/tmp\//.test(home)

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

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await clock.sleep(2)
}

const isolations: readonly Isolation[] = ['root', 'user', 'none']

/** Whoever is not root cannot test its sandbox. */
function describeFor(isolation: Isolation): typeof describe | typeof describe.skip {
  return isolation === 'root' && !isTested(isRoot) ? describe.skip : describe
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
      expect([...slot.directories]).toEqual(['/out'])
      mkdirSync(join(slot.pfsDirectory, 'in'))
      writeFileSync(join(slot.pfsDirectory, 'in/f'), 'input\n')
      expect((await runIn(slot)).stdout).toEqual(['input'])
      expect(readFileSync(join(slot.pfsDirectory, 'out/g'), 'utf8')).toBe('x\n')
      await slot.reset()
      expect(filesIn(slot.pfsDirectory)).toEqual([])
    })

    test.each(shellEndings)('%j ends with code %d', async (script, exitCode) => {
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

    test.skipIf(isHidden)('a program is the one on PATH, whatever a shell has itself', async () => {
      const directory = mkdtempSync(join(home, '.pachyderm-path-'))
      try {
        for (const name of ['true', 'kill', 'is_there']) {
          writeFileSync(join(directory, name), '#!/bin/sh\necho mine "$@"\nexit 3\n')
          chmodSync(join(directory, name), 0o755)
          const environment = { PATH: `/none:${directory}:/usr/bin:/bin` }
          const ran = await runOnce(transform([name, '-9', '*'], { environment }))
          expect([ran.exitCode, ran.stdout]).toEqual([3, ['mine -9 *']])
        }
      } finally {
        rmSync(directory, { recursive: true })
      }
    })

    test('a slot serves on after a program was missing', async () => {
      await using slot = await executor.openSlot(transform(['no-such-program']), never)
      await expect(runIn(slot)).rejects.toThrow('no-such-program')
      await expect(runIn(slot)).rejects.toThrow('no-such-program')
    })

    test('of very much output the last lines are kept', async () => {
      await using slot = await executor.openSlot(
        sh('yes n | head -c 6000000; echo the end; echo the error >&2; exit 3'),
        never,
      )
      const { exitCode, stdout, stderr, leftOutCount } = await runIn(slot)
      expect([exitCode, stdout.at(-1), stderr]).toEqual([3, 'the end', ['the error']])
      expect(stdout.length).toBeLessThan(100_000)
      expect(stdout.length + leftOutCount).toBe(3_000_001)
    })

    test('an error comes at once, though the other stream brings very much', async () => {
      await using slot = await executor.openSlot(
        sh('yes n | head -c 6000000; echo the error >&2; sleep 1000'),
        never,
      )
      const abort = new AbortController()
      const onLine = ({ text }: { readonly text: string }): void => {
        if (text === 'the error') abort.abort()
      }
      const run = slot.run({ environment: {}, onLine, onLeftOut: () => {} }, abort.signal)
      await expect(run).rejects.toThrow(CancelledError)
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
          onLeftOut: () => {},
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
      const run = slot.run(
        { environment: {}, onLine: () => abort.abort(), onLeftOut: () => {} },
        abort.signal,
      )
      await expect(run).rejects.toThrow(CancelledError)
      expect(processesWith(mark)).toEqual([])
      await expect(
        slot.run({ environment: {}, onLine: () => {}, onLeftOut: () => {} }, abort.signal),
      ).rejects.toThrow(CancelledError)
    })

    test('all that was printed before an abort is handed on, and what was left out is told', async () => {
      await using slot = await executor.openSlot(
        sh('yes n | head -c 6000000; printf "the end"; echo up >&2; sleep 1000'),
        never,
      )
      const abort = new AbortController()
      const stdout: string[] = []
      let leftOutCount = 0
      const run = slot.run(
        {
          environment: {},
          onLine: ({ stream, text }) => {
            if (stream === 'stdout') stdout.push(text)
            else abort.abort()
          },
          onLeftOut: (lineCount) => (leftOutCount += lineCount),
        },
        abort.signal,
      )
      await expect(run).rejects.toThrow(CancelledError)
      expect(stdout.at(-1)).toBe('the end')
      expect(stdout.length + leftOutCount).toBe(3_000_001)
    })

    test('a reset removes what user code left, without rights and with odd names', async () => {
      await using slot = await executor.openSlot(
        sh(
          `cd "$PFS/out"; mkdir -p a/b/c "$(printf '\\377x')/y"; touch a/b/c/f; ln -s / a/root; ` +
            'for i in $(seq 300); do : >a/$i; done; chmod 000 a/b/c a/b; chmod 500 a',
        ),
        never,
      )
      expect((await runIn(slot)).exitCode).toBe(0)
      await slot.reset()
      expect(filesIn(slot.pfsDirectory)).toEqual([])
    })

    test('a reset gives /pfs/out its rights back', async () => {
      const script =
        'mkdir "$PFS/out/a"; chmod 0 "$PFS/out/a" "$PFS/out" "$PFS" 2>/dev/null; exit 0'
      await using slot = await executor.openSlot(sh(script), never)
      await runIn(slot)
      await slot.reset()
      expect(readdirSync(slot.pfsDirectory)).toEqual(['out'])
      expect(statSync(slot.pfsDirectory).mode & 0o777).toBe(0o755)
      expect(statSync(join(slot.pfsDirectory, 'out')).mode & 0o777).toBe(0o755)
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
      const script = serverScript(data, sh(`echo started; sleep ${mark}`), { isolation })
      const server = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      await new Promise((done) => server.stdout.once('data', done))
      expect(processesWith(mark).length).toBeGreaterThan(0)
      server.kill('SIGKILL')
      await until(() => {
        const left = processesWith(mark)
        // Without a sandbox nobody else is left who could; the shell may just have started another.
        if (isolation === 'none') left.forEach(killQuietly)
        return left.length === 0
      })
    })
  })
}

/** Nothing happens when it has ended by itself. */
function killQuietly(pid: string): void {
  try {
    process.kill(Number(pid), 'SIGKILL')
  } catch {
    // It is gone, or else it is looked at again.
  }
}
