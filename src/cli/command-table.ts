import type { CommandFamily, CommandSpec } from './command.ts'
import { UsageError } from './errors.ts'

interface FamilyEntry {
  /** The names of its commands, so that a family is loaded only when it is needed. */
  readonly names: readonly string[]
  readonly load: () => Promise<CommandFamily>
}

/** In the order in which help lists them. */
const families: readonly FamilyEntry[] = [
  {
    names: [
      'create-repo',
      'update-repo',
      'inspect-repo',
      'list-repo',
      'delete-repo',
      'start-commit',
      'finish-commit',
      'inspect-commit',
      'list-commit',
      'flush-commit',
      'subscribe-commit',
      'delete-commit',
      'merge-branch',
      'revert-commit',
      'tag-commit',
      'list-commit-tag',
      'delete-commit-tag',
      'create-branch',
      'inspect-branch',
      'list-branch',
      'set-branch',
      'delete-branch',
      'clone',
      'pull',
      'push',
    ],
    load: async () => (await import('./families/repos.ts')).repoCommands,
  },
  {
    names: [
      'start-transaction',
      'finish-transaction',
      'inspect-transaction',
      'list-transaction',
      'delete-transaction',
      'resume-transaction',
      'stop-transaction',
      'run-transaction',
    ],
    load: async () => (await import('./families/transactions.ts')).transactionCommands,
  },
  {
    names: [
      'put-file',
      'get-file',
      'export',
      'inspect-file',
      'list-file',
      'glob-file',
      'diff-file',
      'copy-file',
      'move-file',
      'delete-file',
      'history',
      'lineage',
    ],
    load: async () => (await import('./families/files.ts')).fileCommands,
  },
  {
    names: [
      'put-object',
      'get-object',
      'inspect-object',
      'list-object',
      'delete-object',
      'tag-object',
      'get-tag',
      'inspect-tag',
      'list-tag',
      'delete-tag',
      'compact',
    ],
    load: async () => (await import('./families/objects.ts')).objectCommands,
  },
  {
    names: ['mount', 'unmount'],
    load: async () => (await import('./families/mounts.ts')).mountCommands,
  },
  {
    names: [
      'create-pipeline',
      'update-pipeline',
      'plan',
      'validate-pipeline',
      'extract-pipeline',
      'convert-spec',
      'edit-pipeline',
      'inspect-pipeline',
      'list-pipeline',
      'delete-pipeline',
      'start-pipeline',
      'stop-pipeline',
      'run-pipeline',
    ],
    load: async () => (await import('./families/pipelines.ts')).pipelineCommands,
  },
  {
    names: ['create-secret', 'update-secret', 'inspect-secret', 'list-secret', 'delete-secret'],
    load: async () => (await import('./families/secrets.ts')).secretCommands,
  },
  {
    names: [
      'create-trial',
      'inspect-trial',
      'list-trial',
      'diff-trial',
      'merge-trial',
      'delete-trial',
    ],
    load: async () => (await import('./families/trials.ts')).trialCommands,
  },
  {
    names: [
      'inspect-job',
      'list-job',
      'delete-job',
      'stop-job',
      'list-datum',
      'inspect-datum',
      'restart-datum',
      'explain',
      'stats',
      'get-logs',
    ],
    load: async () => (await import('./families/jobs.ts')).jobCommands,
  },
  {
    names: [
      'version',
      'doctor',
      'migrate',
      'extract',
      'verify-backup',
      'restore',
      'fsck',
      'garbage-collect',
      'delete-all',
    ],
    load: async () => (await import('./families/cluster.ts')).clusterCommands,
  },
]

/** All commands. */
export async function loadFamilies(): Promise<readonly CommandFamily[]> {
  return Promise.all(families.map(({ load }) => load()))
}

/** What 1.5 has and this program does not have yet; said so, rather than denied. */
const laterCommands: readonly string[] = ['port-forward', 'login', 'auth', 'deploy', 'undeploy']

/**
 * `next` is the word behind the name: `list repo` is a way to say `list-repo` elsewhere.
 *
 * @throws {UsageError} with the nearest names.
 */
export async function findCommand(name: string, next?: string): Promise<CommandSpec> {
  const entry = families.find(({ names }) => names.includes(name))
  const family = await entry?.load()
  const found = family?.commands.find((command) => command.name === name)
  if (found !== undefined) return found
  if (laterCommands.includes(name)) {
    throw new UsageError(`${name} is a command of 1.5 that this pachctl does not have yet`)
  }
  const { commandHint } = await import('./parsing/suggestion.ts')
  const names = families.flatMap((candidate) => candidate.names)
  const hint = commandHint([name, next], names) ?? 'see pachctl help'
  throw new UsageError(`unknown command ${JSON.stringify(name)} for "pachctl"; ${hint}`)
}
