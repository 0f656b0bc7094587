import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { CancelledError } from '../base/errors.ts'
import { newHexId, SystemRandom } from '../base/random.ts'
import type { LogLine } from '../pipelines/executor.ts'
import { boundLifting } from './bound-lifting-code.ts'
import { conspiracy, conspiracyEnds } from './conspiring-code.ts'
import { Arena, foreign, type OpenExecutorUnderTest } from './executor-arena.ts'
import { type Aspect, misdeeds, saying } from './hostile-code.ts'
import { processesWith } from './process-fixture.ts'

const memoryBytes = 64 * 1024 * 1024
const random = new SystemRandom()

/**
 * Code that does harm: it must leave the server, other datums and data as they are, and be told apart.
 * With `only`, what depends on this aspect of an image, where the rest is tested with another one.
 */
export function describeHostileCode(
  name: string,
  open: OpenExecutorUnderTest,
  { only }: { readonly only?: Aspect } = {},
): void {
  const isTested: IsTested = (...aspects) => only === undefined || aspects.includes(only)
  describe(`${name}, from user code that`, () => {
    const arena = new Arena()
    beforeAll(() => arena.open(open))
    afterAll(() => arena.close())
    afterEach(async () => {
      expect(await arena.intact()).toEqual([foreign, foreign])
    })
    testMisdeeds(arena, isTested)
    testForkBomb(arena)
    if (isTested('shell')) testMemory(arena)
    if (isTested()) testFullDisk(arena)
    testEndlessness(arena, isTested)
    testDaemons(arena)
    if (isTested('user')) testSpying(arena)
    if (isTested()) testBoundLifting(arena)
    if (isTested()) testConspiracy(arena)
  })
}

/** Whether what depends on these aspects is tested here. */
type IsTested = (...aspects: readonly Aspect[]) => boolean

function testMisdeeds(arena: Arena, isTested: IsTested): void {
  const tested = Object.entries(misdeeds).filter(([, { dependsOn = [] }]) => isTested(...dependsOn))
  test.each(tested)('%s', async (_name, { script, end }) => {
    expect(await arena.twice(script)).toEqual([end, end])
  })
}

function testForkBomb(arena: Arena): void {
  test('is a fork bomb', async (context) => {
    if (!arena.tested.holds.has('processes')) context.skip('here nothing bounds processes')
    const expected = saying(
      /^user code (?:was ended|ended with exit code \d+): it came up against its bound of 200 processes/,
    )
    const ends = await arena.twice('b() { b | b & }; while :; do b; done')
    expect(ends).toEqual([expected, expected])
  })
}

function testMemory(arena: Arena): void {
  test('takes all memory', async (context) => {
    if (!arena.tested.holds.has('memory')) context.skip('here nothing bounds memory')
    const resources = { cpu: 0, memoryBytes, gpu: 0 }
    const script = `x=$(head -c ${8 * memoryBytes} /dev/zero | tr '\\0' x); exit 3`
    const expected = saying(
      /^user code ended with exit code (?!3\b)\d+: it came up against its bound of 64MiB of memory/,
    )
    expect(await arena.twice(script, { resources })).toEqual([expected, expected])
  })
}

function testFullDisk(arena: Arena): void {
  const fillers = {
    'by its output': 'cat /dev/zero >"$PFS/out/f"; sleep 1000',
    'by temporary files': 'cat /dev/zero >"$HOME/f"; sleep 1000',
    'by many files':
      'cd "$PFS/out"; n=0; head -c 500000 /dev/zero >"$HOME/f"; ' +
      'while :; do cp "$HOME/f" f$n; n=$((n+1)); done',
  }
  for (const [how, script] of Object.entries(fillers)) {
    test(`fills the disk ${how}`, async (context) => {
      if (!arena.tested.holds.has('disk')) context.skip('here nothing bounds what is on disk')
      const expected = saying(
        /^user code was ended: it had .* on disk, in \/pfs\/out and temporary files, and its bound is 64MiB/,
      )
      expect(await arena.twice(script)).toEqual([expected, expected])
    })
  }
}

function testEndlessness(arena: Arena, isTested: IsTested): void {
  const endless = {
    ...(isTested() && { 'prints without end': 'yes' }),
    ...(isTested('shell') && {
      'ends at no signal but the last':
        "trap '' TERM INT HUP QUIT; echo y; while :; do sleep 1; done",
    }),
  }
  test.each(Object.entries(endless))('%s', async (_name, script) => {
    const abort = new AbortController()
    let lineCount = 0
    const onLine = (): void => {
      lineCount += 1
      abort.abort()
    }
    await using worker = await arena.worker(script)
    const run = arena.process(worker, { signal: abort.signal, onLine })
    await expect(run).rejects.toThrow(CancelledError)
    expect(lineCount).toBeLessThan(600_000)
  })
}

