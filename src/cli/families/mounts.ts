import type { CommandFamily } from '../command.ts'

const mounts = async () => import('../commands/mount.ts')

export const mountCommands: CommandFamily = {
  title: 'Files as a directory of this machine',
  commands: [
    {
      name: 'mount',
      arguments: 'DIR',
      about: 'show all repos below a directory, as files, until interrupted',
      details: `DIR/REPO/BRANCH and DIR/REPO/COMMIT have the files of a commit, for every program. Finished commits
are read-only. In open ones, files can be made, replaced, appended to, moved and deleted; what is
written to a file is there when it is closed.

Needs Linux with FUSE; docs/mount.md tells more, also of macOS and Windows.`,
      examples: ['pachctl mount /pfs &', 'ls -l /pfs/data/master', 'pachctl unmount /pfs'],
      flags: [
        { name: 'debug', short: 'd', about: 'print every request that programs make' },
        { name: 'all-commits', short: 'a', about: 'has no effect: all commits are there' },
      ],
      load: async () => (await mounts()).mountPfs,
    },
    {
      name: 'unmount',
      arguments: '[DIR]',
      about: 'end a mount, also one whose pachctl was killed',
      examples: ['pachctl unmount /pfs', 'pachctl unmount --all'],
      flags: [
        { name: 'all', short: 'a', about: 'all mounts of pachctl on this machine, after asking' },
        {
          name: 'force',
          about: 'even while programs use it: they may go on, nobody else sees it any more',
        },
      ],
      load: async () => (await mounts()).unmountPfs,
    },
  ],
}
