import type { FilePath } from '../../base/paths.ts'

/**
 * A path in an answer to a request for `requested`: that, joined with `relative`, cleaned.
 *
 * Whether it starts with a slash follows the request, as in 1.5: asked for the empty path a list
 * says `a`, asked for `/` it says `/a`. `relative` is empty or starts with a slash.
 */
export function joinRequested(requested: string, relative: FilePath): string {
  const names: string[] = []
  for (const name of `${requested}${relative}`.split('/')) {
    if (name === '' || name === '.') continue
    // The request's path was found, so it does not lead out of the root.
    if (name === '..') names.pop()
    else names.push(name)
  }
  return (requested.startsWith('/') ? '/' : '') + names.join('/')
}
