import type { CommandFamily, CommandSpec } from './command.ts'
import { UsageError } from './errors.ts'
import { clusterCommands } from './families/cluster.ts'
import { fileCommands } from './families/files.ts'
import { jobCommands } from './families/jobs.ts'
import { pipelineCommands } from './families/pipelines.ts'
import { repoCommands } from './families/repos.ts'
import { suggestion } from './parsing/suggestion.ts'

/** All commands, in the order in which help lists them. */
export const commandFamilies: readonly CommandFamily[] = [
  repoCommands,
  fileCommands,
  pipelineCommands,
  jobCommands,
  clusterCommands,
]

/** What 1.5 has and this program does not have yet; said so, rather than denied. */
const laterCommands: readonly string[] = [
  'mount',
  'unmount',
  'run-pipeline',
  'port-forward',
  'migrate',
  'login',
  'auth',
  'deploy',
  'undeploy',
]

const topics: Readonly<Record<string, string>> = {
  repo: `A repo holds versioned data: commits of files.

  pachctl create-repo images
  pachctl list-repo
`,
  commit: `A commit is a state of all files of a repo. While it is open, files can be put into it and
deleted from it; once finished, it never changes. A branch is a name for the newest commit of a line.

  pachctl start-commit images master
  pachctl put-file images master -f cat.png
  pachctl finish-commit images master
`,
  file: `Files are read from commits and put into open commits.

  pachctl put-file images master -c -r -f photographs
  pachctl list-file images master /photographs
  pachctl get-file images master /photographs/cat.png > cat.png
`,
  job: `A job is a run of a pipeline over a set of input commits. It processes datums: the units of
input that the pipeline's glob patterns make.

  pachctl list-job
  pachctl get-logs --job ID
`,
  pipeline: `A pipeline runs your code over data whenever that changes, and keeps the results in a repo
of its own name. Its spec is JSON.

  pachctl create-pipeline -f spec.json
  pachctl list-pipeline
`,
}

/** The text of a help topic that is no command. */
export function helpTopic(name: string): string | undefined {
  return topics[name]
}

/** @throws {UsageError} with the nearest name. */
export function findCommand(name: string): CommandSpec {
  const commands = commandFamilies.flatMap((family) => family.commands)
  const found = commands.find((command) => command.name === name)
  if (found !== undefined) return found
  if (laterCommands.includes(name)) {
    throw new UsageError(`${name} is a command of 1.5 that this pachctl does not have yet`)
  }
  const nearest = suggestion(
    name,
    commands.map((command) => command.name),
  )
  const hint = nearest === undefined ? 'see pachctl help' : `did you mean ${nearest}?`
  throw new UsageError(`unknown command ${JSON.stringify(name)} for "pachctl"; ${hint}`)
}
