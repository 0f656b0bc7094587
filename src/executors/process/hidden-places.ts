import { readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'

/** What user code must not see, or must see without the sockets in it. */
export interface HiddenPlaces {
  readonly hiddenDirectories: readonly string[]
  readonly listeningDirectories: readonly string[]
}

/** What the sandbox has of its own, so that it shows nothing of the machine's. */
const ownDirectories = ['/dev', '/proc', '/run', '/tmp', '/var/tmp']
/** Each entry of a directory that is shown without sockets is mounted. */
const entryCountMax = 500

/**
 * Also the directories in which somebody on this machine listens now, or an engine may: who can connect to
 * a socket can have done what its owner does, and no mount keeps from that. What lies below the directories
 * that are hidden anyway needs nothing more.
 */
export function hiddenPlaces(
  hiddenDirectories: readonly string[],
  engineSockets: readonly string[],
): HiddenPlaces {
  const hidden = [...ownDirectories, ...hiddenDirectories]
  const bound = new Set(boundSockets().flatMap(directoryOf))
  const places = [...engineSockets.flatMap(directoryOf), ...Array.from(bound).filter(holdsSocket)]
  const listening = Array.from(new Set(places))
    .filter((path) => path !== '/' && !hidden.some((other) => isBelow(path, other)))
    .toSorted()
  const crowded = listening.filter((path) => entryCount(path) > entryCountMax)
  return {
    hiddenDirectories: outermost([...hiddenDirectories, ...crowded]),
    listeningDirectories: listening.filter(
      (path) => !crowded.some((other) => isBelow(path, other)),
    ),
  }
}

/** Paths that this machine's sockets were given. */
function boundSockets(): readonly string[] {
  // The second is the machine's where this process has a network of its own.
  const lines = ['/proc/net/unix', '/proc/1/net/unix'].flatMap((file) => linesOf(file))
  const paths = lines.flatMap((line) => /^(?:\S+\s+){7}(\/.*)$/.exec(line)?.[1] ?? [])
  return Array.from(new Set(paths))
}

function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').split('\n')
  } catch {
    // It is another user's, or there is no such file on this system.
    return []
  }
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
