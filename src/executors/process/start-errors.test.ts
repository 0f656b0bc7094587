import { expect, test } from 'vitest'

import { transform } from '../../testing/process-fixture.ts'
import { startError } from './start-errors.ts'

test.each([
  ['EMFILE', 'resource-exhausted', 'this server has no file descriptors left for this: raise that'],
  ['ENFILE', 'resource-exhausted', 'this machine has no file descriptors left: raise its limit'],
  ['EAGAIN', 'resource-exhausted', 'this server may start no more processes now: raise its limit'],
  ['ENOMEM', 'resource-exhausted', 'this machine has no memory for another process'],
  ['ENOENT', 'failed-precondition', 'program "a" was not found'],
  ['EACCES', 'failed-precondition', 'program "a" cannot be started on this host'],
  ['E2BIG', 'failed-precondition', 'longer than the kernel gives to a program'],
])('a start that fails with %s: what the server is short of is not the program', (...row) => {
  const [code, kind, text] = row
  const failure = Object.assign(new Error(`spawn a ${code}`), { code, syscall: 'spawn a' })
  const { kind: found, message } = startError(failure, transform(['a']))
  expect(found).toBe(kind)
  expect(message).toContain(text)
})

test.each([
  [['sh'], 'program "sh" was not found in "/nowhere", where "transform.env" has PATH look: add'],
  [['/opt/sh'], 'program "/opt/sh" was not found: the process executor runs the host\'s programs'],
])('of the program %j that a PATH of the transform hides, that is told', (command, text) => {
  const hiding = { ...transform(command), environment: { PATH: '/nowhere' } }
  const failure = Object.assign(new Error('spawn ENOENT'), { code: 'ENOENT', syscall: 'spawn' })
  expect(startError(failure, hiding).message).toContain(text)
})
