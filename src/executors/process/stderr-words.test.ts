import { expect, test } from 'vitest'

import type { LogLine } from '../../pipelines/executor.ts'
import { StderrWords } from './stderr-words.ts'

function told(...texts: readonly string[]): { lines: readonly string[]; complaint?: string } {
  const lines: LogLine[] = []
  const words = new StderrWords({ onLine: (line) => void lines.push(line), onLeftOut: () => {} })
  for (const text of texts) words.onLine({ at: 0, stream: 'stderr', text })
  words.end(137)
  const { complaint } = words
  return { lines: lines.map(({ text }) => text), ...(complaint !== undefined && { complaint }) }
}

test.each([
  [
    '/.pachyderm/runner.sh: 3: /.pachyderm/datum: /opt/a b: Exec format error',
    '/opt/a b: Exec format error',
  ],
  [
    '/.pachyderm/datum: line 3: /opt/a b: cannot execute: required file not found',
    '/opt/a b: cannot execute: required file not found',
  ],
  ['/.pachyderm/runner.sh: /.pachyderm/datum: line 3: /opt/a b: not found', '/opt/a b: not found'],
])('what the runner’s shell says is told without its own names: %s', (text, line) => {
  expect(told(text)).toEqual({ lines: [line], complaint: '/opt/a b' })
})

test.each([
  ['sh: 1: /pfs/in/tool: not found'],
  ['sh: line 1: /pfs/in/tool: cannot execute binary file: Exec format error'],
  ['bash: /pfs/in/tool: /bin/sh^M: bad interpreter: No such file or directory'],
  ['/pfs/out/run.sh: 12: /pfs/in/tool: Permission denied'],
  ["env: '/pfs/in/tool': No such file or directory"],
  ['/pfs/in/tool: line 1: syntax error: unexpected "("'],
])('the file that could not be started is known: %s', (text) => {
  expect(told('before', text)).toEqual({ lines: ['before', text], complaint: '/pfs/in/tool' })
})

test('other lines stay, and name no file', () => {
  const lines = ['Killed', 'Aborted', 'a: /b: it is well', 'tool: not found', ' /.pachyderm/x']
  expect(told(...lines)).toEqual({ lines })
})

test('that a signal has ended the program is told by the exit code alone', () => {
  for (const line of ['Killed', '/.pachyderm/datum: line 3:    77 Killed      A=b "$file" "$@"']) {
    expect(told('before', line)).toEqual({ lines: ['before'] })
  }
  // Of these, the first one is of a shell of the code's own.
  expect(told('Killed', 'Killed').lines).toEqual(['Killed'])
  expect(told('Segmentation fault').lines).toEqual(['Segmentation fault'])
  expect(told('Killed the process').lines).toEqual(['Killed the process'])
})
