import { describe, expect, test } from 'vitest'
import { ValueScanner } from './value-scanner.ts'
import { TooManyFieldsError, WireFormatError, WireReader } from './wire-reader.ts'
import { scanMessage } from './wire-scan.ts'

/** Reads every field as unknown. */
function skipAll(bytes: readonly number[]): void {
  const reader = new WireReader([Uint8Array.from(bytes)])
  while (!reader.atEnd) {
    reader.tag()
    reader.skip()
  }
}

function scanAll(bytes: readonly number[]): void {
  const scanner = new ValueScanner(0x0a)
  scanner.push(Uint8Array.from(bytes))
  scanner.end()
}

function countFields(bytes: readonly number[]): void {
  scanMessage(Uint8Array.from(bytes), { fields: [] }, { counterCount: 0, fieldsMax: Infinity })
}

const malformed: readonly (readonly [string, readonly number[]])[] = [
  ['a tag without a value', [0x08]],
  ['a tag of more than 32 bits', [0x80, 0x80, 0x80, 0x80, 0x10, 0x00]],
  ['field number 0', [0x00, 0x01]],
  ['a wire type that does not exist', [0x0e, 0x01]],
  ['the end of a group that did not begin', [0x0c]],
  ['a group without an end', [0x0b, 0x10, 0x01]],
  ['a number of more than 10 bytes', [0x08, ...Array<number>(10).fill(0x80), 0x01]],
  ['a length of more than 32 bits', [0x0a, 0xff, 0xff, 0xff, 0xff, 0x1f]],
  ['a length past the end', [0x0a, 0x05, 0x01]],
  ['a fixed number past the end', [0x0d, 0x01, 0x02, 0x03]],
]

describe.each(malformed)('%s', (_, bytes) => {
  test('is refused by the reader', () => {
    expect(() => skipAll(bytes)).toThrow(WireFormatError)
  })

  test('is refused by the scanner', () => {
    expect(() => scanAll(bytes)).toThrow(WireFormatError)
  })

  test('is refused where fields are counted', () => {
    expect(() => countFields(bytes)).toThrow(WireFormatError)
  })
})

test('a group that ends as another is refused', () => {
  expect(() => skipAll([0x0b, 0x14])).toThrow(WireFormatError)
})

test('groups within groups are refused past a bound, not followed', () => {
  const depth = 200_000
  const bytes = [...Array<number>(depth).fill(0x0b), ...Array<number>(depth).fill(0x0c)]
  expect(() => skipAll(bytes)).toThrow(WireFormatError)
})

test('an inner message cannot reach past its own end', () => {
  const reader = new WireReader([Uint8Array.of(0x0a, 0x01, 0x12, 0x01, 0x41)])
  reader.tag()
  const readInner = (): void => {
    reader.tag()
    reader.string()
  }
  expect(() => reader.message(readInner)).toThrow(WireFormatError)
})

test('a text that is not UTF-8 is refused', () => {
  const reader = new WireReader([Uint8Array.of(0x0a, 0x02, 0xc3, 0x28)])
  reader.tag()
  expect(() => reader.string()).toThrow(WireFormatError)
})

test('a field of a known number but another type is skipped', () => {
  const scanner = new ValueScanner(0x0a)
  const views = scanner.push(Uint8Array.of(0x08, 0x05, 0x0a, 0x01, 0x41))
  scanner.end()
  expect(views).toEqual([Uint8Array.of(0x41)])
})

test('a value may be there and empty', () => {
  const scanner = new ValueScanner(0x0a)
  expect(scanner.push(Uint8Array.of(0x0a, 0x00))).toEqual([])
  expect(() => scanner.end()).not.toThrow()
})

function fields(count: number): number[] {
  return Array.from({ length: count }, () => [0x08, 1]).flat()
}

/** Reads field 2 as a message. */
function readBounded(bytes: readonly number[]): void {
  const reader = new WireReader([Uint8Array.from(bytes)], { fieldsMax: 10 })
  const skipOne = (): void => {
    reader.tag()
    reader.skip()
  }
  while (!reader.atEnd) {
    if (reader.tag() === 0x12) reader.message(skipOne)
    else reader.skip()
  }
}

describe('a message of very many fields', () => {
  test('is read up to the bound that was given, counted at every depth', () => {
    expect(() => readBounded(fields(10))).not.toThrow()
    expect(() => readBounded(fields(11))).toThrow(TooManyFieldsError)
    expect(() => readBounded([0x12, 18, ...fields(9)])).not.toThrow()
    expect(() => readBounded([0x12, 20, ...fields(10)])).toThrow(TooManyFieldsError)
  })

  test('is refused where only its value matters, and each message counts for itself', () => {
    const scanner = new ValueScanner(0x0a)
    for (let message = 0; message < 3; message += 1) {
      scanner.push(Uint8Array.from(fields(1000)))
      scanner.end()
    }
    expect(() => scanner.push(Uint8Array.from(fields(1001)))).toThrow(TooManyFieldsError)
  })
})
