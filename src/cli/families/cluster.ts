import type { CommandFamily } from '../command.ts'

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
