import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

import { boundSockets } from './bound-sockets.ts'
import { MountViews } from './mount-views.ts'
import { bytesOf, rawPath, type RawPath } from './raw-paths.ts'

/** What user code must not see, or must see without the sockets in it. */
export interface HiddenPlaces {
  readonly hiddenDirectories: readonly RawPath[]
  /** Shown without sockets, and without what is left out. */
  readonly coveredDirectories: readonly RawPath[]
  readonly leftOut: readonly RawPath[]
}

/** What the sandbox has of its own, so that it shows nothing of the machine's. */
const ownDirectories = ['/dev', '/proc', '/run', '/tmp', '/var/tmp']
/** A file system of its own in one of these. */
const sharedMemory = '/dev/shm'
/** Each entry of a directory that is shown without sockets is mounted. */
const entryCountMax = 500

/**
 * Also the directories in which somebody on this machine listens now, or an engine may: who can connect to
 * a socket can have done what its owner does, and no mount keeps from that. What lies below the directories
 * that are hidden anyway needs nothing more.
 *
 * Of `hiddenPaths`, which may be anything or not there yet, directories are hidden as those of
 * `hiddenDirectories`. Others are left out where their directory is shown: a cover of the file itself would be
 * gone when another file takes its name.
 *
 * All of it wherever the machine's mounts show it, now. Of `privateDirectories`, of what engines keep, and of
 * what the sandbox has of its own, the machine may show a part at another place, which it then does on purpose.
 */
export function hiddenPlaces(options: {
  readonly hiddenDirectories: readonly string[]
  readonly privateDirectories: readonly string[]
  readonly hiddenPaths: readonly string[]
  readonly engineSockets: readonly string[]
  readonly engineStorage: readonly string[]
  readonly programPath: string
}): HiddenPlaces {
  const { programPath } = options
  const hiddenDirectories = options.hiddenDirectories.map(rawPath)
  const privateDirectories = options.privateDirectories.map(rawPath)
  const hiddenPaths = options.hiddenPaths.map(rawPath)
  const engineSockets = options.engineSockets.map(rawPath)
  const views = new MountViews()
  const traces = [...hiddenDirectories, ...hiddenPaths.flatMap(directoryAt)].flatMap((path) =>
    views.tracesOf(path),
  )
  const files = traces.filter(isFile)
  const directories = [
    ...traces.filter((path) => !isFile(path)),
    ...privateDirectories,
    ...withoutPrograms(
      privateDirectories.flatMap((path) => views.wholesOf(path)),
      programPath,
    ),
    ...storageDirectories(views, options.engineStorage.map(rawPath)),
    ...machineDirectories(views),
  ].filter((path) => !ownDirectories.some((own) => isBelow(path, own)) && mayBeDirectory(path))
  const hidden = [...ownDirectories, ...directories]
  const names = hiddenPaths.flatMap(namesOf).flatMap((name) => namesIn(views, name))
  const leftOut = Array.from(new Set([...files, ...names]))
  const bound = boundSockets(views)
  const named = new Set([
    ...Array.from(bound.directories).flatMap(realPaths),
    // One that a link leads to by now.
    ...Array.from(bound.sockets)
      .flatMap(realPaths)
      .map((path) => dirname(path)),
  ])
  const listening = new Map(
    Array.from(named)
      .flatMap((path) => views.wholesOf(path))
      .map((path) => [path, socketsIn(path)]),
  )
  const sockets = [...engineSockets.flatMap(realPaths), ...Array.from(listening.values()).flat()]
  const mounted = sockets.flatMap((socket) => mountedSockets(views, socket))
  const places = [
    ...engineSockets.flatMap((socket) => directoriesOf(views, socket)),
    ...Array.from(listening.keys()).filter((path) => listening.get(path)?.length !== 0),
    ...[...mounted, ...leftOut].map((path) => dirname(path)),
  ]
  const covered = Array.from(new Set(places))
    .filter((path) => path !== '/' && !hidden.some((other) => isBelow(path, other)))
    .toSorted()
  const crowded = covered.filter((path) => entryCount(path) > entryCountMax)
  return {
    hiddenDirectories: outermost([...directories, ...crowded]),
    coveredDirectories: covered.filter((path) => !crowded.some((other) => isBelow(path, other))),
    leftOut,
  }
}

