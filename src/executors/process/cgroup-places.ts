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

interface Mount {
  readonly root: string
  readonly point: string
  readonly kind: string
  readonly options: readonly string[]
}

/**
 * The directories of this process's own control groups, as the texts of `/proc/self/mountinfo` and
 * `/proc/self/cgroup` tell. Where a controller is in the older hierarchies, it is in none of the newer.
 */
export function findGroupPlaces(mountinfo: string, own: string): readonly GroupPlace[] {
  const mounts = mountinfo.split('\n').flatMap(parseMount)
  const groups = own
    .split('\n')
    .map((line) => /^(\d+):([^:]*):(.*)$/.exec(line))
    .flatMap((match) =>
      match === null ? [] : [{ names: (match[2] ?? '').split(','), path: match[3] ?? '/' }],
    )
  const older = controllers.flatMap((controller): readonly GroupPlace[] => {
    const mount = mounts.find(
      ({ kind, options }) => kind === 'cgroup' && options.includes(controller),
    )
    const group = groups.find(({ names }) => names.includes(controller))
    if (mount === undefined || group === undefined) return []
    return [{ version: 1, controllers: [controller], directory: directoryOf(mount, group.path) }]
  })
  const mount = mounts.find(({ kind }) => kind === 'cgroup2')
  const group = groups.find(({ names }) => names.length === 1 && names[0] === '')
  if (mount === undefined || group === undefined) return older
  const rest = controllers.filter(
    (each) => !older.some((place) => place.controllers.includes(each)),
  )
  return [...older, { version: 2, controllers: rest, directory: directoryOf(mount, group.path) }]
}

function parseMount(line: string): readonly Mount[] {
  const [before = '', after = ''] = line.split(' - ')
  const [, , , root, point] = before.split(' ')
  const [kind, , options = ''] = after.split(' ')
  if (root === undefined || point === undefined || kind === undefined) return []
  return [{ root: unescaped(root), point: unescaped(point), kind, options: options.split(',') }]
}

/** Blanks and the like are written as octal numbers there. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCodePoint(Number.parseInt(digits, 8)),
  )
}

/** A mount may show a part of the hierarchy only, as in containers. */
function directoryOf({ root, point }: Mount, path: string): string {
  const isBelow = root === '/' || path === root || path.startsWith(`${root}/`)
  const relative = isBelow ? path.slice(root === '/' ? 0 : root.length) : ''
  return relative === '/' || relative === '' ? point : `${point}${relative}`
}
