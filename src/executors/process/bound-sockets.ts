import { readdirSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'

import { linesOf, MountViews } from './mount-views.ts'
import type { RawPath } from './raw-paths.ts'
import { identityOf, linkAt, RealPaths } from './real-paths.ts'

/** Where somebody on this machine may listen, as this process finds it. Some may be gone, or nothing of the kind. */
export interface BoundSockets {
  readonly directories: ReadonlySet<RawPath>
  /** Of those that were named by a whole path. */
  readonly sockets: ReadonlySet<RawPath>
}

/** From where one process, or several alike, named their sockets. */
interface Namer {
  readonly processName: string
  /** Of mounts; undefined for this process's own. */
  readonly otherNamespace: string | undefined
  /** The directory that `/` is, as its view of the machine has it. */
  readonly root: RawPath
}

/**
 * What sockets were named in the network namespaces of all processes that this user may look at: a path is one of
 * the namer's view of the machine, and a relative one begins where the namer was, which may be where it is now.
 */
export function boundSockets(views: MountViews): BoundSockets {
  const directories = new Set<RawPath>()
  const sockets = new Set<RawPath>()
  const named = new NamedDirectories(views)
  const tables = new Map<number, NameTable>()
  const known = new Set<string>()
  const isNew = (...parts: readonly unknown[]): boolean => {
    const key = parts.join('\n')
    return !known.has(key) && known.add(key) !== undefined
  }
  const ownMounts = linkAt('/proc/self/ns/mnt')
  for (const processName of processNames()) {
    // Not by /proc/net, which a /proc of processes alone lacks.
    const file = `/proc/${processName}/net/unix`
    const id = inodeOf(file)
    if (id === undefined) continue
    const table = tables.get(id) ?? tableIn(file)
    tables.set(id, table)
    if (table.absolute.size + table.relative.size === 0) continue
    const mounts = linkAt(`/proc/${processName}/ns/mnt`) ?? ownMounts
    const root = linkAt(`/proc/${processName}/root`) ?? '/'
    const namer = { processName, otherNamespace: mounts === ownMounts ? undefined : mounts, root }
    if (isNew(id, mounts, root)) {
      for (const [directory, names] of table.absolute) {
        for (const place of named.find(namer, directory)) {
          directories.add(place)
          for (const name of names) sockets.add(`${place}/${name}`)
        }
      }
    }
    // Abstract names are usual, and looking for them in all namespaces would take long.
    const relative = namer.otherNamespace === undefined ? table.relative : table.surelyRelative
    if (relative.size === 0) continue
    const start = linkAt(`/proc/${processName}/cwd`)
    if (start === undefined || !isNew(id, mounts, root, start)) continue
    for (const directory of relative.keys()) {
      // A working directory is told of as this process finds it, whatever the other one's root is.
      const from = namer.otherNamespace === undefined ? { ...namer, root: '/' } : namer
      for (const place of named.find(from, `${start}/${directory}`)) directories.add(place)
    }
  }
  return { directories, sockets }
}

/** Where this process finds directories that others named. */
class NamedDirectories {
  readonly #views: MountViews
  /** By the namespace, and the root in it. */
  readonly #paths = new Map<string, RealPaths>()
  readonly #otherViews = new Map<string, MountViews>()
  readonly #identities = new Map<RawPath, string>()

  constructor(views: MountViews) {
    this.#views = views
  }

  find({ processName, otherNamespace, root }: Namer, path: RawPath): readonly RawPath[] {
    if (otherNamespace === undefined && root === '/') return [path]
    const seen = otherNamespace === undefined ? root : `/proc/${processName}/root`
    const paths = kept(this.#paths, `${otherNamespace} ${root}`, () => new RealPaths(seen))
    const real = paths.find(path)
    if (real === undefined) return []
    if (otherNamespace === undefined) return [root + real.path]
    // As most services have it, which see of the machine the most part as it is.
    if (real.identity === kept(this.#identities, path, () => identityOf(path) ?? 'none'))
      return [path]
    const others = kept(this.#otherViews, otherNamespace, () => new MountViews(processName))
    const place = others.placeOf(real.path)
    return place === undefined ? [] : this.#views.pathsOf(place)
  }
}

function kept<Key, Value>(values: Map<Key, Value>, key: Key, make: () => Value): Value {
  const found = values.get(key)
  if (found !== undefined) return found
  const value = make()
  values.set(key, value)
  return value
}

/** This one first, then that of the machine, which may be out of sight among the others. */
function processNames(): readonly string[] {
  try {
    return ['self', '1', ...readdirSync('/proc').filter((name) => /^\d+$/.test(name))]
  } catch {
    return []
  }
}

/** Which network's table it is: each has files of its own. Undefined for a process that has gone. */
function inodeOf(file: string): number | undefined {
  try {
    return statSync(file, { throwIfNoEntry: false })?.ino
  } catch {
    return undefined
  }
}

/** Names by the directory that they are in. An abstract one, which begins with `@`, may be a relative one, too. */
interface NameTable {
  readonly absolute: ReadonlyMap<RawPath, readonly string[]>
  readonly relative: ReadonlyMap<RawPath, readonly string[]>
  readonly surelyRelative: ReadonlyMap<RawPath, readonly string[]>
}

function tableIn(file: string): NameTable {
  const names = namesIn(file)
  return {
    absolute: byDirectory(names.filter((name) => name.startsWith('/'))),
    relative: byDirectory(names.filter((name) => !name.startsWith('/'))),
    surelyRelative: byDirectory(names.filter((name) => !/^[/@]/.test(name))),
  }
}

/** A line that is no other's goes on with a name in which there is a newline. */
function namesIn(file: string): readonly RawPath[] {
  const names: string[] = []
  for (const line of linesOf(file).slice(1, -1)) {
    const match = /^[0-9a-f]+: (?:\S+ +){5}\S+(?: (.*))?$/s.exec(line)
    if (match === null) names.push(`${names.pop() ?? ''}\n${line}`)
    else names.push(match[1] ?? '')
  }
  return Array.from(new Set(names)).filter((name) => name !== '')
}

function byDirectory(names: readonly RawPath[]): ReadonlyMap<RawPath, readonly string[]> {
  const found = new Map<RawPath, string[]>()
  for (const name of names) kept(found, dirname(name), () => []).push(basename(name))
  return found
}
