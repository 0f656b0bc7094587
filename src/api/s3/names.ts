import { InvalidArgumentError } from '../../base/errors.ts'
import { baseName, type FilePath, parseFilePath } from '../../base/paths.ts'
import { S3Error } from './errors.ts'

/** What a bucket is: a commit of a repo, by whatever name of it; to write, a branch. */
export interface BucketPlace {
  readonly repo: string
  readonly commit: string
}

/** A key as a path of PFS. */
export interface KeyPath {
  readonly path: FilePath
  /** It ends with a slash: a directory marker. */
  readonly isDirectory: boolean
}

const branchDefault = 'master'

/** `branch.repo`, `tag.repo` or `<commit id>.repo`; a repo alone is its branch master. */
export function parseBucket(bucket: string): BucketPlace {
  // No repo has a dot in its name; a branch may.
  const dot = bucket.lastIndexOf('.')
  if (dot === -1) return { repo: bucket, commit: branchDefault }
  return { repo: bucket.slice(dot + 1), commit: bucket.slice(0, dot) }
}

export function bucketName({ repo, commit }: BucketPlace): string {
  return `${commit}.${repo}`
}

/** Undefined for a key that can name nothing here, so that nothing can be there. */
export function findKey(key: string): KeyPath | undefined {
  try {
    return parseKey(key)
  } catch (error) {
    if (error instanceof S3Error) return undefined
    throw error
  }
}

/** @throws {S3Error} for a key that is no path. */
export function parseKey(key: string): KeyPath {
  const isDirectory = key.endsWith('/')
  const names = (isDirectory ? key.slice(0, -1) : key).split('/')
  const wrong = names.find((name) => name === '' || name === '.' || name === '..')
  if (wrong !== undefined) {
    const what = wrong === '' ? 'an empty name (a slash too many)' : `the name ${wrong}`
    throw noPath(key, `it has ${what}`)
  }
  try {
    const path = parseFilePath(key)
    if (baseName(path) === '') throw noPath(key, 'it is empty')
    return { path, isDirectory }
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw noPath(key, error.message, error)
    throw error
  }
}

function noPath(key: string, why: string, cause?: unknown): S3Error {
  return new S3Error(
    'InvalidArgument',
    `key ${JSON.stringify(key.slice(0, 200))} is no path of a file, which every key is here: ${why}`,
    { cause },
  )
}

/**
 * A content's hash as an entity tag, with its quotes. The dash keeps clients from taking it for an MD5,
 * with which they would compare it.
 */
export function entityTag(hash: Uint8Array): string {
  return `"${Buffer.from(hash).toString('hex')}-1"`
}
