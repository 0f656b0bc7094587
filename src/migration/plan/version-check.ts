import { FailedPreconditionError } from '../../base/errors.ts'

/**
 * Holds what a cluster is said to be against what it shows, part by part, as far as both say one: `1.4.*`,
 * `1.4.x` and `1.4.8` are of `1.4`.
 *
 * @throws {FailedPreconditionError} when it is another one.
 */
export function requireVersion(from: string, version: string, name: string): void {
  if (from === '') return
  const shown = version.split('.')
  const said = from.split('.')
  const isSame = said.every(
    (part, index) => part === '*' || part === 'x' || part === (shown[index] ?? part),
  )
  if (isSame) return
  throw new FailedPreconditionError(
    `${name} is of version ${version}, and --from says ${from}: look whether it is the cluster that is meant, and leave out --from, for the version is found out; nothing was changed`,
  )
}
