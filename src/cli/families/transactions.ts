import type { CommandFamily } from '../command.ts'
import { rawFlag } from './common-flags.ts'

const transactions = async () => import('../commands/transactions.ts')

export const transactionCommands: CommandFamily = {
  title: 'Transactions',
  commands: [
    {
      name: 'start-transaction',
      arguments: '',
      about: 'begin a transaction, make it the active one, and print its id',
      details: `While a transaction is active, create-repo, delete-repo, start-commit, finish-commit, delete-commit,
set-branch, delete-branch, delete-file, copy-file, move-file, merge-branch, revert-commit, tag-commit
and delete-commit-tag are added to it instead of taking effect; they say so. All of them take effect
at one instant with finish-transaction, or none does. Other commands work as always, and so do copies
and moves with --commit.

A pipeline that reads several of the repos starts one job, with all the new heads. Puts go into open
commits, before or between; what has been put is seen with its commit's finish.

A transaction that is not finished is forgotten after 7 days. The active one is remembered for the
address of pachd in ~/.pachyderm/transactions.json.`,
      examples: ["pachctl start-transaction -m 'numbers of May'"],
      flags: [
        { name: 'message', short: 'm', value: 'TEXT', about: 'what the transaction is for' },
        { name: 'no-activate', about: 'print its id only' },
      ],
      load: async () => (await transactions()).startTransaction,
    },
    {
      name: 'finish-transaction',
      arguments: '[TRANSACTION]',
      about: 'let all operations of a transaction, or of the active one, take effect',
      details: `When one cannot be done, nothing is: the error names it, and the transaction stays open. After a lost
answer it can be asked again, for a day.`,
      flags: [],
      load: async () => (await transactions()).finishTransaction,
    },
    {
      name: 'inspect-transaction',
      arguments: '[TRANSACTION]',
      about: 'show a transaction, or the active one, with its operations',
      flags: [rawFlag],
      load: async () => (await transactions()).inspectTransaction,
    },
    {
      name: 'list-transaction',
      arguments: '',
      about: 'list transactions that are open or were finished in the last day',
      flags: [rawFlag],
      load: async () => (await transactions()).listTransaction,
    },
    {
      name: 'delete-transaction',
      arguments: '[TRANSACTION]',
      about: 'forget a transaction, or the active one: of an open one, nothing happens',
      flags: [],
      load: async () => (await transactions()).deleteTransaction,
    },
    {
      name: 'resume-transaction',
      arguments: 'TRANSACTION',
      about: 'make an open transaction the active one',
      flags: [],
      load: async () => (await transactions()).resumeTransaction,
    },
    {
      name: 'stop-transaction',
      arguments: '',
      about: 'put the active transaction aside; it stays open',
      flags: [],
      load: async () => (await transactions()).stopTransaction,
    },
    {
      name: 'run-transaction',
      arguments: '',
      about: 'do all operations of a file at one instant, or none',
      details: `The file holds operations as JSON, one after another or in a list: the messages pachyderm.Operation
of proto/pachyderm.proto. Small files can be put, too. Prints the ids of commits that were started.`,
      examples: ['pachctl run-transaction -f operations.json'],
      flags: [
        {
          name: 'file',
          short: 'f',
          value: 'FILE',
          default: '-',
          about: 'the operations, or - for standard input',
        },
      ],
      inTransaction: 'beside',
      load: async () => (await transactions()).runTransaction,
    },
  ],
}
