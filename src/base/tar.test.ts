import { spawnSync } from 'node:child_process'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { concatBytes, utf8 } from './bytes.ts'
import { type TarEntry, tarEnd, tarHeaders, tarPaddingBytes } from './tar.ts'

const modifiedSeconds = 1_500_000_000

function archive(entries: readonly (TarEntry & { readonly content?: string })[]): Uint8Array {
  return concatBytes([
    ...entries.flatMap((entry) => {
      const content = utf8(entry.content ?? '')
      return [tarHeaders(entry), content, new Uint8Array(tarPaddingBytes(content.length))]
    }),
    tarEnd,
  ])
}

/** What another program reads in an archive: its names, escaped where they are odd. */
function listed(bytes: Uint8Array): readonly string[] {
  const { stdout, stderr, status } = spawnSync('tar', ['--quoting-style=c', '-tf', '-'], {
    input: bytes,
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  })
  expect([stderr.toString(), status]).toEqual(['', 0])
  return stdout.toString().split('\n').slice(0, -1)
}

function quoted(name: string): string {
  return `"${name}"`
}

function file(name: string, content = ''): TarEntry & { readonly content: string } {
  const sizeBytes = utf8(content).length
  return { name, kind: 'file', sizeBytes, modifiedSeconds, content }
}

test('headers are those of POSIX, byte by byte', () => {
  const header = Buffer.from(tarHeaders(file('a/b.txt', 'hello')))
  expect(header).toHaveLength(512)
  expect(header.toString('latin1', 0, 8)).toBe('a/b.txt\0')
  expect(header.toString('latin1', 100, 108)).toBe('0000644\0')
  expect(header.toString('latin1', 124, 136)).toBe('00000000005\0')
  expect(header.toString('latin1', 136, 148)).toBe(
    `${modifiedSeconds.toString(8)}\0`.padStart(12, '0'),
  )
  expect(header.toString('latin1', 156, 157)).toBe('0')
  expect(header.toString('latin1', 257, 265)).toBe('ustar\u000000')
  // The sum of all bytes, with blanks for itself.
  const sum = header.reduce((total, byte) => total + byte, 0)
  const own = header.subarray(148, 156).reduce((total, byte) => total + byte, 0)
  expect(header.toString('latin1', 148, 156)).toBe(
    `${(sum - own + 8 * 32).toString(8).padStart(6, '0')}\0 `,
  )
})

test('short names need one header, long ones with slashes too, others a pax header', () => {
  const long = `${'d'.repeat(60)}/${'e'.repeat(60)}/${'f'.repeat(60)}`
  expect(tarHeaders(file('x'.repeat(100)))).toHaveLength(512)
  expect(tarHeaders(file(long))).toHaveLength(512)
  expect(tarHeaders(file('x'.repeat(101))).length).toBeGreaterThan(512)
  expect(tarHeaders(file('ä')).length).toBeGreaterThan(512)
  const names = ['x'.repeat(100), long, 'y'.repeat(101), `${'z'.repeat(200)}/${'z'.repeat(255)}`]
  expect(listed(archive(names.map((name) => file(name))))).toEqual(names.map(quoted))
})

test('a directory ends with a slash, also where its name just fits', () => {
  const names = ['d', 'd'.repeat(99), 'd'.repeat(100), `${'a'.repeat(155)}/${'b'.repeat(99)}`]
  const entries = names.map((name): TarEntry => ({
    name,
    kind: 'directory',
    sizeBytes: 0,
    modifiedSeconds,
  }))
  expect(listed(archive(entries))).toEqual(names.map((name) => quoted(`${name}/`)))
})

test('a file of more than 8 GiB has its size in a pax header', () => {
  const sizeBytes = 8 ** 11
  const headers = Buffer.from(tarHeaders({ ...file('large'), sizeBytes }))
  expect(headers.toString('latin1')).toContain(`19 size=${sizeBytes}\n`)
  expect(tarHeaders({ ...file('large'), sizeBytes: sizeBytes - 1 })).toHaveLength(512)
})

test('another program reads every name as it was', () => {
  const letters = fc.constantFrom(...('abcXYZ019._-é日🙂'.match(/./gu) ?? []))
  const name = fc
    .string({ unit: letters, minLength: 1, maxLength: 90 })
    .filter((text) => !/^\.+$/.test(text))
  const path = fc.array(name, { minLength: 1, maxLength: 6 }).map((names) => names.join('/'))
  fc.assert(
    fc.property(fc.array(path, { minLength: 1, maxLength: 30 }), (paths) => {
      const entries = paths.map((each, index) => file(each, 'x'.repeat(index * 37)))
      expect(listed(archive(entries))).toEqual(paths.map(quoted))
    }),
    { numRuns: 15 },
  )
})
