import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidArgumentError } from '../base/errors.ts'

const defaultAddress = '0.0.0.0:30650'

/**
 * Where pachd is: `ADDRESS`, or what `~/.pachyderm/config.json` of 1.5 says, which is only read.
 *
 * @throws {InvalidArgumentError} when the file is there and makes no sense.
 */
export function readAddress(environment: Readonly<Record<string, string | undefined>>): string {
  const { ADDRESS: address = '', HOME: home = '' } = environment
  if (address !== '') return address
  if (home === '') return defaultAddress
  const path = join(home, '.pachyderm', 'config.json')
  const text = readIfPresent(path)
  return text === undefined ? defaultAddress : configuredAddress(path, text)
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new InvalidArgumentError(`cannot read ${path}: ${String(error)}`, { cause: error })
  }
}

function configuredAddress(path: string, text: string): string {
  try {
    const { v1 } = JSON.parse(text) as { readonly v1?: { readonly pachd_address?: unknown } }
    const address = v1?.pachd_address
    return typeof address === 'string' && address !== '' ? address : defaultAddress
  } catch (error) {
    throw new InvalidArgumentError(
      `${path} is not JSON (${String(error)}); correct it, remove it, or set ADDRESS`,
      { cause: error },
    )
  }
}
