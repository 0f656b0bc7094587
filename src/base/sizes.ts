import { quantityValue } from './quantities.ts'

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const
const base = 1024
const digitCount = 4

/** A count of bytes for people, of at most four digits: `0B`, `1.5KiB`. */
export function sizeText(bytes: bigint | number): string {
  let value = Number(bytes)
  let index = 0
  while (value >= base && index < units.length - 1) {
    value /= base
    index += 1
  }
  return `${Number(value.toPrecision(digitCount))}${units[index] ?? ''}`
}

const exactUnits: readonly (readonly [unit: string, bytes: number])[] = [
  ['TiB', 2 ** 40],
  ['TB', 1e12],
  ['GiB', 2 ** 30],
  ['GB', 1e9],
  ['MiB', 2 ** 20],
  ['MB', 1e6],
  ['KiB', 2 ** 10],
  ['kB', 1e3],
]

/** As `parseSize` reads it: exact, in the largest unit of which it is a multiple. */
export function exactSizeText(bytes: number): string {
  const [unit, size] = exactUnits.find(([, each]) => bytes % each === 0) ?? ['B', 1]
  return `${bytes / size}${unit}`
}

/**
 * Bytes as people write them: a quantity, to which a B may be added, so that `10MB` and `10M` are 10
 * million, and `1GiB` and `1Gi` are 2^30. What is not whole counts as the next whole number. Undefined for
 * anything else.
 */
export function parseSize(text: string): number | undefined {
  const bytes = quantityValue(text.replace(/B$/, '').replace(/K$/, 'k'))
  if (bytes === undefined || bytes > Number.MAX_SAFE_INTEGER) return undefined
  return Math.ceil(bytes)
}
