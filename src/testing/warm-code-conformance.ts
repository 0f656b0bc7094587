import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { CancelledError } from '../base/errors.ts'
import type { LogLine, Transform } from '../pipelines/executor.ts'
import { Arena, foreign, type OpenExecutorUnderTest } from './executor-arena.ts'
import { type Files, saying } from './hostile-code.ts'

/** A shell that says `began` when it is started, and runs `each` for each datum, with its answer. */
function warmScript(each: string, before = ''): string {
  return `echo began; ${before}
echo ready >&3
while read -r ticket datum; do
  . "$PACH_DATUM_VARIABLES"
  ${each}
done`
}

const copy = 'cat "$in" >"$PFS/out/f"; echo "$ticket $?" >&3'

/** Commands that stay from datum to datum, good ones and bad ones. */
export function describeWarmCode(name: string, open: OpenExecutorUnderTest): void {
  describe(`${name}, with a warm command that`, () => {
    const arena = new Arena()
    beforeAll(() => arena.open(open))
    afterAll(() => arena.close())
    afterEach(async () => {
      expect(await arena.intact()).toEqual([foreign, foreign])
    })
    testGoodCode(arena)
    testEnds(arena)
    testBadAnswers(arena)
    testLeftovers(arena)
  })
}

interface Round {
  readonly end: Files | string
  readonly printed: readonly string[]
}

/** Datums, one after the other, in one worker. */
async function rounds(
  arena: Arena,
  script: string,
  { count = 3, ...more }: Partial<Transform> & { readonly count?: number } = {},
): Promise<readonly Round[]> {
  await using worker = await arena.worker(script, { isWarm: true, ...more })
  const seen: Round[] = []
  for (let round = 0; round < count; round += 1) {
    const printed: string[] = []
    const onLine = (line: LogLine): void => void printed.push(line.text)
    const environment = { PACH_DATUM_ID: `d${round}`, 'no-word': `it's ${round}\n` }
    const outcome = await arena.process(worker, { onLine, environment })
    seen.push({ end: await arena.endOf(outcome), printed })
  }
  return seen
}

function testGoodCode(arena: Arena): void {
  test('is started once, prints for the datum that it has, and is told of each', async () => {
    const script = warmScript(
      `echo "$PACH_DATUM_ID $n [$(ls -A "$tmp")]"; n=$((n + 1)); echo >"$tmp/t"; ` +
        `printf "%s\\n" "$datum" >&2; ${copy}`,
      'n=0; tmp=${TMPDIR:-/tmp}',
    )
    const seen = await rounds(arena, script)
    for (const [round, { end, printed }] of seen.entries()) {
      expect(end).toEqual({ '/f': 'input' })
      const words = printed.filter((line) => !line.startsWith('{'))
      const own = [`d${round} ${round} []`]
      expect(words).toEqual(round === 0 ? ['began', ...own] : own)
      const line = printed.find((each) => each.startsWith('{')) ?? ''
      expect(JSON.parse(line)).toMatchObject({
        PACH_DATUM_ID: `d${round}`,
        'no-word': `it's ${round}\n`,
      })
    }
  })

  test('is waited for once, until it says that it is ready', async () => {
    await using worker = await arena.worker(warmScript(copy, 'echo starting'), { isWarm: true })
    const seen: (string | boolean)[] = []
    const onLine = (line: LogLine): void => void seen.push(line.text)
    const onWarming = (isWarming: boolean): void => void seen.push(isWarming)
    for (let round = 0; round < 2; round += 1) {
      await arena.process(worker, { onLine, onWarming })
      seen.push('answered')
    }
    const states = seen.filter((each) => each !== 'began' && each !== 'starting')
    expect(states).toEqual([true, false, 'answered', 'answered'])
  })

  test('fails for a datum goes on with the next', async () => {
    const script = warmScript(
      'n=$((n + 1)); echo $n >"$PFS/out/f"; echo "$ticket $((n == 2 ? 7 : 0))" >&3',
      'n=0',
    )
    const ends = (await rounds(arena, script)).map(({ end }) => end)
    expect(ends).toEqual([{ '/f': '1\n' }, 'user code ended with exit code 7', { '/f': '3\n' }])
  })

  test('has helpers that it started before it was ready keeps them', async () => {
    const script = warmScript(
      'kill -0 $helper && echo "there $n"; n=$((n + 1)); echo "$ticket 0" >&3',
      'n=0; sleep 1000 <&- 3>&- & helper=$!',
    )
    const printed = (await rounds(arena, script)).map((round) => round.printed)
    expect(printed).toEqual([['began', 'there 0'], ['there 1'], ['there 2']])
  })

  test('does not know the variables of the datum before', async () => {
    await using worker = await arena.worker(
      warmScript('echo "${PACH_ONE-none}"; echo "$ticket 0" >&3'),
      { isWarm: true },
    )
    const printed: string[] = []
    const onLine = (line: LogLine): void => void printed.push(line.text)
    await arena.process(worker, { onLine, environment: { PACH_ONE: 'one' } })
    await arena.process(worker, { onLine })
    expect(printed).toEqual(['began', 'one', 'none'])
  })
}

