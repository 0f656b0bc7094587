import { readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'

/** Where systems keep files in memory. */
export const memoryDirectory = '/dev/shm'

/** Where the secrets of a server's containers are, in memory, out of other users' reach. */
export function secretsRoot(storeId: string): string {
  return join(memoryDirectory, `pachyderm-${storeId}`)
}

/** Where engines keep images, containers and volumes of whom nobody has told otherwise. */
const usualPlaces = [
  '/var/lib/docker',
  '/var/lib/containers',
  '/var/lib/containerd',
  '/var/snap/docker',
]

const settingsNames = [
  'HOME',
  'XDG_CONFIG_HOME',
  'XDG_DATA_HOME',
  'CONTAINERS_STORAGE_CONF',
] as const

/** Variables that say where engines have their settings. */
export type EngineVariables = Readonly<Partial<Record<(typeof settingsNames)[number], string>>>

/** Those of an environment, and nothing else of it. */
export function engineVariables(
  environment: Readonly<Record<string, string | undefined>>,
): EngineVariables {
  return Object.fromEntries(settingsNames.map((name) => [name, environment[name]]))
}

/**
 * Directories in which a container engine of this machine may keep what containers write: whoever reads them as
 * root reads other pipelines' datums. None need exist; an engine that answers may name others. Reads its
 * settings, which may be on a disk that does not answer.
 */
export function engineStorage(
  environment: EngineVariables,
  systemDirectory = '/',
): readonly string[] {
  const { HOME: home = '' } = environment
  const own = home === '' ? [] : [environment.XDG_DATA_HOME || join(home, '.local/share')]
  const settings = home === '' ? [] : [environment.XDG_CONFIG_HOME || join(home, '.config')]
  const system = [join(systemDirectory, 'etc'), join(systemDirectory, 'usr/share')]
  const podmans = [...system, ...settings].map((path) => join(path, 'containers/storage.conf'))
  const dockers = [join(systemDirectory, 'etc'), ...settings].map((path) =>
    join(path, 'docker/daemon.json'),
  )
  return placesOf([
    ...usualPlaces,
    ...own.flatMap((path) => [join(path, 'docker'), join(path, 'containers')]),
    ...[environment.CONTAINERS_STORAGE_CONF ?? '', ...podmans].flatMap(namedForPodman),
    ...dockers.flatMap(namedForDocker),
  ])
}

/** Those that can be hidden: of a virtual machine's engine, or a careless one, anything may come. */
export function placesOf(paths: readonly unknown[]): readonly string[] {
  const places = paths.filter((path) => typeof path === 'string').filter((path) => isAbsolute(path))
  return Array.from(new Set(places)).filter((path) => path !== '/')
}

/** Lines of TOML; one with a variable in it is an ordinary user's, below a home. */
function namedForPodman(file: string): readonly string[] {
  const lines = textOf(file).split('\n')
  return lines.flatMap(
    (line) =>
      /^\s*(?:graphroot|runroot|rootless_storage_path|imagestore)\s*=\s*["']([^"'$]+)["']/.exec(
        line,
      )?.[1] ?? [],
  )
}

function namedForDocker(file: string): readonly unknown[] {
  try {
    const settings: unknown = JSON.parse(textOf(file))
    if (typeof settings !== 'object' || settings === null) return []
    return Object.entries(settings).flatMap(([name, value]: [string, unknown]) =>
      name === 'data-root' || name === 'graph' ? [value] : [],
    )
  } catch {
    // Nor does Docker start with that.
    return []
  }
}

/** Empty where nothing is, or this user cannot read. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
