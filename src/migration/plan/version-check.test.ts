import { expect, test } from 'vitest'
import { requireVersion } from './version-check.ts'

const refusal = (from: string, version: string): string => {
  try {
    requireVersion(from, version, 'the cluster')
    return 'fine'
  } catch (error) {
    return String(error)
  }
}

test.each([
  ['', '1.4'],
  ['1.4', '1.4'],
  ['1.4', '1.4.8'],
  ['1.4.8', '1.4.8'],
  ['1.4.8', '1.4'],
  ['1.4.*', '1.4.8'],
  ['1.4.x', '1.4.8'],
  ['1.5', '1.5.3'],
])('%j may be said of a cluster of %s', (from, version) => {
  expect(refusal(from, version)).toBe('fine')
})

test.each([
  ['1.5', '1.4'],
  ['1.5.x', '1.4.8'],
  ['1.4.*', '1.5.3'],
  ['1.4.8', '1.4.9'],
])('%j may not be said of a cluster of %s', (from, version) => {
  expect(refusal(from, version)).toContain(`of version ${version}, and --from says ${from}`)
})
