import { compareBytes, utf8 } from '../../base/bytes.ts'
import { UnavailableError } from '../../base/errors.ts'

/** How servers of all versions are asked for a path: with a slash before each name. */
export function askedPath(path: string): string {
  return path === '' ? '/' : path
}

/** The path of an answer, which must be that of something directly in `directory`. */
export function pathInDirectory(address: string, directory: string, answered: string): string {
  const path = answered.startsWith('/') ? answered : `/${answered}`
  const name = path.slice(directory.length + 1)
  const isInside =
    path.startsWith(`${directory}/`) &&
    name !== '' &&
    name !== '.' &&
    name !== '..' &&
    !name.includes('/')
  if (isInside) return path
  throw new UnavailableError(
    `pachd at ${address} answers with ${JSON.stringify(answered.slice(0, 200))} when asked for what is in ${askedPath(directory)}`,
  )
}

/** Order by bytes, as in trees. */
export function compareNames(left: string = '', right: string = ''): number {
  return compareBytes(utf8(left), utf8(right))
}

/** Whether a path has a slash before each of its names, none of which leads elsewhere. */
export function isWithinNames(path: string): boolean {
  const [first, ...names] = path.split('/')
  return first === '' && names.every((name) => name !== '' && name !== '.' && name !== '..')
}
