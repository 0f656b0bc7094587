import type { CommandFamily } from '../command.ts'
import { rawFlag } from './common-flags.ts'

export const clusterCommands: CommandFamily = {
  title: 'The server',
  commands: [
    {
      name: 'version',
      arguments: '',
      about: 'print the versions of pachctl and of pachd',
      flags: [],
      load: async () => (await import('../commands/version.ts')).version,
    },
    {
      name: 'fsck',
      arguments: '',
      about: 'check that everything that is stored is there and whole',
      details: `The server goes on working meanwhile. Each finding says what it means, which files are concerned, and
how to repair it; docs/storage.md tells more of each kind. Exits with 1 when something is damaged and
has not been repaired.

A data directory on which no server starts is checked by pachd --root DIR --fsck.`,
      examples: ['pachctl fsck', 'pachctl fsck --full', 'pachctl fsck --fix'],
      flags: [
        { name: 'full', about: 'read and check every byte that is stored, too' },
        { name: 'fix', about: 'put right what can be derived with certainty; deletes no data' },
        rawFlag,
      ],
      load: async () => (await import('../commands/fsck.ts')).fsck,
    },
    {
      name: 'garbage-collect',
      arguments: '',
      about: 'free the space of what nothing refers to any more',
      details:
        'Frees what deleted repos, commits and pipelines have left, while everything else goes on. pachd does so by itself, too, now and then.',
      flags: [{ name: 'dry-run', about: 'say what would be freed, and free nothing' }],
      load: async () => (await import('../commands/garbage-collect.ts')).garbageCollect,
    },
    {
      name: 'delete-all',
      arguments: '',
      about: 'delete all repos, commits, files, pipelines and jobs, after asking',
      flags: [],
      inTransaction: 'beside',
      load: async () => (await import('../commands/cluster.ts')).deleteAll,
    },
  ],
}
