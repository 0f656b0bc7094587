import { expect, test } from 'vitest'
import type { Clock } from '../base/clock.ts'
import { Log } from './log.ts'

const stillClock: Clock = {
  now: () => 1_500_000_000_123_456,
  monotonicMs: () => 0,
  sleep: () => Promise.resolve(),
}

function linesOf(write: (log: Log) => void): readonly string[] {
  const lines: string[] = []
  write(new Log(stillClock, (line) => lines.push(line)))
  return lines
}

test('a line says when, how bad, what, and facts', () => {
  const lines = linesOf((log) => {
    log.info('listening', { host: '::1', port: 80, root: undefined })
    log.warning('slow')
  })
  expect(lines).toEqual([
    '2017-07-14T02:40:00.123Z info    listening host=::1 port=80\n',
    '2017-07-14T02:40:00.123Z warning slow\n',
  ])
})

test('whatever a fact holds, its line stays one line', () => {
  const [line] = linesOf((log) => log.info('x', { path: 'a b\n2017 error forged', empty: '' }))
  expect(line).toBe('2017-07-14T02:40:00.123Z info    x path="a b\\n2017 error forged" empty=""\n')
})

test('a failure is written down with its stack and its causes', () => {
  const error = new Error('outer', { cause: new TypeError('inner') })
  const [line] = linesOf((log) => log.failure('abc', '/pfs.API/PutFile', error))
  expect(line).toMatch(
    / error {3}a call failed unexpectedly reference=abc path=\/pfs.API\/PutFile /,
  )
  expect(line).toContain('Error: outer\\n')
  expect(line).toContain('caused by: TypeError: inner')
})