function testEnds(arena: Arena): void {
  test('ends at each answer is started anew', async () => {
    const seen = await rounds(arena, warmScript(`${copy}; exit 0`))
    for (const { end, printed } of seen) {
      expect(end).toEqual({ '/f': 'input' })
      expect(printed[0]).toBe('began')
    }
  })

  test.each([
    ['dies with a datum', warmScript('exit 3'), /ended with exit code 3 before it had answered/],
    ['ends well with a datum', warmScript('exit 0'), /exit code 0 before it had answered/],
    ['is killed with a datum', warmScript('kill -9 $$'), /exit code 137 before it had answered/],
    ['ends before it is ready', 'exit 4', /exit code 4 before it had answered/],
  ])('%s fails it, and is started anew', async (_name, script, reason) => {
    const ends = (await rounds(arena, script, { count: 2 })).map(({ end }) => end)
    expect(ends).toEqual([saying(reason), saying(reason)])
  })

  test('never answers can be cancelled', async () => {
    const abort = new AbortController()
    await using worker = await arena.worker(warmScript('echo at it; sleep 1000'), { isWarm: true })
    const onLine = ({ text }: LogLine): void => {
      if (text === 'at it') abort.abort()
    }
    const run = arena.process(worker, { signal: abort.signal, onLine })
    await expect(run).rejects.toThrow(CancelledError)
  })
}

function testBadAnswers(arena: Arena): void {
  test.each([
    [
      'answers twice',
      // In one write: a shell itself writes each line alone, and the first may be read before the second.
      'cat <<END >&3\n$ticket 0\n$ticket 0\nEND',
      /it answered twice, the second/,
    ],
    ['answers with garbage', 'head -c 300 /dev/zero >&3; sleep 1000', /a line that is no answer/],
    ['answers without end', 'yes >&3', /no answer|it said|answered twice/],
    ['answers with another ticket', 'echo "x 0" >&3; sleep 1000', /it said "x 0", not "\w+" and/],
    ['answers with no exit code', 'echo "$ticket 256" >&3; sleep 1000', /it said "\w+ 256", not/],
  ])('%s fails the datum, and is started anew', async (_name, each, reason) => {
    const expected = saying(new RegExp(`^the warm command was ended: .*${reason.source}`))
    const seen = await rounds(arena, warmScript(each), { count: 2 })
    for (const { end, printed } of seen) {
      expect(end).toEqual(expected)
      expect(printed).toContain('began')
    }
  })
}

function testLeftovers(arena: Arena): void {
  test('leaves processes loses them, and is started anew', async () => {
    const script = warmScript(
      'sleep 1000 <&- 3>&- & (setsid sleep 1000 <&- 3>&- &); ' +
        `for p in /proc/[0-9]*/cmdline; do grep -c sleep $p; done 2>/dev/null | grep -c 1; ${copy}`,
    )
    const seen = await rounds(arena, script)
    for (const { end, printed } of seen) {
      expect(end).toEqual({ '/f': 'input' })
      expect(printed[0]).toBe('began')
    }
  })

  test('goes on writing after its answer writes to no output', async () => {
    const each =
      'cp "$in" "$PFS/out/f"; echo "$ticket 0" >&3; ' +
      'while :; do echo more; echo more >"$PFS/out/g"; mv "$PFS/out/g" "$PFS/out/f"; done'
    const abort = new AbortController()
    await using worker = await arena.worker(warmScript(each), { isWarm: true })
    const end = await arena.endOf(await arena.process(worker))
    expect(Object.keys(end)).not.toEqual([])
    // It never comes to the next one.
    const next = arena.process(worker, { signal: abort.signal, onLine: () => abort.abort() })
    await expect(next).rejects.toThrow(CancelledError)
  })

  test('hides what it is found by answers, and is started anew where it cannot be stopped', async () => {
    const script = `exec env -i PFS="$PFS" PATH="$PATH" PACH_DATUM_VARIABLES="$PACH_DATUM_VARIABLES" sh -c '${warmScript(copy)}'`
    const seen = await rounds(arena, script, { count: 2 })
    for (const { end } of seen) expect(end).toEqual({ '/f': 'input' })
    expect(seen[0]?.printed).toEqual(['began'])
  })

  test('has its processes wake each other is ended, with its output whole', async () => {
    const script = warmScript(
      'for i in 1 2 3; do (while :; do kill -CONT 0; done) <&- 3>&- & done; ' + copy,
    )
    const seen = await rounds(arena, script, { count: 2 })
    for (const { end, printed } of seen) {
      expect(end).toEqual({ '/f': 'input' })
      expect(printed[0]).toBe('began')
    }
  })
}
