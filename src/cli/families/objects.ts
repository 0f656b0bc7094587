import type { CommandFamily } from '../command.ts'
import { rawFlag } from './common-flags.ts'

const objects = async () => import('../commands/objects.ts')

export const objectCommands: CommandFamily = {
  title: 'Objects and their tags',
  commands: [
    {
      name: 'put-object',
      arguments: '[FILE]',
      about: 'store a file, or standard input, as an object, and print its hash',
      details: `Equal contents are one object. One without a tag is kept for a day, and with a tag until one
of both is deleted. A tag that names another object already is moved.`,
      examples: [
        'pachctl put-object model.bin -t models/latest',
        'echo hello | pachctl put-object',
      ],
      flags: [
        {
          name: 'tag',
          short: 't',
          value: 'TAG',
          repeats: true,
          about: 'give the object this name',
        },
      ],
      inTransaction: 'beside',
      load: async () => (await objects()).putObject,
    },
    {
      name: 'get-object',
      arguments: 'HASH',
      about: 'print an object',
      flags: [],
      load: async () => (await objects()).getObject,
    },
    {
      name: 'inspect-object',
      arguments: 'HASH',
      about: 'show the size of an object',
      flags: [rawFlag],
      load: async () => (await objects()).inspectObject,
    },
    {
      name: 'list-object',
      arguments: '',
      about: 'list the objects that were put or tagged, by hash',
      flags: [rawFlag],
      load: async () => (await objects()).listObject,
    },
    {
      name: 'delete-object',
      arguments: 'HASH...',
      about: 'forget objects, with all their tags; those that are not there are passed over',
      flags: [],
      inTransaction: 'beside',
      load: async () => (await objects()).deleteObject,
    },
    {
      name: 'tag-object',
      arguments: 'HASH TAG...',
      about: 'give an object names, also those that another one had',
      details: `HASH may be any that inspect-object takes: also that of a file or a commit's tree, as inspect-file and
inspect-commit show them with --raw. The object then stays, whatever becomes of these.`,
      examples: ['pachctl tag-object 2cf24dba5fb0a30e… greeting'],
      flags: [],
      inTransaction: 'beside',
      load: async () => (await objects()).tagObject,
    },
    {
      name: 'get-tag',
      arguments: 'TAG',
      about: 'print the object that a tag names',
      flags: [],
      load: async () => (await objects()).getTag,
    },
    {
      name: 'inspect-tag',
      arguments: 'TAG',
      about: 'show which object a tag names',
      flags: [rawFlag],
      load: async () => (await objects()).inspectTag,
    },
    {
      name: 'list-tag',
      arguments: '[PREFIX]',
      about: 'list tags, or those that begin with PREFIX, with the objects that they name',
      flags: [rawFlag],
      load: async () => (await objects()).listTag,
    },
    {
      name: 'delete-tag',
      arguments: 'TAG...',
      about: 'delete tags; their objects stay for a day, or as long as other tags name them',
      flags: [],
      inTransaction: 'beside',
      load: async () => (await objects()).deleteTag,
    },
    {
      name: 'compact',
      arguments: '',
      about: 'join what is stored in many small packs into few',
      details:
        'Nothing is freed by it, and nothing else waits for it; pachd does so by itself, too, when it collects garbage.',
      flags: [],
      inTransaction: 'beside',
      load: async () => (await objects()).compact,
    },
  ],
}
