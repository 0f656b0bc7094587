import type { CommandFamily, CommandSpec } from '../command.ts'
import { commitAroundFlag, messageFlag, parallelismFlag, rawFlag } from './common-flags.ts'

const files = async () => import('../commands/files.ts')
const copies = async () => import('../commands/copies.ts')

/** The commit that is made around it is finished at once. */
const besideWithCommit: CommandSpec['inTransaction'] = (flags) =>
  flags.isOn('commit') ? 'beside' : 'part'

export const fileCommands: CommandFamily = {
  title: 'Files',
  commands: [
    {
      name: 'put-file',
      arguments: 'REPO BRANCH [PATH]',
      about: 'put files into an open commit',
      details: `BRANCH is a branch whose head is open, or the id of an open commit; with --commit, a commit is
opened before and finished after, or deleted when nothing could be put. One source goes to PATH; several go below it, each under its own
name. Without PATH, each goes to its own name. With --recursive, what is below a directory goes
directly below PATH.

A source is a local file or directory, standard input, or a URL that the server fetches: http(s)://…,
s3://BUCKET/KEY, gs://BUCKET/KEY, as://HOST/CONTAINER/BLOB, or pfs://HOST:PORT/REPO/COMMIT/PATH, which
is another pachd, of 1.3 and later. With --recursive, all below a directory, or all whose keys begin
with KEY. With --history, BRANCH gets every commit of a branch of another pachd.

Files are appended to, unless --overwrite says otherwise.

With --split, a source becomes a directory of files that each hold one or more of its lines, JSON
values, CSV records or rows of a dump by pg_dump: as many as --target-file-datums or
--target-file-bytes ask for, or one. They are numbered on from those that are there, or replace them
with --overwrite. The header and the footer of an SQL dump stand in each of its files.`,
      examples: [
        'echo hello | pachctl put-file data master /greeting -c',
        "pachctl put-file data master -c -m 'third quarter' -f report.csv",
        'pachctl put-file data@master:/2018 -c -r -f photographs',
        'pachctl put-file data master /2017 -c -r -f photographs',
        'pachctl put-file data master -c -i list-of-files.txt',
        'pachctl put-file data master /log -c -o --split line --target-file-bytes 1000000 -f log.txt',
        'pachctl put-file data master /users -c --split csv --header-records 1 -f users.csv',
        'pachctl put-file data master -c -f https://example.com/2018/report.csv',
        'pachctl put-file data master / -c -r -f pfs://old-pachd:30650/data/master',
        'pachctl put-file data master / --history -f pfs://old-pachd:30650/data/master',
      ],
      flags: [
        {
          name: 'file',
          short: 'f',
          value: 'SOURCE',
          repeats: true,
          default: '-',
          about: 'a local file, a URL, or - for standard input',
        },
        {
          name: 'input-file',
          short: 'i',
          value: 'LIST',
          repeats: true,
          about: 'a file, a URL, or -, that names one source in each line',
        },
        { name: 'recursive', short: 'r', about: 'put all files below a directory' },
        { name: 'history', about: 'bring every commit of a branch of another pachd to BRANCH' },
        { name: 'resume', about: 'go on where the same command broke off' },
        {
          name: 'secret',
          value: 'NAME',
          about: 'fetch with the credentials in that secret of the server, not with its own',
        },
        parallelismFlag,
        {
          name: 'split',
          value: 'line|json|csv|sql',
          about: 'put each source as many files, below its path',
        },
        {
          name: 'target-file-datums',
          value: 'COUNT',
          isCount: true,
          default: '0',
          about: 'with --split: so many lines, values or rows a file',
        },
        {
          name: 'target-file-bytes',
          value: 'BYTES',
          isCount: true,
          default: '0',
          about: 'with --split: at least so many bytes a file',
        },
        {
          name: 'header-records',
          value: 'COUNT',
          isCount: true,
          default: '0',
          about: 'with --split line, json or csv: so many records at the start begin every file',
        },
        {
          name: 'footer-records',
          value: 'COUNT',
          isCount: true,
          default: '0',
          about: 'with --split line or csv: so many records at the end are the end of every file',
        },
        commitAroundFlag,
        { ...messageFlag, about: 'with --commit: what to say of it, at most 4,096 bytes' },
        { name: 'overwrite', short: 'o', about: 'replace files instead of appending to them' },
      ],
      inTransaction: 'beside',
      load: async () => (await import('../commands/put-file.ts')).putFile,
    },
    {
      name: 'get-file',
      arguments: 'REPO COMMIT PATH',
      about: 'print or store files, or a directory with all that is in it',
      details: `PATH may be a pattern as of glob-file, such as '/2017-*/*.csv', unless something has exactly this
name. Matching files are printed one after another, or stored with --output below a directory, named
from the last directory that the pattern names in full. With --recursive, directories come with all
that is in them; without it they are left out.

A file gets its name when it is whole; until then it is in .pachctl-part beside it, or in the directory
that is being stored. After an interruption, --resume keeps what is there with the right content, goes
on with large files, and gets the rest. What is on the disk otherwise is replaced, or left alone.`,
      examples: [
        'pachctl get-file data master /greeting',
        'pachctl get-file data@master~2:/greeting',
        'pachctl get-file data master / -r -o copy-of-data',
        "pachctl get-file data master '/2017-*/*.csv' -o tables",
        'pachctl get-file data master / -r -o copy-of-data --resume --verify',
        'pachctl get-file data master /2017 --tar | tar x -C /tmp',
      ],
      flags: [
        { name: 'recursive', short: 'r', about: 'store all files below a directory' },
        { name: 'output', short: 'o', value: 'PATH', about: 'where to store it' },
        { name: 'resume', about: 'keep what is there and right, and get the rest' },
        {
          name: 'verify',
          about: 'read back what was stored, and compare its hashes with the commit',
        },
        { name: 'tar', about: 'print an archive of it, with all that is in directories' },
        { ...parallelismFlag, about: 'how many files to get at once from a server of 1.5' },
      ],
      load: async () => (await import('../commands/get-file.ts')).getFile,
    },
    {
      name: 'export',
      arguments: 'REPO COMMIT PATH URL',
      about: 'write files to an object store',
      details: `The server writes the file at PATH, or all files below that directory, to the object store that URL
names: s3://BUCKET/KEY, gs://BUCKET/KEY or as://HOST/CONTAINER/BLOB, with the credentials that it has
for it. A file gets the key of the URL, or its own name below one that ends with a slash; files of a
directory go below the key.

Each object is there whole or not at all. Those that have the right content already are not written
again, so that the same command goes on after a failure, and brings an older export up to date; objects
of which there is no file stay.`,
      examples: [
        'pachctl export data@master:/2018 s3://reports/2018',
        'pachctl export data master / s3://backup/data --verify',
      ],
      flags: [
        parallelismFlag,
        { name: 'verify', about: 'read every object back, and compare it with its file' },
        {
          name: 'secret',
          value: 'NAME',
          about: 'write with the credentials in that secret of the server, not with its own',
        },
      ],
      load: async () => (await import('../commands/export.ts')).exportFiles,
    },
    {
      name: 'inspect-file',
      arguments: 'REPO COMMIT PATH',
      about: 'show a file or a directory',
      flags: [rawFlag],
      load: async () => (await files()).inspectFile,
    },
    {
      name: 'list-file',
      arguments: 'REPO COMMIT [DIRECTORY]',
      about: 'list what is in a directory',
      flags: [rawFlag],
      load: async () => (await files()).listFile,
    },
    {
      name: 'glob-file',
      arguments: 'REPO COMMIT PATTERN',
      about: 'list the files and directories that match a pattern',
      examples: ["pachctl glob-file data master '/2017-*/*.csv'"],
      flags: [rawFlag],
      load: async () => (await files()).globFile,
    },
    {
      name: 'diff-file',
      arguments: 'NEW-REPO NEW-COMMIT NEW-PATH [OLD-REPO OLD-COMMIT OLD-PATH]',
      about: 'show what differs between two paths, or between a path and its parent commit',
      examples: [
        'pachctl diff-file data@master:/',
        'pachctl diff-file data@master:/ data@master~3:/',
      ],
      flags: [{ name: 'shallow', short: 's', about: 'only one level below the path' }],
      load: async () => (await import('../commands/diff-file.ts')).diffFile,
    },
    {
      name: 'copy-file',
      arguments: 'SRC-REPO SRC-COMMIT SRC-PATH DST-REPO DST-COMMIT DST-PATH',
      about: 'copy a file or a directory into an open commit, without moving its content',
      details: `The source is in any commit of any repo, the destination in an open one; with --commit, a commit is
opened on the branch DST-COMMIT before and finished after. DST-PATH is the whole new path: nothing
is added to it. What is there already is refused, unless --overwrite replaces it, a directory with
all that is in it, or --append adds a file to a file.`,
      examples: [
        'pachctl copy-file images master /raw archive master /2017/raw -c',
        'pachctl copy-file data 5d0a3ba7e4c84a8f8a3ce0b0d2f3a1c9 / data master / -c -o',
      ],
      flags: [
        { name: 'overwrite', short: 'o', about: 'replace what is there' },
        { name: 'append', about: 'append to the file that is there' },
        commitAroundFlag,
      ],
      inTransaction: besideWithCommit,
      load: async () => (await copies()).copyFile,
    },
    {
      name: 'move-file',
      arguments: 'SRC-REPO SRC-COMMIT SRC-PATH DST-REPO DST-COMMIT DST-PATH',
      about: 'move a file or a directory within an open commit, or from one to another',
      details: `Both commits are open, often one and the same; with --commit, a commit is opened on the branch
DST-COMMIT before and finished after. What is at DST-PATH already is refused, unless --overwrite
replaces it.`,
      examples: ['pachctl move-file data master /old.csv data master /2017/new.csv -c'],
      flags: [{ name: 'overwrite', short: 'o', about: 'replace what is there' }, commitAroundFlag],
      inTransaction: besideWithCommit,
      load: async () => (await copies()).moveFile,
    },
    {
      name: 'delete-file',
      arguments: 'REPO COMMIT PATH',
      about: 'delete a file or a directory from an open commit',
      flags: [],
      showsStatus: true,
      inTransaction: 'part',
      load: async () => (await files()).deleteFile,
    },
    {
      name: 'history',
      arguments: 'REPO COMMIT PATH',
      about: 'list the commits that changed a file or a directory, newest first',
      details: `Goes from COMMIT back through its parents, and lists those that added, changed or removed what
is at PATH.`,
      examples: [
        'pachctl history data master /greeting',
        'pachctl history data@master:/2018 -n 10',
      ],
      flags: [
        {
          name: 'number',
          short: 'n',
          value: 'COUNT',
          isCount: true,
          default: '0',
          about: 'at most so many; 0 for all',
        },
        rawFlag,
      ],
      load: async () => (await import('../commands/history.ts')).history,
    },
    {
      name: 'lineage',
      arguments: 'REPO COMMIT PATH',
      about: 'show which datums wrote a file, from what, and what was made from it',
      details: `What was made from it is told of jobs that read COMMIT: other commits that hold the same file
have their own.`,
      examples: [
        'pachctl lineage edges@master:/cat.png',
        'pachctl lineage images@master:/cat.png --downstream',
      ],
      flags: [
        { name: 'upstream', about: 'only which datums wrote it, and from what' },
        { name: 'downstream', about: 'only what was made from it' },
        rawFlag,
      ],
      load: async () => (await import('../commands/lineage.ts')).lineage,
    },
  ],
}
