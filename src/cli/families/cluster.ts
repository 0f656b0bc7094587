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
      name: 'doctor',
      arguments: '',
      about: 'look at what pachctl and the server need of their machines',
      details: `Looks at versions, the connection, clocks, the sandbox of user code and its limits, the container
engine, disk and ports, and says what to do about each. Exits with 1 when there is a problem.`,
      flags: [],
      load: async () => (await import('../commands/doctor.ts')).doctor,
    },
    {
      name: 'migrate',
      arguments: '',
      about: 'bring a whole cluster of 1.4 or 1.5 here',
      details: `Repos, commits with their ids, branches, files, pipelines, jobs and the results of datums come over,
so that nothing is processed again. pachd reads the old cluster's stores itself, and never writes to
them: --etcd is a snapshot file or a live etcd, --storage a directory or a bucket. Where only the old
pachd can be reached, give --pachd. Without any of these, the cluster comes that pachd was told of
when it was started (--old-etcd, --old-storage).

Nothing of it is seen before everything is there. It can be stopped at any point: run it again, and it
goes on. What is damaged is listed; then nothing changes and the exit code is 1, unless it may be left
out. docs/migrating.md walks through it.`,
      examples: [
        'pachctl migrate --etcd etcd.snapshot.db --storage /var/pachyderm/pachd --dry-run',
        'pachctl migrate --etcd localhost:2379 --storage s3://pachyderm-bucket',
        'pachctl migrate --pachd old-cluster:30650 --open-commits drop',
        'pachctl migrate --from 1.4.8 --to 1.5.0',
      ],
      flags: [
        {
          name: 'etcd',
          value: 'FILE|HOST:PORT',
          about: 'the metadata: a snapshot of etcd, or an etcd that runs',
        },
        {
          name: 'storage',
          value: 'DIR|URL',
          about: 'the contents: a directory, or a bucket such as s3://NAME',
        },
        { name: 'pachd', value: 'HOST:PORT', about: 'in place of both: the old pachd' },
        { name: 'dry-run', about: 'say what would come and what is damaged, and change nothing' },
        { name: 'skip-damaged', about: 'leave out what is damaged' },
        { name: 'force', about: 'go on though the cluster is not at rest, or had access control' },
        {
          name: 'open-commits',
          value: 'finish|keep|drop',
          default: 'finish',
          about: 'what becomes of commits that are open there',
        },
        {
          name: 'kill-unfinished-jobs',
          about: 'say that jobs which had not ended were killed; else they run here',
        },
        { name: 'keep-paused', about: 'pause every pipeline, also those that ran' },
        {
          name: 'report',
          value: 'FILE',
          default: 'migration-report.jsonl',
          about: 'where to write what came, with checksums, one JSON object a line',
        },
        { name: 'abandon', about: 'forget what a migration has brought that was not completed' },
        { name: 'from', value: 'VERSION', about: 'of the old cluster, as in 1.5: it is found out' },
        {
          name: 'to',
          value: 'VERSION',
          about: 'as in 1.5: 1.5.0, which is what this server speaks',
        },
        {
          name: 'pfs-prefix',
          value: 'PREFIX',
          about: 'how keys of repos begin in etcd, if that was changed',
        },
        {
          name: 'pps-prefix',
          value: 'PREFIX',
          about: 'how keys of pipelines begin in etcd, if that was changed',
        },
      ],
      inTransaction: 'beside',
      load: async () => (await import('../commands/migrate.ts')).migrate,
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
