import type { CommandSpec } from '../command.ts'
import { rawFlag } from './common-flags.ts'

const tags = async () => import('../commands/commit-tags.ts')

/** Part of the family of commits. */
export const commitTagCommands: readonly CommandSpec[] = [
  {
    name: 'tag-commit',
    arguments: 'REPO COMMIT TAG',
    about: 'give a commit a name that stays at it, and protects it from deletion',
    details: `The commit tag is then a name of the commit wherever one is taken. It is named as branches are,
and no branch of the repo may have the same name. It has nothing to do with the tags of get-tag.`,
    examples: [
      'pachctl tag-commit images master v1.0',
      'pachctl tag-commit images@master~2 before',
    ],
    flags: [{ name: 'move', short: 'f', about: 'take the tag away from another commit' }],
    inTransaction: 'part',
    load: async () => (await tags()).tagCommit,
  },
  {
    name: 'list-commit-tag',
    arguments: '[REPO]',
    about: 'list the commit tags of a repo, or of all',
    flags: [rawFlag],
    load: async () => (await tags()).listCommitTag,
  },
  {
    name: 'delete-commit-tag',
    arguments: 'REPO TAG',
    about: 'delete a commit tag; the commit stays',
    flags: [],
    inTransaction: 'part',
    load: async () => (await tags()).deleteCommitTag,
  },
]
