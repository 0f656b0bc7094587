import { expect, test } from 'vitest'
import { requireMigratedVersions } from './migrated-versions.ts'

const targets = ['', '1.5.0', '1.5.1', '1.5.3', '1.5.17', '1.5.*', '1.5', '1.5.x']
const older = ['1.4.0', '1.4.8', '1.4.9', '1.4.*', '1.4', '1.4.x']
const sources = [...targets, ...older]
const others = [
  '1.3',
  '1.3.19',
  '1.4.10',
  '1.4.8.1',
  '1.5.',
  '1.5.y',
  '1',
  '1.6.0',
  '2.0.0',
  'v1.4.8',
]
const neverTargets = [...others, ...older]

const possible =
  /clusters can be migrated from 1\.4\.0 to 1\.4\.9, .* to 1\.5, 1\.5\.0 or any other/

test('every old cluster may become one of any 1.5', () => {
  for (const from of sources) {
    for (const to of targets) expect(() => requireMigratedVersions(from, to)).not.toThrow()
  }
})

test('all other pairs are refused, with those that are possible', () => {
  for (const from of others) {
    for (const to of [...targets, ...neverTargets]) {
      expect(() => requireMigratedVersions(from, to)).toThrow(`from version ${from}:`)
      expect(() => requireMigratedVersions(from, to)).toThrow(possible)
    }
  }
  for (const from of sources) {
    for (const to of neverTargets) {
      const pair = `from version ${from || '1.4.x'} to version ${to}:`
      expect(() => requireMigratedVersions(from, to)).toThrow(pair)
      expect(() => requireMigratedVersions(from, to)).toThrow(possible)
    }
  }
})

test('of 1.3, the way is said', () => {
  expect(() => requireMigratedVersions('1.3.5', '')).toThrow(/put-file --history$/)
})

test('of a number with a letter before it, the number is said', () => {
  expect(() => requireMigratedVersions('v1.5.3', '')).toThrow(/: --from 1\.5\.3$/)
})
