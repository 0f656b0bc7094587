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
