import { FailedPreconditionError } from '../../base/errors.ts'
import type { SecretDirectory, SlotSecrets } from '../executor.ts'
import type { Secret } from '../requested-specs.ts'
import type { SecretEntries } from './sealing.ts'

/** What fits into the environment of a program, in bytes. */
const variableBytesMax = 100 * 1024

/** What user code is given of opened secrets, by name. */
export function slotSecrets(
  wanted: readonly Secret[],
  opened: ReadonlyMap<string, SecretEntries>,
): SlotSecrets {
  const environment: Record<string, string> = {}
  const directories: SecretDirectory[] = []
  for (const { name, mountPath, key, envVar } of wanted) {
    const entries = opened.get(name) ?? new Map<string, Uint8Array>()
    if (envVar !== undefined && key !== undefined) {
      environment[envVar] = variableText(entries.get(key) ?? new Uint8Array(), `${name}: ${key}`)
    }
    if (mountPath === '') continue
    const files = new Map([...entries].filter(([entry]) => key === undefined || entry === key))
    directories.push({ path: normalised(mountPath), files })
  }
  // Outer ones first, for the inner are shown in them.
  directories.sort((left, right) => (left.path < right.path ? -1 : 1))
  return { environment, directories }
}

/** As checked: absolute, without `..`. */
function normalised(path: string): string {
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  return `/${names.join('/')}`
}

function variableText(value: Uint8Array, what: string): string {
  const refuse = (reason: string): never => {
    throw new FailedPreconditionError(
      `secret ${what} ${reason}, so it cannot be in the environment: give it as a file, by mount_path`,
    )
  }
  if (value.length > variableBytesMax) return refuse(`has more than ${variableBytesMax} bytes`)
  if (value.includes(0)) return refuse('holds a null character')
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value)
  } catch {
    return refuse('is not UTF-8')
  }
}
