import { utf8 } from '../base/bytes.ts'
import { InvalidArgumentError } from '../base/errors.ts'
import { baseName, type FilePath } from '../base/paths.ts'

/** Of S3; Azure counts as many characters. */
const keyBytesMax = 1024

/**
 * The key that a file gets: of a single file that of the URL, with the file's name behind it where it is
 * empty or ends with a slash; of a directory, what is below it goes below the key.
 *
 * @throws {InvalidArgumentError} for a key that is longer than stores take.
 */
export function targetKey(
  urlKey: string,
  {
    root,
    path,
    isFile,
  }: { readonly root: FilePath; readonly path: FilePath; readonly isFile: boolean },
): string {
  const below = urlKey.replace(/\/$/, '')
  const prefix = below === '' ? '' : `${below}/`
  const isWholeKey = isFile && urlKey !== '' && !urlKey.endsWith('/')
  const key = isWholeKey ? urlKey : prefix + (isFile ? baseName(path) : path.slice(root.length + 1))
  const size = utf8(key).length
  if (size <= keyBytesMax) return key
  throw new InvalidArgumentError(
    `${path} would have a key of ${size} bytes, and object stores take ${keyBytesMax}: export to a shorter one, or less`,
  )
}
