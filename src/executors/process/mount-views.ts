import { closeSync, constants, openSync, readFileSync, statSync } from 'node:fs'

import type { Mount } from '../../base/mount-table.ts'
import { readMounts } from '../mount-table.ts'
import { bytesOf, type RawPath } from './raw-paths.ts'

/** Something on a file system, wherever that is mounted. */
export interface Place {
  readonly device: string
  readonly path: RawPath
}

/** Opens what this user may not read (`O_PATH` of linux/fcntl.h, which is the same for x64 and arm64). */
const pathOnly = 0o10000000

/** Where a process is shown a directory or a file a second time, as it is mounted now. */
export class MountViews {
  readonly mounts: readonly Mount[]
  readonly #root: RawPath

  /** As this process is shown them, else another one. */
  constructor(processName?: string) {
    this.mounts = readMounts('latin1', processName)
    this.#root = processName === undefined ? '' : `/proc/${processName}/root`
  }

  /** All paths at which the whole of what is at the real path `path` is, that one too. */
  wholesOf(path: RawPath): readonly RawPath[] {
    const place = this.placeOf(path)
    return [path, ...(place === undefined ? [] : this.pathsOf(place))]
  }

  /** All paths at which the whole of it is. */
  pathsOf(place: Place): readonly RawPath[] {
    return this.#wholesOf(place).map(({ path }) => path)
  }

  /**
   * All paths at which something of the directory is, or of what is mounted in it. A mount that should show
   * it and has something else there, as it may when a network is between, counts as a whole.
   */
  tracesOf(directory: RawPath): readonly RawPath[] {
    const place = this.placeOf(directory)
    if (place === undefined) return [directory]
    const inner = this.mounts.filter(({ point }) => (restOf(point, directory) ?? '') !== '')
    const traces = [place, ...inner.map(({ device, root }) => ({ device, path: root }))].flatMap(
      (part) => [...this.pathsOf(part), ...this.#partsOf(part)],
    )
    const doubtful = this.#wholesOf(place).filter(
      ({ path, mount }) => restOf(directory, mount.point) === undefined && isOther(path, directory),
    )
    return [directory, ...traces, ...doubtful.map(({ mount }) => mount.point)].filter(
      (path) => path !== '/',
    )
  }

  #wholesOf({ device, path }: Place): readonly { readonly path: RawPath; readonly mount: Mount }[] {
    return this.mounts.flatMap((mount) => {
      const rest = mount.device === device ? restOf(path, mount.root) : undefined
      return rest === undefined ? [] : [{ path: below(mount.point, rest), mount }]
    })
  }

  #partsOf({ device, path }: Place): readonly RawPath[] {
    return this.mounts
      .filter((mount) => mount.device === device && (restOf(mount.root, path) ?? '') !== '')
      .map(({ point }) => point)
  }

  /** Of what is at a real path. */
  placeOf(path: RawPath): Place | undefined {
    const id = mountIdOf(this.#root + path)
    const mount = this.mounts.find((other) => other.id === id)
    const rest = mount === undefined ? undefined : restOf(path, mount.point)
    if (mount === undefined || rest === undefined) return undefined
    return { device: mount.device, path: below(mount.root, rest) }
  }
}

/** Undefined where nothing is, or this user cannot look. */
function mountIdOf(path: RawPath): string | undefined {
  try {
    const descriptor = openSync(bytesOf(path), pathOnly | constants.O_NOFOLLOW)
    try {
      return linesOf(`/proc/self/fdinfo/${descriptor}`)
        .find((line) => line.startsWith('mnt_id:'))
        ?.slice('mnt_id:'.length)
        .trim()
    } finally {
      closeSync(descriptor)
    }
  } catch {
    return undefined
  }
}

/** Of a file of the kernel's; none where it is another user's, or there is no such file on this system. */
export function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, 'latin1').split('\n')
  } catch {
    return []
  }
}

/** What leads from `directory` to `path`: empty, or a path; undefined if `path` is not in it. */
function restOf(path: RawPath, directory: RawPath): string | undefined {
  const start = directory === '/' ? '' : directory
  if (path === directory) return ''
  return path.startsWith(`${start}/`) ? path.slice(start.length) : undefined
}

function below(directory: RawPath, rest: string): RawPath {
  return `${directory === '/' ? '' : directory}${rest}` || '/'
}

/** False where this user cannot look. */
function isOther(path: RawPath, expected: RawPath): boolean {
  try {
    const [found, wanted] = [statSync(bytesOf(path)), statSync(bytesOf(expected))]
    return found.dev !== wanted.dev || found.ino !== wanted.ino
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT'
  }
}
