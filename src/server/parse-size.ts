import { InvalidArgumentError } from '../base/errors.ts'

const units = ['', 'K', 'M', 'G', 'T'] as const

/**
 * Bytes: a whole number, or one with a unit of powers of 1024, as in `20GiB`, `20G` or `512 MiB`.
 *
 * @throws {InvalidArgumentError}
 */
export function parseSize(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,12}) ?([KMGT]?)(?:i?B)?$/i.exec(text) ?? []
  const power = units.findIndex((name) => name === unit.toUpperCase())
  const bytes = Number(digits) * 1024 ** power
  if (digits !== undefined && Number.isSafeInteger(bytes)) return bytes
  throw new InvalidArgumentError(
    `${JSON.stringify(text.slice(0, 50))} is no size: write it as in 20GiB or 500MiB, or 0`,
  )
}
