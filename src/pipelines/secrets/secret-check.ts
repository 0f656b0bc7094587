import { InvalidArgumentError, ResourceExhaustedError } from '../../base/errors.ts'
import type { SecretEntries } from './sealing.ts'

export const secretNameLengthMax = 253
/** As Kubernetes names secrets. */
const secretName = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/
/** As Kubernetes names what is in them: never a way out of a directory. */
const entryName = /^(?!\.\.)[-._a-zA-Z0-9]+$/

const entryCountMax = 100
const valueBytesMax = 1024 * 1024

export function isSecretName(name: string): boolean {
  return name.length <= secretNameLengthMax && secretName.test(name)
}

export function isEntryName(name: string): boolean {
  return name.length <= secretNameLengthMax && name !== '.' && entryName.test(name)
}

export interface RequestedEntry {
  readonly name: string
  readonly value: Uint8Array
}

/** Errors name what is wrong, and never a value. @throws {InvalidArgumentError} */
export function checkSecretName(name: string): string {
  if (isSecretName(name)) return name
  throw new InvalidArgumentError(
    `${JSON.stringify(name.slice(0, secretNameLengthMax))} is not the name of a secret: lower-case letters, digits, "-" and "."`,
  )
}

/** Sorted by name. @throws {InvalidArgumentError} @throws {ResourceExhaustedError} */
export function checkEntries(secret: string, entries: readonly RequestedEntry[]): SecretEntries {
  if (entries.length === 0) {
    throw new InvalidArgumentError(
      `secret ${secret} has no entries: it needs at least one, such as password=FILE`,
    )
  }
  if (entries.length > entryCountMax) {
    throw new ResourceExhaustedError(
      `secret ${secret} has ${entries.length} entries, and at most ${entryCountMax} are allowed: make several secrets`,
    )
  }
  const checked = new Map<string, Uint8Array>()
  let sizeBytes = 0
  for (const { name, value } of entries) {
    if (!isEntryName(name)) {
      throw new InvalidArgumentError(
        `${JSON.stringify(name.slice(0, secretNameLengthMax))} is not the name of an entry of secret ${secret}: letters, digits, "-", "_" and "."`,
      )
    }
    if (checked.has(name)) {
      throw new InvalidArgumentError(`secret ${secret} has two entries called ${name}`)
    }
    sizeBytes += value.length
    checked.set(name, value)
  }
  if (sizeBytes > valueBytesMax) {
    throw new ResourceExhaustedError(
      `the values of secret ${secret} have ${sizeBytes} bytes, and at most ${valueBytesMax} are allowed: make several secrets`,
    )
  }
  return new Map([...checked].toSorted(([left], [right]) => (left < right ? -1 : 1)))
}
