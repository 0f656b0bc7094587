import { closeSync, constants, openSync, readFileSync, statSync } from 'node:fs'

import type { Mount } from '../../base/mount-table.ts'
import { readMounts } from '../mount-table.ts'

/** Something on a file system, wherever that is mounted. */
interface Place {
  readonly device: string
  readonly path: string
}

/** Opens what this user may not read (`O_PATH` of linux/fcntl.h, which is the same for x64 and arm64). */
const pathOnly = 0o10000000

/** Where this machine shows a directory or a file a second time, as it is mounted now. */
export class MountViews {
  readonly mounts: readonly Mount[]

  constructor(mounts: readonly Mount[] = readMounts()) {
    this.mounts = mounts
  }

  /** All paths at which the whole of what is at the real path `path` is, that one too. */
  wholesOf(path: string): readonly string[] {
    const place = this.#placeOf(path)
    return [path, ...(place === undefined ? [] : this.#wholesOf(place).map((view) => view.path))]
  }

  /**
   * All paths at which something of the directory is, or of what is mounted in it. A mount that should show
   * it and has something else there, as it may when a network is between, counts as a whole.
   */
  tracesOf(directory: string): readonly string[] {
    const place = this.#placeOf(directory)
    if (place === undefined) return [directory]
    const inner = this.mounts.filter(({ point }) => (restOf(point, directory) ?? '') !== '')
    const traces = [place, ...inner.map(({ device, root }) => ({ device, path: root }))].flatMap(
      (part) => [...this.#wholesOf(part).map(({ path }) => path), ...this.#partsOf(part)],
    )
    const doubtful = this.#wholesOf(place).filter(
      ({ path, mount }) => restOf(directory, mount.point) === undefined && isOther(path, directory),
    )
    return [directory, ...traces, ...doubtful.map(({ mount }) => mount.point)].filter(
      (path) => path !== '/',
    )
  }

  #wholesOf({ device, path }: Place): readonly { readonly path: string; readonly mount: Mount }[] {
    return this.mounts.flatMap((mount) => {
      const rest = mount.device === device ? restOf(path, mount.root) : undefined
      return rest === undefined ? [] : [{ path: below(mount.point, rest), mount }]
    })
  }

  #partsOf({ device, path }: Place): readonly string[] {
    return this.mounts
      .filter((mount) => mount.device === device && (restOf(mount.root, path) ?? '') !== '')
      .map(({ point }) => point)
  }

  #placeOf(path: string): Place | undefined {
    const id = mountIdOf(path)
    const mount = this.mounts.find((other) => other.id === id)
    const rest = mount === undefined ? undefined : restOf(path, mount.point)
    if (mount === undefined || rest === undefined) return undefined
    return { device: mount.device, path: below(mount.root, rest) }
  }
}

/** Undefined where nothing is, or this user cannot look. */
function mountIdOf(path: string): string | undefined {
  try {
    const descriptor = openSync(path, pathOnly | constants.O_NOFOLLOW)
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
    return readFileSync(file, 'utf8').split('\n')
  } catch {
    return []
  }
}

/** What leads from `directory` to `path`: empty, or a path; undefined if `path` is not in it. */
function restOf(path: string, directory: string): string | undefined {
  const start = directory === '/' ? '' : directory
  if (path === directory) return ''
  return path.startsWith(`${start}/`) ? path.slice(start.length) : undefined
}

function below(directory: string, rest: string): string {
  return `${directory === '/' ? '' : directory}${rest}` || '/'
}

/** False where this user cannot look. */
function isOther(path: string, expected: string): boolean {
  try {
    const [found, wanted] = [statSync(path), statSync(expected)]
    return found.dev !== wanted.dev || found.ino !== wanted.ino
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT'
  }
}
