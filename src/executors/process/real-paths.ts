import { lstatSync, readlinkSync, type StatSyncOptions, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'

import { bytesOf, type RawPath } from './raw-paths.ts'

interface RealPath {
  readonly path: RawPath
  /** As `identityOf` has it. */
  readonly identity: string
}

/** Of links that lead to links. */
const depthMax = 40
const exact = { bigint: true, throwIfNoEntry: false } as const satisfies StatSyncOptions

/** What paths lead to for those whose `/` is the directory `root`, where links that are absolute begin. */
export class RealPaths {
  readonly #root: RawPath
  readonly #found = new Map<RawPath, RealPath | undefined>()

  constructor(root: RawPath) {
    this.#root = root
  }

  /** Undefined where nothing is, or this user may not look. */
  find(path: RawPath, depth = 0): RealPath | undefined {
    if (this.#found.has(path)) return this.#found.get(path)
    const found = depth > depthMax ? undefined : this.#find(path, depth)
    this.#found.set(path, found)
    return found
  }

  #find(path: RawPath, depth: number): RealPath | undefined {
    const name = basename(path)
    if (name === '') {
      const identity = identityOf(this.#root)
      return identity === undefined ? undefined : { path: '/', identity }
    }
    const parent = this.find(dirname(path), depth)
    if (parent === undefined || name === '.') return parent
    if (name === '..') return this.find(dirname(parent.path), depth)
    const real = `${parent.path === '/' ? '' : parent.path}/${name}`
    const found = unlessHidden(() => lstatSync(bytesOf(this.#root + real), exact))
    if (found === undefined) return undefined
    if (!found.isSymbolicLink()) return { path: real, identity: `${found.dev}:${found.ino}` }
    const target = linkAt(this.#root + real)
    if (target === undefined) return undefined
    return this.find(target.startsWith('/') ? target : `${parent.path}/${target}`, depth + 1)
  }
}

/** The same for all paths to one directory; undefined where nothing is, or this user may not look. */
export function identityOf(path: RawPath): string | undefined {
  const found = unlessHidden(() => statSync(bytesOf(path), exact))
  return found === undefined ? undefined : `${found.dev}:${found.ino}`
}

/** Undefined where no link is, or this user may not look. */
export function linkAt(path: RawPath): RawPath | undefined {
  return unlessHidden(() => readlinkSync(bytesOf(path), 'latin1'))
}

function unlessHidden<Found>(look: () => Found): Found | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}
