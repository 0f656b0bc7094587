import { spawnSync } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import type { Transform } from '../pipelines/executor.ts'
import { serverScript } from '../testing/executor-script.ts'
import { isolationsHere } from '../testing/executors-under-test.ts'
import { runIn, sh, transform } from '../testing/process-fixture.ts'
import { openProcessExecutor, type ProcessExecutor } from './process.ts'
import { leaveOut } from '../testing/left-out.ts'

const never = new AbortController().signal
// Below the checkout: what is below /tmp is out of sight for user code anyway.
const home = resolve('node_modules')
/** The numbers of `unshare`, `mount` and `umount2`, where they are known. */
const calls = {
  x64: { unshare: 272, mount: 165, umount: 166 },
  arm64: { unshare: 97, mount: 40, umount: 39 },
}[process.arch as string]
const isMissing = calls === undefined || spawnSync('perl', ['-e', '1']).status !== 0

/**
 * Would become root of a user and a mount namespace of its own, in the same process. Then says what it could do of
 * what would get it out.
 */
function attackOn(data: string, mark: string): string {
  const { unshare = 0, mount = 0, umount = 0 } = calls ?? {}
  return `
    use strict;
    $| = 1;
    my ($data, $mark) = (${JSON.stringify(data)}, ${JSON.stringify(mark)});
    my ($bind, $move, $rec, $remount, $ro) = (4096, 8192, 16384, 32, 1);
    sub done { my ($what, $result) = @_; print "$what\\n" if $result == 0; }
    sub onto { my ($from, $to, $kind, $flags) = @_; return syscall(${mount}, $from, $to, $kind, $flags + 0, 0); }
    sub off { my ($at, $flags) = @_; return syscall(${umount}, $at, $flags + 0); }
    sub look {
      for my $root (@_) {
        if (open(my $file, "<", "$root$data/secret")) { print "read ", <$file>, "\\n"; }
        if (open(my $file, ">", "$root$mark")) { print "wrote\\n"; }
      }
    }
    done("a namespace of its own", syscall(${unshare}, 0x10000000 | 0x20000));
    done("a mount of its own", onto("t", "/mnt", "tmpfs", 0));
    look("");
    done("took the cover away", off($data, $_)) for (0, 1, 2, 8);
    done("moved the cover", onto($data, "/mnt", "", $move));
    look("");
    done("showed it again", onto($data, "/mnt", "", $bind));
    done("showed / without what is on it", onto("/", "/mnt", "", $bind));
    look("/mnt");
    if (onto("/", "/mnt", "", $bind | $rec) == 0) {
      print "showed / with all that is on it\\n";
      done("took a cover of the copy away", off("/mnt$data", $_)) for (0, 1, 2);
      look("/mnt");
    }
    for my $at ("/", "/usr", "/pfs", ${JSON.stringify(home)}) {
      done("made $at writable", onto("x", $at, "", $remount | $bind));
    }
    done("showed all processes", onto("p", "/mnt", "proc", 0));
    done("took away $_", off($_, 2)) for ("/proc", "/", "/pfs", "/.pachyderm");
    look("", "/mnt", map { "/proc/$_/root" } "self", 1, getppid());
    system("cat", "$data/secret");`
}

const nobody = 65_534
const asNobody = [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--']
const mapping = 'unshare --user --map-root-user true 2>&1 && echo mapped'

let data = ''

beforeEach(() => {
  data = mkdtempSync(join(home, '.pachyderm-executor-'))
  writeFileSync(join(data, 'secret'), 'secret')
})

afterEach(() => {
  rmSync(data, { recursive: true, force: true })
})

describe.each(isolationsHere.filter((isolation) => isolation !== 'none'))(
  'in a sandbox of "%s"',
  (isolation) => {
    let executor: ProcessExecutor

    beforeEach(async () => {
      executor = await openProcessExecutor({
        directory: join(data, 'scratch'),
        hiddenDirectories: [data],
        clock: new SystemClock(),
        random: new SystemRandom(),
        isolation,
      })
    })

    afterEach(async () => {
      await executor[Symbol.asyncDispose]()
    })

    test('code that would make itself root of namespaces of its own can do nothing', async (context) => {
      if (isMissing) leaveOut(context, 'without perl there is no calling the kernel from here')
      const mark = join(home, '.pachyderm-mark')
      const attack = transform(['perl', '-e', attackOn(data, mark)])
      await using slot = await executor.openSlot(attack, never)
      expect((await runIn(slot)).stdout).toEqual([])
      expect(existsSync(mark)).toBe(false)
    })

    test('no tool makes a namespace of users', async () => {
      await using slot = await executor.openSlot(sh(mapping), never)
      const { exitCode, stdout } = await runIn(slot)
      expect(exitCode).toBe(1)
      expect(stdout).toEqual(['unshare: unshare failed: Operation not permitted'])
    })
  },
)

function runAsNobody(what: Transform): string {
  chownSync(data, nobody, nobody)
  const script = serverScript(data, what)
  const args = [...asNobody, process.execPath, '--input-type=module', '-e', script]
  const env = { PATH: '/usr/bin:/bin' }
  return spawnSync('setpriv', args, { encoding: 'utf8', env }).stdout
}

describe('in a sandbox of an ordinary user', () => {
  beforeEach((context) => {
    const looking = `require('fs').readdirSync(${JSON.stringify(home)})`
    const args = [...asNobody, process.execPath, '-e', looking]
    if (process.geteuid?.() !== 0 || spawnSync('setpriv', args).status !== 0) {
      context.skip('only root can become another user, and only in a checkout that all can read')
    }
  })

  test('code that would make itself root of namespaces of its own can do nothing', (context) => {
    if (isMissing) leaveOut(context, 'without perl there is no calling the kernel from here')
    const attack = transform(['perl', '-e', attackOn(data, join(data, 'mark'))])
    expect(runAsNobody(attack)).toMatch(/^(?:cat: .*secret.*\n)?user \d\n$/)
  })

  test('no tool makes a namespace of users', () => {
    expect(runAsNobody(sh(mapping))).toMatch(/unshare failed: Operation not permitted\nuser 1\n$/)
  })
})