/** Where else what the sandbox has of its own is shown; another `/proc` tells of the machine's processes. */
function machineDirectories(views: MountViews): readonly RawPath[] {
  const shown = [...ownDirectories, sharedMemory]
    .filter((path) => realPath(path) === path)
    .flatMap((path) => views.wholesOf(path))
  const processes = views.mounts.filter(({ type }) => type === 'proc').map(({ point }) => point)
  return [...shown, ...processes]
}

/** Where engines keep what is others'. What they mount there from elsewhere is the machine's. */
function storageDirectories(
  views: MountViews,
  engineStorage: readonly RawPath[],
): readonly RawPath[] {
  return engineStorage
    .flatMap(directoryAt)
    .flatMap((path) => views.wholesOf(path))
    .filter((path) => path !== '/')
}

/** Those in which no programs are looked for. */
function withoutPrograms(directories: readonly RawPath[], programPath: string): readonly RawPath[] {
  const programs = programPath.split(':').flatMap((path) => realPaths(rawPath(path)))
  return directories.filter((path) => !programs.some((program) => isBelow(program, path)))
}

/** A name of what need not be there, in all views of its directory, and where its file is mounted by itself. */
function namesIn(views: MountViews, name: RawPath): readonly RawPath[] {
  const directories = views.wholesOf(dirname(name))
  return [...directories.map((path) => join(path, basename(name))), ...views.wholesOf(name)]
}

function directoriesOf(views: MountViews, socket: RawPath): readonly RawPath[] {
  return directoryOf(socket).flatMap((path) => views.wholesOf(path))
}

/** Where a socket is mounted by itself. The entry of its directory tells of what it is mounted over. */
function mountedSockets(views: MountViews, socket: RawPath): readonly RawPath[] {
  const name = basename(socket)
  if (!views.mounts.some(({ root }) => basename(root) === name)) return []
  return views.wholesOf(socket).filter(isSocket)
}

/** Of what no path leads to, as of a mount under another, there is nothing to hide. */
function mayBeDirectory(path: RawPath): boolean {
  try {
    return statSync(bytesOf(path)).isDirectory()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    // Where an ordinary user cannot look, its user code cannot, either.
    return !(code === 'EACCES' && process.geteuid?.() !== 0)
  }
}

/** False where this user cannot look. */
function isFile(path: RawPath): boolean {
  try {
    return !statSync(bytesOf(path)).isDirectory()
  } catch {
    return false
  }
}

function isSocket(path: RawPath): boolean {
  try {
    return statSync(bytesOf(path)).isSocket()
  } catch {
    return false
  }
}

function directoryAt(path: RawPath): readonly RawPath[] {
  const real = realPath(path)
  return real !== undefined && statSync(bytesOf(real)).isDirectory() ? [real] : []
}

/** A file as it is named, and as it is: names in directories that are there. */
function namesOf(path: RawPath): readonly RawPath[] {
  if (directoryAt(path).length > 0) return []
  const real = realPath(path)
  return [path, ...(real === undefined ? [] : [real])].map((name) => {
    let first = name
    while (!existsSync(bytesOf(dirname(first)))) first = dirname(first)
    return join(realPath(dirname(first)) ?? dirname(first), basename(first))
  })
}

function realPaths(path: RawPath): readonly RawPath[] {
  const real = realPath(path)
  return real === undefined ? [] : [real]
}

/** Undefined where nothing is, or this user cannot look, who then cannot read it either. */
function realPath(path: RawPath): RawPath | undefined {
  try {
    return realpathSync.native(bytesOf(path), 'latin1')
  } catch {
    return undefined
  }
}

/** Under the names that they have now, which some programs give them later. */
function socketsIn(directory: RawPath): readonly RawPath[] {
  try {
    return readdirSync(bytesOf(directory), { withFileTypes: true, encoding: 'latin1' })
      .filter((entry) => entry.isSocket())
      .map((entry) => join(directory, entry.name))
  } catch {
    return []
  }
}

/** Of what a link leads to, as well. None where this user cannot look, who then cannot connect either. */
function directoryOf(socket: RawPath): readonly RawPath[] {
  return [...realPaths(socket).map((path) => dirname(path)), ...realPaths(dirname(socket))]
}

function entryCount(directory: RawPath): number {
  try {
    return readdirSync(bytesOf(directory)).length
  } catch {
    return 0
  }
}

/** Those that lie in none of the others. */
export function outermost(directories: readonly string[]): readonly string[] {
  const kept: string[] = []
  for (const directory of directories.toSorted()) {
    if (!kept.some((other) => isBelow(directory, other))) kept.push(directory)
  }
  return kept
}

export function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`)
}
