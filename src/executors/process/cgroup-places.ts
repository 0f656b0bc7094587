import { type Mount, parseMounts } from '../../base/mount-table.ts'

/** What a group of processes can be bounded in. */
export type Controller = 'cpu' | 'memory' | 'pids'

export const controllers: readonly Controller[] = ['cpu', 'memory', 'pids']

/** Where this process may make groups below its own. */
export interface GroupPlace {
  readonly version: 1 | 2
  /** Of version 2: those that the directory has are known when it is looked into. */
  readonly controllers: readonly Controller[]
  readonly directory: string
}

/**
 * The directories of this process's own control groups, as the texts of `/proc/self/mountinfo` and
 * `/proc/self/cgroup` tell. Where a controller is in the older hierarchies, it is in none of the newer.
 */
export function findGroupPlaces(mountinfo: string, own: string): readonly GroupPlace[] {
  const mounts = parseMounts(mountinfo)
  const groups = own
    .split('\n')
    .map((line) => /^(\d+):([^:]*):(.*)$/.exec(line))
    .flatMap((match) =>
      match === null ? [] : [{ names: (match[2] ?? '').split(','), path: match[3] ?? '/' }],
    )
  const older = controllers.flatMap((controller): readonly GroupPlace[] => {
    const mount = mounts.find(
      ({ type, systemOptions }) => type === 'cgroup' && systemOptions.includes(controller),
    )
    const group = groups.find(({ names }) => names.includes(controller))
    if (mount === undefined || group === undefined) return []
    return [{ version: 1, controllers: [controller], directory: directoryOf(mount, group.path) }]
  })
  const mount = mounts.find(({ type }) => type === 'cgroup2')
  const group = groups.find(({ names }) => names.length === 1 && names[0] === '')
  if (mount === undefined || group === undefined) return older
  const rest = controllers.filter(
    (each) => !older.some((place) => place.controllers.includes(each)),
  )
  return [...older, { version: 2, controllers: rest, directory: directoryOf(mount, group.path) }]
}

/** Where the machine shows hierarchies that groups may be bounded in, whole or in part. */
export function findGroupTops(mountinfo: string): readonly string[] {
  const tops = parseMounts(mountinfo).filter(
    ({ type, systemOptions }) =>
      type === 'cgroup2' ||
      (type === 'cgroup' && controllers.some((each) => systemOptions.includes(each))),
  )
  return tops.map(({ point }) => point)
}

/** A mount may show a part of the hierarchy only, as in containers. */
function directoryOf({ root, point }: Mount, path: string): string {
  const isBelow = root === '/' || path === root || path.startsWith(`${root}/`)
  const relative = isBelow ? path.slice(root === '/' ? 0 : root.length) : ''
  return relative === '/' || relative === '' ? point : `${point}${relative}`
}
