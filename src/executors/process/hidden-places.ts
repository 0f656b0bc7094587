import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

import { linesOf, MountViews } from './mount-views.ts'

/** What user code must not see, or must see without the sockets in it. */
export interface HiddenPlaces {
  readonly hiddenDirectories: readonly string[]
  /** Shown without sockets, and without what is left out. */
  readonly coveredDirectories: readonly string[]
  readonly leftOut: readonly string[]
}

/** What the sandbox has of its own, so that it shows nothing of the machine's. */
const ownDirectories = ['/dev', '/proc', '/run', '/tmp', '/var/tmp']
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
 * All of it wherever the machine's mounts show it, now. Of `privateDirectories`, and of what the sandbox has of
 * its own, the machine may show a part at another place, which it then does on purpose.
 */
export function hiddenPlaces({
  hiddenDirectories,
  privateDirectories,
  hiddenPaths,
  engineSockets,
  programPath,
}: {
  readonly hiddenDirectories: readonly string[]
  readonly privateDirectories: readonly string[]
  readonly hiddenPaths: readonly string[]
  readonly engineSockets: readonly string[]
  readonly programPath: string
}): HiddenPlaces {
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
    ...machineDirectories(views),
  ].filter((path) => !ownDirectories.some((own) => isBelow(path, own)))
  const hidden = [...ownDirectories, ...directories]
  const names = hiddenPaths.flatMap(namesOf).flatMap((name) => namesIn(views, name))
  const leftOut = Array.from(new Set([...files, ...names]))
  const bound = boundSockets()
  const listening = new Set(bound.flatMap((socket) => directoriesOf(views, socket)))
  const mounted = [...engineSockets, ...bound].flatMap((socket) => mountedSockets(views, socket))
  const places = [
    ...engineSockets.flatMap((socket) => directoriesOf(views, socket)),
    ...Array.from(listening).filter(holdsSocket),
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
function machineDirectories(views: MountViews): readonly string[] {
  const shown = ownDirectories
    .filter((path) => realPath(path) === path)
    .flatMap((path) => views.wholesOf(path))
  const processes = views.mounts.filter(({ type }) => type === 'proc').map(({ point }) => point)
  return [...shown, ...processes]
}

/** Those in which no programs are looked for. */
function withoutPrograms(directories: readonly string[], programPath: string): readonly string[] {
  const programs = programPath.split(':').flatMap((path) => realPath(path) ?? [])
  return directories.filter((path) => !programs.some((program) => isBelow(program, path)))
}

/** A name of what need not be there, in all views of its directory, and where its file is mounted by itself. */
function namesIn(views: MountViews, name: string): readonly string[] {
  const directories = views.wholesOf(dirname(name))
  return [...directories.map((path) => join(path, basename(name))), ...views.wholesOf(name)]
}

function directoriesOf(views: MountViews, socket: string): readonly string[] {
  return directoryOf(socket).flatMap((path) => views.wholesOf(path))
}

/** Where a socket is mounted by itself. The entry of its directory tells of what it is mounted over. */
function mountedSockets(views: MountViews, socket: string): readonly string[] {
  const real = realPath(socket)
  return real === undefined ? [] : views.wholesOf(real).filter(isSocket)
}

/** False where this user cannot look. */
function isFile(path: string): boolean {
  try {
    return !statSync(path).isDirectory()
  } catch {
    return false
  }
}

function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket()
  } catch {
    return false
  }
}

function directoryAt(path: string): readonly string[] {
  const real = realPath(path)
  return real !== undefined && statSync(real).isDirectory() ? [real] : []
}

/** A file as it is named, and as it is: names in directories that are there. */
function namesOf(path: string): readonly string[] {
  if (directoryAt(path).length > 0) return []
  const real = realPath(path)
  return [path, ...(real === undefined ? [] : [real])].map((name) => {
    let first = name
    while (!existsSync(dirname(first))) first = dirname(first)
    return join(realPath(dirname(first)) ?? dirname(first), basename(first))
  })
}

/** Undefined where nothing is, or this user cannot look, who then cannot read it either. */
function realPath(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}

/** Paths that this machine's sockets were given. */
function boundSockets(): readonly string[] {
  // Not by /proc/net, which a /proc of processes alone lacks. The second is the machine's where this process has a network of its own.
  const lines = ['/proc/self/net/unix', '/proc/1/net/unix'].flatMap((file) => linesOf(file))
  const paths = lines.flatMap((line) => /^(?:\S+\s+){7}(\/.*)$/.exec(line)?.[1] ?? [])
  return Array.from(new Set(paths))
}

/** False for one of another mount namespace's. Some programs give their socket another name later. */
function holdsSocket(directory: string): boolean {
  try {
    return readdirSync(directory, { withFileTypes: true }).some((entry) => entry.isSocket())
  } catch {
    return false
  }
}

/** Of what a link leads to, as well. None where this user cannot look, who then cannot connect either. */
function directoryOf(socket: string): readonly string[] {
  return [() => dirname(realpathSync(socket)), () => realpathSync(dirname(socket))].flatMap(
    (find) => {
      try {
        return [find()]
      } catch {
        return []
      }
    },
  )
}

function entryCount(directory: string): number {
  try {
    return readdirSync(directory).length
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
