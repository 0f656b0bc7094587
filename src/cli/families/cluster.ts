import type { CommandFamily } from '../command.ts'
import type { FlagSpec } from '../command.ts'
import { rawFlag } from './common-flags.ts'

/** Where a backup is. */
const backupFlags: readonly FlagSpec[] = [
  { name: 'directory', short: 'd', value: 'DIR', about: 'the backup is a directory on this side' },
  { name: 'file', short: 'f', value: 'FILE', about: 'it is a tar archive on this side' },
  {
    name: 'url',
    short: 'u',
    value: 'URL',
    about: 'it is in an object store that the server reaches, such as s3://BUCKET/PREFIX',
  },
  { name: 'key-file', value: 'FILE', about: 'it is encrypted with the key in FILE, 64 hex digits' },
  {
    name: 'passphrase-file',
    value: 'FILE',
    about: 'it is encrypted with the passphrase in FILE, a line',
  },
]

const snapshotFlag: FlagSpec = {
  name: 'snapshot',
  value: 'NAME',
  about: "the beginning of a snapshot's name",
}

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
      about: 'bring a whole cluster of 1.4 or 1.5 here, or a data directory of ours up to date',
      details: `Repos, commits with their ids, branches, files, pipelines, jobs and the results of datums come over,
so that nothing is processed again. pachd reads the old cluster's stores itself, and never writes to
them: --etcd is a snapshot file or a live etcd, --storage a directory or a bucket. Where only the old
pachd can be reached, give --pachd. Without any of these, the cluster comes that pachd was told of
when it was started (--old-etcd, --old-storage).

Nothing of it is seen before everything is there. It can be stopped at any point: run it again, and it
goes on. What is damaged is listed; then nothing changes and the exit code is 1, unless it may be left
out. docs/migrating.md walks through it.

With --root, a data directory of an older release of this server is brought to the tables of this one, ahead
of its first start, which would do the same: after a copy, and while no server uses it. --dry-run says which
steps that takes and tries them on a copy, also while the older release serves; --undo puts the copy back, for
the older release to go on from. docs/upgrading.md walks through it.`,
      examples: [
        'pachctl migrate --etcd etcd.snapshot.db --storage /var/pachyderm/pachd --dry-run',
        'pachctl migrate --etcd localhost:2379 --storage s3://pachyderm-bucket',
        'pachctl migrate --pachd old-cluster:30650 --open-commits drop',
        'pachctl migrate --from 1.4.8 --to 1.5.0',
        'pachctl migrate --root /var/pachd --dry-run',
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
        {
          name: 'pachd-token-file',
          value: 'FILE',
          about: "where its access control is on: an administrator's token; else $PACHD_TOKEN",
        },
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
        {
          name: 'from',
          value: 'VERSION',
          about:
            'the release of the old cluster, such as 1.4.8 or 1.5: it is found out, and only compared',
        },
        {
          name: 'to',
          value: 'VERSION',
          about: 'the release that it becomes: any 1.5, which is what this server speaks',
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
        {
          name: 'root',
          value: 'DIR',
          about: 'in place of a cluster: the data directory of a server of ours that does not run',
        },
        { name: 'undo', about: 'with --root: put back what there was before the last upgrade' },
      ],
      inTransaction: 'beside',
      load: async () => (await import('../commands/migrate.ts')).migrate,
    },
    {
      name: 'extract',
      arguments: '',
      about: 'make a backup of all that the server keeps',
      details: `Everybody goes on working meanwhile; the backup is of one instant. Into a directory or an object store
that holds a backup already it writes only what has changed since. Without a place it goes to the
standard output, as a tar archive. Every byte is compared with what was stored before it is written.
docs/backup.md says what to do when something is lost.`,
      examples: [
        'pachctl extract --directory /backup/pachd',
        'pachctl extract --url s3://backups/pachd --key-file backup.key',
        'pachctl extract | ssh elsewhere "cat > pachd.tar"',
      ],
      flags: [
        ...backupFlags,
        { name: 'metadata-only', about: 'leave out the contents of files' },
        { name: 'data-only', about: 'leave out the metadata' },
        { name: 'skip-damaged', about: 'leave out what is stored damaged; else no backup is made' },
        {
          name: 'repair',
          about: 'read all that the backup has already, and write anew what is damaged of it',
        },
        { name: 'force', about: 'with --file: write over a file that is no backup' },
      ],
      load: async () => (await import('../commands/extract.ts')).extract,
    },
    {
      name: 'verify-backup',
      arguments: '',
      about: 'read all of a backup, and say what is lost of it',
      details:
        'Nothing is restored or changed. Each snapshot is said to be whole or damaged, and what is damaged is named; then the exit code is 1.',
      examples: [
        'pachctl verify-backup --directory /backup/pachd',
        'pachctl verify-backup --url s3://backups/pachd --list',
      ],
      flags: [
        ...backupFlags,
        snapshotFlag,
        {
          name: 'list',
          about: 'only name the snapshots, and whose they are, and read nothing else',
        },
      ],
      load: async () => (await import('../commands/verify-backup.ts')).verifyBackup,
    },
    {
      name: 'restore',
      arguments: '',
      about: 'restore a backup into an empty server, or repos of it into any',
      details: `The newest snapshot, or another one. Each byte is compared with what was backed up. Nothing is seen of
it before everything is there; then the server starts once more. It can be stopped at any point: run it
again, and it goes on. A data directory is made of a backup without a server by pachd --root DIR
--restore.
With --repo, only these repos come, with their history, beside all that the server has: of the backup, only
what they need is read, and nothing of them is seen before all of it is there. Branches move forward only.`,
      examples: [
        'pachctl restore --directory /backup/pachd',
        'pachctl restore --url s3://backups/pachd --snapshot 20261126T03',
        'ssh elsewhere cat pachd.tar | pachctl restore',
        'pachctl restore --directory /backup/pachd --repo images --repo edges',
      ],
      flags: [
        ...backupFlags,
        snapshotFlag,
        {
          name: 'skip-damaged',
          about: 'do without packs that are missing or damaged; says which files that concerns',
        },
        {
          name: 'repo',
          value: 'REPO',
          repeats: true,
          about: 'only this repo; may be given several times',
        },
        { name: 'with-provenance', about: 'with --repo: also the repos that these are made from' },
        { name: 'dry-run', about: 'with --repo: say what would come, and bring nothing' },
      ],
      inTransaction: 'beside',
      load: async () => (await import('../commands/restore.ts')).restore,
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
