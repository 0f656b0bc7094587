import { execFile, spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'

import { filteredBy, filterLoaders, callFilter } from './call-filter.ts'

const x64 = {
  prctl: 157,
  calls: [
    {
      kind: 0xc000003e,
      firstKey: 248,
      lastKey: 250,
      fcntl: [72],
      prlimit64: 302,
      makers: [56, 272],
      setns: 308,
    },
    {
      kind: 0x40000003,
      firstKey: 286,
      lastKey: 288,
      fcntl: [55, 221],
      prlimit64: 340,
      makers: [120, 310],
      setns: 346,
    },
  ],
} as const
const allowed = 0x7fff0000
const noSuchCall = 0x50026
const invalid = 0x50016
const notPermitted = 0x50001

interface Call {
  readonly kind: number
  readonly number: number
  /** The lower halves. */
  readonly args?: readonly number[]
}

/** What the kernel makes of a call: the machine that filters are written for. */
function answerOf(program: Buffer, { kind, number, args = [] }: Call): number {
  const words = new Map([
    [0, number],
    [4, kind],
    [16, args[0] ?? 0],
    [24, args[1] ?? 0],
  ])
  let value = 0
  for (let at = 0; at < program.length; at += 8) {
    const code = program.readUInt16LE(at)
    const operand = program.readUInt32LE(at + 4)
    const jump = (isTrue: boolean): void =>
      void (at += 8 * program.readUInt8(at + (isTrue ? 2 : 3)))
    if (code === 0x06) return operand
    if (code === 0x20) value = words.get(operand) ?? Number.NaN
    else if (code === 0x54) value = (value & operand) >>> 0
    else if (code === 0x15) jump(value === operand)
    else if (code === 0x25) jump(value > operand)
    else if (code === 0x35) jump(value >= operand)
    else if (code === 0x45) jump((value & operand) !== 0)
    else throw new Error(`unknown instruction ${code}`)
  }
  throw new Error('the program has no end')
}

describe.each([
  ['x86-64', 0xc000003e, 0, [248, 249, 250], [72], 302, [56, 272], 308],
  ['x32', 0xc000003e, 0x40000000, [248, 249, 250], [72], 302, [56, 272], 308],
  ['i386', 0x40000003, 0, [286, 287, 288], [55, 221], 340, [120, 310], 346],
])('of programs for %s', (_name, kind, bit, keys, fcntl, prlimit64, makers, setns) => {
  const program = callFilter(x64)
  const answer = (number: number, ...args: readonly number[]): number =>
    answerOf(program, { kind, number: bit + number, args })

  test('calls for keys, and clone3, are those that fail, as if there were none', () => {
    const failing = [...keys, 435]
    const others = Array.from({ length: 600 }, (_, number) => number).filter(
      (number) => ![...failing, setns].includes(number),
    )
    expect(new Set(others.map((number) => answer(number)))).toEqual(new Set([allowed]))
    expect(new Set(failing.map((number) => answer(number)))).toEqual(new Set([noSuchCall]))
  })

  test('nobody makes a user namespace, or enters that of others; other children are as ever', () => {
    const [user, mount, group, childEnds] = [0x10000000, 0x20000, 0x2000000, 17]
    const newOnes = [user, user | childEnds, user | mount | group]
    // As of fork, vfork and threads of C libraries.
    const others = [0, childEnds, 0x1200011, 0x4111, 0x3d0f00, mount | group]
    for (const number of makers) {
      expect(newOnes.map((flags) => answer(number, flags))).toEqual(newOnes.map(() => notPermitted))
      expect(others.map((flags) => answer(number, flags))).toEqual(others.map(() => allowed))
    }
    expect([0, user, mount].map((kinds) => answer(setns, 5, kinds))).toEqual([
      notPermitted,
      notPermitted,
      notPermitted,
    ])
  })

  test('nobody takes a lease', () => {
    const commands = [1024, 1026, 1040]
    for (const number of fcntl) {
      expect(commands.map((command) => answer(number, 9, command))).toEqual(
        commands.map(() => invalid),
      )
      // F_DUPFD, F_GETLEASE and F_DUPFD_CLOEXEC.
      expect([0, 1025, 1030].map((command) => answer(number, 1024, command))).toEqual(
        [0, 1025, 1030].map(() => allowed),
      )
    }
  })

  test('nobody bounds process 1, and everybody others', () => {
    expect(answer(prlimit64, 1, 7)).toBe(notPermitted)
    expect([0, 2, 1000].map((pid) => answer(prlimit64, pid, 1))).toEqual([
      allowed,
      allowed,
      allowed,
    ])
  })
})

test('every call of a program of an unknown kind fails', () => {
  expect(answerOf(callFilter(x64), { kind: 0xc00000b7, number: 0 })).toBe(noSuchCall)
})

test('every loader of this machine has the kernel hold the filter, also as an ordinary user', () => {
  const path = '/usr/bin:/bin'
  const ends = filterLoaders(path).map((loader) => {
    const show = ['sed', '-n', 's/^Seccomp:\\s*//p', '/proc/self/status']
    const [program, ...rest] = [...filteredBy(loader), ...show]
    return spawnSync('unshare', ['--user', '--map-root-user', program ?? '', ...rest], {
      encoding: 'utf8',
      env: { PATH: path },
    })
  })
  expect(ends.length).toBeGreaterThan(0)
  for (const { stdout, stderr } of ends) expect([stdout, stderr]).toEqual(['2\n', ''])
})

test('a machine has the loaders that are on its path', () => {
  expect(filterLoaders('/nonexistent:relative')).toEqual([])
})

/** What Linux knows of Landlock; 0 for nothing. */
function landlockVersion(): number {
  const script = 'print syscall(444, 0, 0, 1)'
  return Number(spawnSync('perl', ['-e', script], { encoding: 'utf8' }).stdout)
}

test('abstract sockets of others are out of reach, one that is its own is not', async (context) => {
  if (landlockVersion() < 6) context.skip('needs Linux 6.12 with Landlock, and perl')
  const name = `pachyderm-test-${process.pid}`
  await using opened = new AsyncDisposableStack()
  const listener = createServer((socket) => socket.end())
  opened.defer(() => void listener.close())
  await new Promise<void>((resolve) => listener.listen(`\0${name}`, resolve))
  const connect =
    'use Socket; socket(my $own, AF_UNIX, SOCK_STREAM, 0); bind($own, pack_sockaddr_un("\\0$ARGV[0]-own")); ' +
    'listen($own, 1); for (@ARGV, "$ARGV[0]-own") { socket(my $to, AF_UNIX, SOCK_STREAM, 0); ' +
    'print connect($to, pack_sockaddr_un("\\0$_")) ? "connected\\n" : "$!\\n" }'
  const execute = promisify(execFile)
  for (const loader of [undefined, ...filterLoaders('/usr/bin:/bin')]) {
    const command = [...filteredBy(loader), 'perl', '-e', connect, name]
    const { stdout } = await execute('unshare', ['--user', '--map-root-user', ...command])
    const ofOthers = loader === undefined ? 'connected' : 'Operation not permitted'
    expect(stdout).toBe(`${ofOthers}\nconnected\n`)
  }
})
