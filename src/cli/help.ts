import type { CommandFamily, CommandSpec, FlagSpec } from './command.ts'
import { commonFlags } from './families/common-flags.ts'
import { joinedForm } from './parsing/argument-form.ts'

/** How a command is called: one line, or two where `REPO@COMMIT:PATH` may join arguments. */
export function usageLines(command: CommandSpec): readonly string[] {
  const flags = command.flags.length === 0 ? '' : ' [flags]'
  const joined = joinedForm(command.arguments)
  const forms = joined === undefined ? [command.arguments] : [command.arguments, joined]
  return forms.map((form) => `pachctl ${command.name}${form === '' ? '' : ` ${form}`}${flags}`)
}

/** What is shown when a command was called wrongly. */
export function usageText(command: CommandSpec): string {
  const flags = command.flags.length === 0 ? '' : `\nFlags:\n${flagLines(command.flags)}`
  const lines = usageLines(command).map((line) => `  ${line}\n`)
  return `Usage:\n${lines.join('')}${flags}`
}

/** The help of one command. */
export function commandHelp(command: CommandSpec): string {
  const { about, details, examples = [] } = command
  const parts = [capitalized(about) + '.\n']
  if (details !== undefined) parts.push(`${details}\n`)
  parts.push(usageText(command))
  if (examples.length > 0)
    parts.push(`Examples:\n${examples.map((line) => `  ${line}\n`).join('')}`)
  parts.push(`Flags of every command:\n${flagLines(commonFlags)}`)
  return parts.join('\n')
}

/** The help of the whole program. */
export function generalHelp(families: readonly CommandFamily[]): string {
  const width = Math.max(...families.flatMap(({ commands }) => commands.map(nameLength)))
  const sections = families.map(({ title, commands }) => {
    const lines = commands.map(({ name, about }) => `  ${name.padEnd(width)}   ${about}\n`)
    return `${title}:\n${lines.join('')}`
  })
  return [
    'pachctl works with a pachd: versioned data, and pipelines over it.\n',
    'Usage:\n  pachctl COMMAND [arguments] [flags]\n',
    ...sections,
    `Flags of every command:\n${flagLines(commonFlags)}`,
    'Environment:\n  ADDRESS   HOST:PORT of pachd; else what ~/.pachyderm/config.json says, else 0.0.0.0:30650\n',
    'For one command: pachctl help COMMAND\n',
  ].join('\n')
}

function nameLength({ name }: CommandSpec): number {
  return name.length
}

/** How a flag is written, as in `-f, --file SOURCE`. */
export function flagForm({ name, short, value }: FlagSpec): string {
  const long = value === undefined ? `--${name}` : `--${name} ${value}`
  return short === undefined ? `    ${long}` : `-${short}, ${long}`
}

/** What a flag does, with what holds when it is not given. */
export function flagAbout(flag: FlagSpec): string {
  const rest = [
    ...(flag.repeats === true ? ['may be repeated'] : []),
    ...(flag.default === undefined ? [] : [`default ${flag.default}`]),
  ]
  return rest.length === 0 ? flag.about : `${flag.about} (${rest.join('; ')})`
}

function flagLines(flags: readonly FlagSpec[]): string {
  const width = Math.max(...flags.map((flag) => flagForm(flag).length))
  return flags.map((flag) => `  ${flagForm(flag).padEnd(width)}   ${flagAbout(flag)}\n`).join('')
}

function capitalized(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}

const topics: Readonly<Record<string, string>> = {
  repo: `A repo holds versioned data: commits of files.

  pachctl create-repo images
  pachctl list-repo
`,
  commit: `A commit is a state of all files of a repo. While it is open, files can be put into it and
deleted from it; once finished, it never changes. A branch is a name for the newest commit of a line;
a commit tag is a name that stays at its commit.

Wherever a command takes a commit, it may be named by a branch, a commit tag or an id, and ^ or ~N
behind it goes back: master^ is the commit before master's, master~3 the third before. Repo, commit and
path may be one argument, as in images@master~3:/cat.png.

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
