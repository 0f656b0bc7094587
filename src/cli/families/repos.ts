import type { CommandFamily, FlagSpec, InTransaction } from '../command.ts'
import type { Flags } from '../flags.ts'
import { commitTagCommands } from './commit-tags.ts'
import { dryRunFlag, messageFlag, rawFlag } from './common-flags.ts'

const commits = async () => import('../commands/commits.ts')
const repos = async () => import('../commands/repos.ts')
const branches = async () => import('../commands/branches.ts')
const changes = async () => import('../commands/branch-changes.ts')
const streams = async () => import('../commands/commit-streams.ts')

/** A dry run looks at what is there now. */
const changeInTransaction = (flags: Flags): InTransaction | undefined =>
  flags.isOn('dry-run') ? undefined : 'part'

const changeFlags: readonly FlagSpec[] = [
  { name: 'message', short: 'm', value: 'TEXT', about: 'why; inspect-commit shows it' },
  { name: 'prefer', value: 'ours|theirs', about: 'which side wins where both changed a path' },
  dryRunFlag,
]

const pullFlags: readonly FlagSpec[] = [
  { name: 'with-provenance', about: 'also the repos that these are made from' },
  dryRunFlag,
]

export const repoCommands: CommandFamily = {
  title: 'Repos, commits and branches',
  commands: [
    {
      name: 'create-repo',
      arguments: 'REPO',
      about: 'make a repo',
      flags: [{ name: 'description', short: 'd', value: 'TEXT', about: 'what the repo is for' }],
      showsStatus: true,
      inTransaction: 'part',
      load: async () => (await repos()).createRepo,
    },
    {
      name: 'update-repo',
      arguments: 'REPO',
      about: 'describe a repo anew',
      examples: ["pachctl update-repo images -d 'photographs of cats, from 2018 on'"],
      flags: [{ name: 'description', short: 'd', value: 'TEXT', about: 'what the repo is for' }],
      inTransaction: 'beside',
      load: async () => (await repos()).updateRepo,
    },
    {
      name: 'inspect-repo',
      arguments: 'REPO',
      about: 'show a repo',
      flags: [rawFlag],
      load: async () => (await repos()).inspectRepo,
    },
    {
      name: 'list-repo',
      arguments: '',
      about: 'list repos',
      flags: [
        {
          name: 'provenance',
          short: 'p',
          value: 'REPO',
          repeats: true,
          about: 'only repos that are made from this one',
        },
        rawFlag,
      ],
      load: async () => (await repos()).listRepo,
    },
    {
      name: 'delete-repo',
      arguments: '[REPO]',
      about: 'delete a repo with all it holds',
      flags: [
        {
          name: 'force',
          short: 'f',
          about:
            'even when other repos are made from it, a pipeline writes it, or its commits are tagged',
        },
        { name: 'all', about: 'delete every repo' },
      ],
      errorPrefix: 'error from delete-repo: ',
      showsStatus: true,
      inTransaction: 'part',
      load: async () => (await repos()).deleteRepo,
    },
    {
      name: 'start-commit',
      arguments: 'REPO [BRANCH]',
      about: 'open a commit and print its id',
      details: `With BRANCH, the commit follows the branch's head and becomes its head. A branch that does not
exist is made.`,
      examples: [
        'pachctl start-commit images master',
        'pachctl start-commit images patch -p master~2',
        "pachctl start-commit images@master -m 'photographs of 2017'",
      ],
      flags: [
        {
          name: 'parent',
          short: 'p',
          value: 'COMMIT',
          about: 'follow this commit, by id, by branch or as in master^',
        },
        messageFlag,
      ],
      inTransaction: 'part',
      load: async () => (await commits()).startCommit,
    },
    {
      name: 'finish-commit',
      arguments: 'REPO COMMIT',
      about: 'finish an open commit: it becomes readable and never changes again',
      flags: [
        {
          ...messageFlag,
          about: 'what to say of the commit, instead of what was said at its start',
        },
      ],
      inTransaction: 'part',
      load: async () => (await commits()).finishCommit,
    },
    {
      name: 'inspect-commit',
      arguments: 'REPO COMMIT',
      about: 'show a commit',
      examples: ['pachctl inspect-commit images master', 'pachctl inspect-commit images@master^'],
      flags: [rawFlag],
      load: async () => (await commits()).inspectCommit,
    },
    {
      name: 'list-commit',
      arguments: 'REPO [TO]',
      about: 'list commits of a repo, newest first',
      examples: [
        'pachctl list-commit images',
        'pachctl list-commit images master -n 10',
        'pachctl list-commit images@master -f master~3',
      ],
      flags: [
        { name: 'from', short: 'f', value: 'COMMIT', about: 'stop before this ancestor of TO' },
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
      load: async () => (await commits()).listCommit,
    },
    {
      name: 'flush-commit',
      arguments: 'REPO/COMMIT...',
      about: 'wait for all that is made from some commits, and list it',
      details:
        'What a deleted pipeline has left is not waited for, unless it is named with -r. While nothing comes, a notice on standard error says what somebody may have to do something about, such as a pipeline that is stopped.',
      examples: [
        'pachctl flush-commit images/master',
        'pachctl flush-commit images@master^ -r edges',
      ],
      flags: [
        {
          name: 'repos',
          short: 'r',
          value: 'REPO',
          repeats: true,
          about: 'wait for this repo only',
        },
        rawFlag,
      ],
      showsStatus: true,
      load: async () => (await streams()).flushCommit,
    },
    {
      name: 'subscribe-commit',
      arguments: 'REPO BRANCH',
      about: 'print the finished commits of a branch, and each new one when it is finished',
      flags: [
        { name: 'from', value: 'COMMIT', about: 'leave out this commit and those before it' },
        { name: 'new', about: 'only commits that are not there yet' },
        rawFlag,
      ],
      showsStatus: true,
      load: async () => (await streams()).subscribeCommit,
    },
    {
      name: 'delete-commit',
      arguments: 'REPO COMMIT',
      about: 'delete an open commit, or a finished one with all that was made from it',
      details: `An open commit is dropped. A finished one goes with --recursive only, and with it the commits
downstream that were made from it, the jobs that made them and their results. Commits that follow it
in its own repo stay, with all their files, also those that came with it. Branches move to the
nearest commit before it that stays. --dry-run says all that would go, and what is in its way.`,
      examples: [
        'pachctl delete-commit images 5d0a3ba7e4c84a8f8a3ce0b0d2f3a1c9 --recursive --dry-run',
      ],
      flags: [
        { name: 'recursive', about: 'also a finished commit, with all that was made from it' },
        dryRunFlag,
      ],
      // With --recursive it only looks, or is refused while a transaction is active.
      inTransaction: (flags) =>
        flags.isOn('recursive') || flags.isOn('dry-run') ? undefined : 'part',
      load: async () => (await import('../commands/delete-commit.ts')).deleteCommit,
    },
    {
      name: 'merge-branch',
      arguments: 'REPO FROM INTO',
      about: 'bring into a branch what another has and it has not',
      details: `Both are compared with the last commit that they have in common, path by path. A path that both
changed differently is a conflict: nothing is done then, unless --prefer decides. The result is a
commit on INTO; where INTO has nothing of its own, it moves to FROM. FROM may be a commit's id.`,
      examples: [
        'pachctl merge-branch images patch master --dry-run',
        'pachctl merge-branch images patch master --prefer theirs',
      ],
      flags: changeFlags,
      inTransaction: changeInTransaction,
      load: async () => (await changes()).mergeBranch,
    },
    {
      name: 'revert-commit',
      arguments: 'REPO COMMIT',
      about: 'make a commit that undoes what another changed',
      details: `What came after COMMIT stays; a path that was changed again since is a conflict: nothing is done
then, unless --prefer decides (ours: leave it as it is; theirs: as it was before COMMIT).`,
      examples: ['pachctl revert-commit images 5d0a3ba7e4c84a8f8a3ce0b0d2f3a1c9 -b master'],
      flags: [
        {
          name: 'branch',
          short: 'b',
          value: 'BRANCH',
          about: 'the branch to commit to; may be left out when there is only one',
        },
        ...changeFlags,
      ],
      inTransaction: changeInTransaction,
      load: async () => (await changes()).revertCommit,
    },
    ...commitTagCommands,
    {
      name: 'create-branch',
      arguments: 'REPO BRANCH',
      about: 'make a branch, or have it follow another from time to time',
      details: `With --trigger, BRANCH moves to the head of another branch of the repo when one of the conditions
holds, or all of them with --trigger-all; what is counted is what came since it moved last. The branch
comes into being when it first moves, which is at once where the conditions hold already.`,
      examples: [
        'pachctl create-branch images stable --head master',
        'pachctl create-branch images staging --trigger master --trigger-size 10MB --trigger-commits 5',
        'pachctl create-branch images nightly --trigger master --trigger-cron "@daily"',
      ],
      flags: [
        { name: 'head', value: 'COMMIT', about: 'where it is: a commit, by id or by another name' },
        { name: 'trigger', short: 't', value: 'BRANCH', about: 'the branch to follow' },
        {
          name: 'trigger-size',
          value: 'SIZE',
          about: 'move when so much was added, such as 10MB or 1GiB',
        },
        {
          name: 'trigger-commits',
          value: 'COUNT',
          isCount: true,
          about: 'move when so many commits were added',
        },
        {
          name: 'trigger-cron',
          value: 'SPEC',
          about: 'move when a clock ticks, as in a cron input, in UTC',
        },
        { name: 'trigger-all', about: 'move when all the conditions hold, in place of one' },
      ],
      inTransaction: (flags) => (flags.text('trigger') === '' ? 'part' : 'beside'),
      load: async () => (await branches()).createBranch,
    },
    {
      name: 'inspect-branch',
      arguments: 'REPO BRANCH',
      about: 'show a branch, and what it follows',
      flags: [],
      load: async () => (await branches()).inspectBranch,
    },
    {
      name: 'list-branch',
      arguments: 'REPO',
      about: 'list the branches of a repo',
      flags: [rawFlag],
      load: async () => (await branches()).listBranch,
    },
    {
      name: 'set-branch',
      arguments: 'REPO COMMIT NEW-BRANCH',
      about: 'point a branch at a commit, by id or by another name',
      examples: [
        'pachctl set-branch images master stable',
        'pachctl set-branch images@master^ master',
      ],
      flags: [],
      inTransaction: 'part',
      load: async () => (await branches()).setBranch,
    },
    {
      name: 'delete-branch',
      arguments: 'REPO BRANCH',
      about: 'delete a branch; its commits stay',
      flags: [],
      inTransaction: 'part',
      load: async () => (await branches()).deleteBranch,
    },
    {
      name: 'clone',
      arguments: 'ADDRESS [REPO...]',
      about: 'bring repos of another server here, with their history',
      details: `Commits keep their ids, and branches their names. Without a REPO, all come. Repos that are here already are refused; pull brings
what is new of those. Contents that are here do not come. docs/clone.md tells more.`,
      examples: [
        'pachctl clone elsewhere:30650 images edges',
        'pachctl clone elsewhere:30650 edges --with-provenance',
      ],
      flags: pullFlags,
      inTransaction: 'beside',
      load: async () => (await import('../commands/pull.ts')).clone,
    },
    {
      name: 'pull',
      arguments: 'ADDRESS [REPO...]',
      about: 'bring what is new of repos of another server here',
      details: `New commits come with their ids, and branches move to them, all in one step; pipelines that read these
branches start. Stopped, it goes on where it was when it is run again. When a branch has gone another way
here than there, nothing changes.`,
      examples: [
        'pachctl pull elsewhere:30650 images',
        'pachctl pull elsewhere:30650 images --dry-run',
      ],
      flags: pullFlags,
      inTransaction: 'beside',
      load: async () => (await import('../commands/pull.ts')).pull,
    },
    {
      name: 'push',
      arguments: 'ADDRESS [REPO...]',
      about: 'bring what is new of repos of this server to another',
      details: `As if the other server pulled, but it need not reach this one: all goes through pachctl, which reaches both.
Only the repos that are named can be read in that way, and those that they are made from with
--with-provenance.`,
      examples: ['pachctl push elsewhere:30650 images', 'pachctl push elsewhere:30650 --dry-run'],
      flags: pullFlags,
      inTransaction: 'beside',
      load: async () => (await import('../commands/pull.ts')).push,
    },
  ],
}
