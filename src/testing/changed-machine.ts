import { spawnSync } from 'node:child_process'

const isRoot = process.geteuid?.() === 0
/** The number of a user who is nobody in particular. */
export const ordinary = 1000
const asOrdinary = ['setpriv', `--reuid=${ordinary}`, `--regid=${ordinary}`, '--clear-groups', '--']

/** Only root can start what is another user's. */
export type MachineUser = 'root' | 'ordinary'

/**
 * The lines that a program of Node prints, by a user of a machine that root, in a shell where `$0` is `home`, has
 * changed by `prepare`. Its mounts are gone with it. `path` is the program's `PATH`.
 */
export function printed(
  {
    prepare,
    home,
    user,
    path = '/usr/bin:/bin:/usr/sbin:/sbin',
  }: {
    readonly prepare: string
    readonly home: string
    readonly user: MachineUser
    readonly path?: string
  },
  program: string,
): readonly string[] {
  const apart = ['--mount', ...(isRoot ? [] : ['--user', '--map-root-user'])]
  const machine = ['sh', '-ec', `${prepare}\nexec "$@"`, home]
  const server = [process.execPath, '--input-type=module', '-e', program]
  const { stdout, stderr } = spawnSync(
    'unshare',
    [...apart, ...machine, ...(user === 'ordinary' ? asOrdinary : []), ...server],
    { encoding: 'utf8', env: { PATH: `${path}:/usr/bin:/bin:/usr/sbin:/sbin` } },
  )
  return `${stderr}${stdout}`.split('\n').filter((line) => line !== '')
}
