import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import {
  dockerGuard,
  guardNotices,
  guardOptions,
  podmanGuard,
  refusingNamespaces,
} from './call-profile.ts'

const has = (bit: number): unknown => [
  { index: 0, value: 0x10000000, valueTwo: bit, op: 'SCMP_CMP_MASKED_EQ' },
]
const error = (name: string, errnoRet: number, more = {}): unknown => ({
  names: [name],
  action: 'SCMP_ACT_ERRNO',
  errnoRet,
  ...more,
})
const added = [
  error('clone', 1, { args: has(0x10000000) }),
  error('unshare', 1, { args: has(0x10000000) }),
  error('clone3', 38),
  error('add_key', 38),
  error('request_key', 38),
  error('keyctl', 38),
  error('setns', 1),
]
const allow = 'SCMP_ACT_ALLOW'

function refusing(syscalls: readonly unknown[]): unknown {
  return JSON.parse(refusingNamespaces(JSON.stringify({ defaultAction: 'x', syscalls })))
}

test('what a profile lets be, it lets be without user namespaces, under the same conditions', () => {
  const names = ['read', 'clone', 'clone3', 'unshare', 'keyctl']
  const conditions = { excludes: { caps: ['CAP_SYS_ADMIN'] }, includes: {} }
  expect(refusing([{ names, action: allow, args: [], ...conditions }])).toEqual({
    defaultAction: 'x',
    syscalls: [
      { names: ['read'], action: allow, args: [], ...conditions },
      { names: ['clone'], action: allow, args: has(0), ...conditions },
      { names: ['unshare'], action: allow, args: has(0), ...conditions },
      ...added,
    ],
  })
})

test('what a profile refuses, or lets be by flags of its own, stays so', () => {
  const args = [{ index: 0, value: 2_114_060_288, op: 'SCMP_CMP_MASKED_EQ' }]
  expect(
    refusing([
      { names: ['clone'], action: allow, args },
      { names: ['setns'], action: allow },
      { names: ['setns'], action: 'SCMP_ACT_ERRNO' },
      { names: ['unshare', 'setns', 'bpf'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
    ]),
  ).toEqual({
    defaultAction: 'x',
    syscalls: [
      { names: ['clone'], action: allow, args },
      { names: ['bpf'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
      ...added,
    ],
  })
})

test('what is no profile makes none', () => {
  expect(() => refusingNamespaces('{}')).toThrow('it has no rules')
  expect(() => refusing([{ name: 'clone', action: allow }])).toThrow('a rule names no calls')
})

test('Docker has its own profile, unless it was told otherwise', () => {
  for (const name of ['builtin', 'default']) {
    const guard = dockerGuard(['name=apparmor', `name=seccomp,profile=${name}`, 'name=cgroupns'])
    expect(guard).toEqual({ kind: 'engine' })
    expect([guardNotices(guard), guardOptions(guard, '/nowhere')]).toEqual([[], []])
  }
  expect(guardNotices(dockerGuard(['name=seccomp,profile=unconfined']))).toEqual([
    'nothing is known to keep the code from user namespaces, in which it could lift the bounds of its container: Docker was told to have another filter of system calls than its own (unconfined)',
  ])
  expect(dockerGuard(['name=apparmor'])).toMatchObject({ kind: 'none' })
})

test('Podman reads the profile from a file, and a notice says so where none can be made', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pachyderm-profile-'))
  try {
    const path = join(directory, 'seccomp.json')
    const text = JSON.stringify({ syscalls: [{ names: ['clone'], action: allow }] })
    writeFileSync(path, text)
    const guard = podmanGuard({ seccompEnabled: true, seccompProfilePath: path })
    const file = join(directory, 'calls.json')
    expect(guardOptions(guard, directory)).toEqual([`seccomp=${file}`])
    expect(readFileSync(file, 'utf8')).toBe(refusingNamespaces(text))
    rmSync(file)
    for (const security of [
      {},
      { seccompEnabled: false, seccompProfilePath: path },
      ...['', join(directory, 'missing'), directory].map((other) => ({
        seccompProfilePath: other,
      })),
    ]) {
      const none = podmanGuard(security)
      expect(guardNotices(none)).toHaveLength(1)
      expect(guardOptions(none, directory)).toEqual([])
    }
    expect(existsSync(file)).toBe(false)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