function testDaemons(arena: Arena): void {
  test('leaves daemons', async () => {
    const mark = `1000.${BigInt(`0x${newHexId(random)}`)}`
    const script =
      `sleep ${mark} & (trap '' HUP TERM; setsid sleep ${mark} >/dev/null 2>&1 &); ` +
      `(setsid sh -c '(sleep ${mark}; :) & exit' &); echo text >"$PFS/out/f"`
    const expected = { '/f': 'text\n' }
    expect(await arena.twice(script)).toEqual([expected, expected])
    expect(processesWith(`sleep\0${mark}`)).toEqual([])
  })
}

function testSpying(arena: Arena): void {
  test('looks for what is not its own', async (context) => {
    const { hiddenDirectory: hidden } = arena.tested
    if (hidden === undefined) {
      context.skip('here nothing hides the server from user code')
      return
    }
    const output: string[] = []
    const paths = [join(hidden, 'secret'), join(arena.bystander.pfsDirectory, 'in/f')]
    await using worker = await arena.worker(spyingScript(hidden, paths, arena.tested.sockets))
    const onLine = ({ text, stream }: LogLine): void => {
      if (stream === 'stdout') output.push(text)
    }
    expect(await arena.process(worker, { onLine })).toMatchObject({
      reason: 'user code ended with exit code 9',
    })
    expect(output.filter((line) => line.includes(foreign))).toEqual([])
  })
}

/** Tries every way to what is at `paths`, to who listens at `sockets`, and to the server's processes. */
function spyingScript(
  hidden: string,
  paths: readonly string[],
  sockets: readonly string[],
): string {
  return [
    ...paths.flatMap(waysTo),
    ...sockets.flatMap((path) =>
      placesOf(path).map((at) => `[ -S "${at}" ] && echo "${foreign} of a socket at ${at}"`),
    ),
    'for f in /proc/[0-9]*/fd/[0-9]*; do readlink "$f"; timeout 0.1 cat "$f"; done </dev/null',
    `umount -l "${hidden}"; umount /; mount --bind / /mnt && cat "/mnt${paths[0]}"`,
    'cat /proc/1/environ /proc/1/maps /proc/1/mem',
    'kill -9 1; kill -TERM 1; kill -STOP 1; exit 9',
  ].join('\n')
}

function waysTo(path: string): readonly string[] {
  return [
    `echo broken >"${path}"; rm -f "${path}"; ln "${path}" "$PFS/out/l"; cat "$PFS/out/l"`,
    ...placesOf(path).map((at) => `cat "${at}"`),
    `for p in /proc/[0-9]*; do cat "$p/root${path}"; done`,
  ]
}

function placesOf(path: string): readonly string[] {
  return ['', '/proc/1/root', '/proc/self/root', '/proc/1/cwd', '/proc/$PPID/root'].map(
    (at) => `${at}${path}`,
  )
}

function testBoundLifting(arena: Arena): void {
  test('makes namespaces of its own to get at the control groups that bound it', async (context) => {
    if (arena.tested.hiddenDirectory === undefined) context.skip('here nothing guards the machine')
    if (!arena.tested.holds.has('processes')) context.skip('here nothing bounds processes')
    const script = boundLifting()
    if (script === undefined) return context.skip('the calls of this machine are not known')
    await using worker = await arena.worker(script)
    for (let round = 0; round < 2; round += 1) {
      const lines: string[] = []
      const onLine = ({ text }: LogLine): void => void lines.push(text)
      expect(await arena.process(worker, { onLine })).toMatchObject({
        reason: saying(/^user code ended with exit code 7: it came up against its bound of 200 pr/),
      })
      expect(lines).toEqual(['tried'])
    }
  })
}

function testConspiracy(arena: Arena): void {
  for (const attack of ['reads', 'deletes'] as const) {
    test(`${attack} the server's files by way of its other slot`, async (context) => {
      const { hiddenDirectory } = arena.tested
      if (hiddenDirectory === undefined) return context.skip('here nothing guards the server')
      const codes = conspiracy(attack, newHexId(random), hiddenDirectory)
      if (codes === undefined) return context.skip('the calls of this machine are not known')
      const victims = ['a', 'k', 'l', 'm'].map((name) => join(hiddenDirectory, name, 'f'))
      for (const victim of victims) {
        mkdirSync(dirname(victim), { recursive: true })
        writeFileSync(victim, foreign)
      }
      const stop = new AbortController()
      const lines: string[] = []
      const onLine = ({ text }: LogLine): void => void lines.push(text)
      await using giver = await arena.worker(codes.giver)
      await using taker = await arena.worker(codes.taker)
      const taken = arena.process(taker, { onLine, signal: stop.signal }).catch(() => {})
      const end = await arena.endOf(await arena.process(giver, { onLine }))
      if (!lines.includes('kept apart')) await taken
      stop.abort()
      await taken
      expect(conspiracyEnds).toContain(lines.join('; '))
      expect(JSON.stringify(end)).not.toContain(foreign)
      expect(victims.filter((victim) => !existsSync(victim))).toEqual([])
    })
  }
}
