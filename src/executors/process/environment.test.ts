import { execFileSync } from 'node:child_process'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { InvalidArgumentError } from '../../base/errors.ts'
import { datumScript, userEnvironment } from './environment.ts'

const base = { programPath: '/usr/bin:/bin', pfsPath: '/pfs', homeDirectory: '/tmp' }

/** What a program finds that is started as the runner starts it. */
function found(environment: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const streams = '</.pachyderm/stdin >/.pachyderm/stdout 2>/.pachyderm/stderr'
  const script = datumScript(environment)
  expect(script).toContain(streams)
  const runner = [
    'unset PWD OLDPWD; is_there() { file=/usr/bin/env; }; set -- -0',
    `start() {\n${script.replace(streams, '')}}; start "$@"`,
    "printf '\\000'; /usr/bin/env -0",
  ].join('\n')
  const text = execFileSync('/bin/sh', ['-c', runner], { env: {} }).toString()
  // The runner's own environment is as empty as before.
  expect(text.slice(-2)).toBe('\0\0')
  const entries = text.slice(0, -2).split('\0')
  return Object.fromEntries(
    entries.map((entry) => [
      entry.slice(0, entry.indexOf('=')),
      entry.slice(entry.indexOf('=') + 1),
    ]),
  )
}

test('a program finds exactly the environment that was meant, whatever is in it', () => {
  const text = fc.string({ unit: 'grapheme' }).map((each) => each.replaceAll('\0', ''))
  const name = text.map((each) => each.replaceAll('=', '')).filter((each) => each !== '')
  const ordinary = fc.constantFrom(
    'IFS',
    'PS1',
    'PPID',
    'a',
    'MY_VAR',
    'my-input_COMMIT',
    'x.y',
    'é',
    '-',
    '-u',
  )
  fc.assert(
    fc.property(fc.dictionary(fc.oneof(name, ordinary), text, { maxKeys: 6 }), (variables) => {
      const environment = userEnvironment(base, variables)
      expect(found(environment)).toEqual(environment)
    }),
    { numRuns: 60 },
  )
})

test('later parts win, but PFS is always true', () => {
  const environment = userEnvironment(base, { A: '1', PFS: 'no', HOME: '/h' }, { A: '2' })
  expect(environment).toEqual({
    PATH: '/usr/bin:/bin',
    HOME: '/h',
    LANG: 'C.UTF-8',
    A: '2',
    PFS: '/pfs',
  })
})

test.each([{ '': 'x' }, { 'a=b': 'x' }, { 'a\0': 'x' }, { a: 'x\0' }])(
  'no process can have %j in its environment',
  (variables) => {
    expect(() => userEnvironment(base, variables)).toThrow(InvalidArgumentError)
  },
)
