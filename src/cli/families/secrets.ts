import type { CommandFamily, FlagSpec } from '../command.ts'
import { rawFlag } from './common-flags.ts'

const secrets = async () => import('../commands/secrets.ts')

const entryFlags: readonly FlagSpec[] = [
  {
    name: 'file',
    short: 'f',
    value: 'FILE',
    about:
      'in place of entries: a Secret as Kubernetes has it, in JSON or YAML, or - for standard input',
  },
]

const entryDetails = `Each ENTRY=FILE is a value that is read from a file, whole, or from standard input where FILE is
-. Values are not taken from the command line, where others could see them. A secret holds at
most 1 MiB. Pipelines name it in transform.secrets.`

export const secretCommands: CommandFamily = {
  title: 'Secrets',
  commands: [
    {
      name: 'create-secret',
      arguments: '[SECRET ENTRY=FILE...]',
      about: 'store passwords, keys and the like, encrypted, for the code of pipelines',
      details: entryDetails,
      examples: [
        'pachctl create-secret database user=user.txt password=password.txt',
        'pass show database | pachctl create-secret database password=-',
        'kubectl get secret database -o yaml | pachctl create-secret -f -',
      ],
      flags: entryFlags,
      inTransaction: 'beside',
      load: async () => (await secrets()).createSecret,
    },
    {
      name: 'update-secret',
      arguments: '[SECRET ENTRY=FILE...]',
      about: 'replace all that a secret holds; code that is started from now on finds it',
      details: entryDetails,
      flags: entryFlags,
      inTransaction: 'beside',
      load: async () => (await secrets()).updateSecret,
    },
    {
      name: 'inspect-secret',
      arguments: 'SECRET',
      about: 'show what a secret holds, but for the values, and which pipelines name it',
      flags: [rawFlag],
      load: async () => (await secrets()).inspectSecret,
    },
    {
      name: 'list-secret',
      arguments: '',
      about: 'list secrets',
      flags: [rawFlag],
      load: async () => (await secrets()).listSecret,
    },
    {
      name: 'delete-secret',
      arguments: 'SECRET',
      about: 'delete a secret; pipelines that name it fail from then on',
      flags: [],
      inTransaction: 'beside',
      load: async () => (await secrets()).deleteSecret,
    },
  ],
}
