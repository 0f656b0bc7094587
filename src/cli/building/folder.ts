import { createReadStream, lstatSync, readFileSync, realpathSync, statSync } from 'node:fs'

import { utf8 } from '../../base/bytes.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { tarEnd, tarHeaders, tarPaddingBytes } from '../../base/tar.ts'
import { findFiles } from '../uploading/local-files.ts'
import type { Target } from '../uploading/targets.ts'
import { type Recipe, recipeFor } from './languages.ts'

/** A folder on its way to become an image. */
export interface BuildFolder {
  /** Where it has no Dockerfile of its own. */
  readonly recipe: Recipe | undefined
  /** Its files, each with its path in it. */
  readonly targets: readonly Target[]
  /** A tar archive of it, with a Dockerfile. */
  archive(): AsyncGenerator<Uint8Array>
}

const dockerfileName = 'Dockerfile'
const fileCountMax = 100_000
const executableBits = 0o111
/** Never of use in an image, and often larger than the rest. */
const leftOutNames = new Set(['.git'])

/**
 * A link to a file of the folder counts as that file. Other links, sockets and the like are told, and
 * left out: what lies elsewhere on this machine is nobody's to send who wrote the folder.
 *
 * @throws {InvalidArgumentError} when it is no folder, too large, or of no known language.
 */
export function readBuildFolder(folder: string, onLeftOut: (text: string) => void): BuildFolder {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new InvalidArgumentError(`--build ${folder} is no folder: name the one to build`)
  }
  const ignored = ignoredPaths(folder)
  const files: Target[] = []
  const left = ({ source, what }: { readonly source: string; readonly what: string }): void =>
    onLeftOut(`left out: ${source} (${what})`)
  for (const file of findFiles([{ source: folder, path: '' }], true, left)) {
    if (isIgnored(file.path, ignored)) continue
    if (leadsOut(file.source, folder)) {
      left({ source: file.source, what: 'a link out of the folder' })
      continue
    }
    files.push(file)
    if (files.length > fileCountMax) {
      throw new InvalidArgumentError(
        `${folder} has more than ${fileCountMax} files: name what an image does not need in .dockerignore`,
      )
    }
  }
  // In an order that is always the same: engines build anew what is another archive.
  files.sort((one, other) => (one.path < other.path ? -1 : 1))
  const paths = files.map(({ path }) => path)
  const recipe = paths.includes(dockerfileName) ? undefined : recipeFor(folder, paths)
  return {
    recipe,
    targets: files,
    async *archive() {
      if (recipe !== undefined) {
        const bytes = utf8(recipe.dockerfile)
        yield* entry({ name: dockerfileName, sizeBytes: bytes.length }, [bytes])
      }
      for (const { source, path } of files) yield* fileEntry(source, path)
      yield tarEnd
    },
  }
}

async function* fileEntry(source: string, name: string): AsyncGenerator<Uint8Array> {
  const { size, mode } = statSync(source)
  const isExecutable = (mode & executableBits) !== 0
  // What is appended meanwhile is left out: the size has been said.
  const bytes: AsyncIterable<Uint8Array> | readonly Uint8Array[] =
    size === 0 ? [] : createReadStream(source, { end: size - 1 })
  yield* entry({ name, sizeBytes: size, isExecutable }, bytes)
}

async function* entry(
  about: { readonly name: string; readonly sizeBytes: number; readonly isExecutable?: boolean },
  bytes: AsyncIterable<Uint8Array> | readonly Uint8Array[],
): AsyncGenerator<Uint8Array> {
  // No times: engines look at them, and would build anew what is the same.
  yield tarHeaders({ ...about, kind: 'file', modifiedSeconds: 0 })
  let written = 0
  for await (const piece of bytes) {
    written += piece.length
    yield piece
  }
  if (written !== about.sizeBytes) {
    throw new InvalidArgumentError(`${about.name} became shorter while it was read: try again`)
  }
  const padding = tarPaddingBytes(about.sizeBytes)
  if (padding > 0) yield new Uint8Array(padding)
}

/** Only the last name of a path can be a link here. */
function leadsOut(file: string, folder: string): boolean {
  return (
    lstatSync(file).isSymbolicLink() && !realpathSync(file).startsWith(`${realpathSync(folder)}/`)
  )
}

/** Names and paths from the folder's `.dockerignore`: those without wildcards or exceptions. */
function ignoredPaths(folder: string): ReadonlySet<string> {
  const path = `${folder}/.dockerignore`
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return new Set()
  const lines = readFileSync(path, 'utf8').split('\n')
  const patterns = lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const odd = patterns.find((pattern) => /[*?[!]/.test(pattern))
  if (odd !== undefined) {
    throw new InvalidArgumentError(
      `${path}: ${JSON.stringify(odd)} has a wildcard or an exception, which --build does not know: write paths, a line each, or build the image with docker build and name it in the spec`,
    )
  }
  return new Set(patterns.map((pattern) => pattern.replace(/^\.?\/+|\/+$/g, '')))
}

function isIgnored(path: string, ignored: ReadonlySet<string>): boolean {
  const names = path.split('/')
  if (names.some((name) => leftOutNames.has(name))) return true
  return names.some((_, index) => ignored.has(names.slice(0, index + 1).join('/')))
}
