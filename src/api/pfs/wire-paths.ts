import type { FilePath } from '../../base/paths.ts'

/**
 * The paths of an answer to a request for `requested`: that, joined with a relative one, cleaned.
 *
 * Whether they start with a slash follows the request, as in 1.5: asked for the empty path a list
 * says `a`, asked for `/` it says `/a`. A relative path is empty or starts with a slash.
 */
export function pathsBelow(requested: string): (relative: FilePath) => string {
  const names: string[] = []
  for (const name of requested.split('/')) {
    if (name === '' || name === '.') continue
    // The request's path was found, so it does not lead out of the root.
    if (name === '..') names.pop()
    else names.push(name)
  }
  const first = requested.startsWith('/') ? '/' : ''
  const top = first + names.join('/')
  if (names.length === 0) return (relative) => first + relative.slice(1)
  return (relative) => top + relative
}
