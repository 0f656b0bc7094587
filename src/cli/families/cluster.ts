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
      flags: [],
      load: async () => (await import('../commands/cluster.ts')).garbageCollect,
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
